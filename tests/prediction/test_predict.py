"""`tqgd predict` from weights and a scan to files; one tiny detector for all."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jsonschema
import numpy as np
import pytest
from absl import flags

from tests import ct_sets, image_sets, scan_files
from tests.explain.tiny import predictor, shallow  # noqa: F401  autouse
from tests.prediction.test_document import SCHEMA
from tqgd_jax.commands import predict, score
from tqgd_jax.ct import crop, heart
from tqgd_jax.data.open import open_data
from tqgd_jax.data.split import fold_manifest
from tqgd_jax.io.volumes import read_volume
from tqgd_jax.prediction import folder, models
from tqgd_jax.prediction.inputs import find
from tqgd_jax.prediction.models import Detectors, Member
from tqgd_jax.prediction.reading import read_source
from tqgd_jax.predictor import Predictor

pytestmark = pytest.mark.slow

HEART = np.array([8.0, 6.0, 40.0, 36.0])  # px of every slice
THRESHOLD = 0.002  # its scores are about .004


@pytest.fixture(scope="module", autouse=True)
def hearts():
    """The scans have no lungs, so a heart is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heart, "find_heart", lambda hu, _: np.tile(HEART, (len(hu), 1)))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Five tiny scans of calcium."""
    return ct_sets.orcascore(tmp_path_factory.mktemp("ct") / "set")


@pytest.fixture(scope="module")
def detector(root) -> Predictor:
    """Nobody trained it: it is the path that is tested."""
    given = predictor()
    data = ct_sets.config(root, "anatomical", image_size=64).data
    data.crop.widen = "none"  # as in the test part of any run
    config = replace(given.config, data=data)
    config.eval.batch_size = 4
    config.eval.max_detections = 6
    return replace(given, config=config)


@pytest.fixture
def command(detector, monkeypatch):
    """Calls the command with flags; gives its folder."""
    monkeypatch.setattr(models, "load", lambda _: detector)

    def call(out: Path, *inputs: Path, **changes) -> Path:
        values = {
            "model": ["runs/tiny"], "input": [*map(str, inputs)], "out": str(out),
            "threshold": THRESHOLD, "series": "", "convention": "clinical",
            "scheme": "standard", "save": [*folder.FORMATS],
            "dicom": [],
        }  # fmt: skip
        monkeypatch.setattr(flags, "FLAGS", SimpleNamespace(**values | changes))
        predict._main([])
        return out

    return call


def scans(root: Path) -> list[Path]:
    return sorted((root / "Training Set" / "Images").glob("*.mhd"))


def read(path: Path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def document(path: Path):
    content = json.loads((path / "predictions.json").read_text("utf-8"))
    jsonschema.validate(content, SCHEMA)
    return content


def test_boxes_are_those_of_the_evaluation_to_the_bit(detector, root):
    """Another batch, another padding, another data set: the same slice and crop."""
    images = open_data(detector.config)["train"]
    evaluated = dict(zip(images.names, detector.detect(images), strict=True))
    (source,) = find([scans(root)[1]]).sources
    reading = read_source(
        source, Detectors([Member("tiny", detector)], 0.0), lambda x: x
    )
    compared = 0
    for z in range(len(reading.names)):
        image = evaluated.get(f"{source.name}_z{z:03d}")
        if image is None:  # of another part of the data set
            continue
        mine = reading.lesions.z == z
        whole = crop.from_crop(image.det_boxes, reading.lesions.windows[z])
        proper = (image.det_boxes[:, :2] < image.det_boxes[:, 2:]).all(axis=1)
        np.testing.assert_array_equal(reading.lesions.boxes[mine], whole[proper])
        np.testing.assert_array_equal(
            reading.lesions.scores[mine], image.det_scores[proper]
        )
        compared += int(proper.sum())
    assert compared > 0
    # 1 mm of margin around the heart at 0.5 mm a pixel
    assert reading.lesions.windows[0].tolist() == [6, 4, 42, 38]


def test_a_scan_becomes_files_that_agree(command, root, tmp_path, capsys):
    path = scans(root)[0]
    out = command(tmp_path / "out", path)
    (row,) = read(out / "index.csv")
    result = out / row["name"]
    assert {p.name for p in result.iterdir()} == {
        *("predictions.json", "boxes.csv", "detections.json", "overlays.png", "slices"),
        *("lesions.nii.gz", "lesions.seg.nrrd", "report.html"),
    }
    content = document(result)
    boxes = read(result / "boxes.csv")
    assert len(boxes) == len(content["boxes"]) == int(row["boxes"]) > 0
    # `tqgd score` reads the boxes and comes to the same score, under every convention
    args = ["--scan", str(path), "--boxes", str(result / "boxes.csv"), "--convention"]
    given = score.report(score.arguments([*args, "all"]))["conventions"]
    assert {x["convention"]: x["agatston"] for x in given} == {
        name: x["agatston"] for name, x in content["calcium"]["conventions"].items()
    }
    assert row["note"] == "Not a medical device."
    assert float(row["agatston"]) == content["calcium"]["agatston"]
    # the volume of labels holds what each lesion counts
    labels = read_volume(result / "lesions.nii.gz").hu
    counts = np.bincount(labels.ravel(), minlength=len(content["lesions"]) + 1)
    assert counts[1:].tolist() == [x["voxels"] for x in content["lesions"]]
    slices = {int(b["z"]) for b in boxes}
    assert {int(p.stem) for p in (result / "slices").iterdir()} == slices
    coco = json.loads((result / "detections.json").read_text())
    assert len(coco["annotations"]) == len(boxes)
    for text in (coco["info"]["description"], (result / "report.html").read_text()):
        assert "Not a medical device" in text
    assert "Not a medical device" in capsys.readouterr().out
    assert row["warnings"] == "".join(x["code"] for x in content["warnings"])


def test_nothing_is_overwritten_and_nothing_half_written(
    command, root, tmp_path, monkeypatch
):
    path = scans(root)[0]
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("a")
    with pytest.raises(ValueError, match="is there and not empty"):
        command(out, path)
    monkeypatch.setattr(folder.label_volumes, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command(tmp_path / "half", path)
    assert [p for p in (tmp_path / "half").rglob("*") if p.is_file()] == []


def test_a_mixed_folder_is_read_one_by_one(command, root, tmp_path, capsys):
    hu, _ = ct_sets.scan([ct_sets.LAD])
    given = tmp_path / "in"
    scan_files.series(given / "dicom", hu, PatientID="P9", KVP="100")
    ct_sets.write(given / "good.nii.gz", hu)
    (given / "bad.nrrd").write_bytes(b"NRRD0004\n")
    image_sets.picture(given / "icon.png")
    image_sets.picture(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"1 of 4 inputs could not be read"):
        command(tmp_path / "out", given, tmp_path / "x.png", save=["csv"])
    rows = {row["name"]: row for row in read(tmp_path / "out" / "index.csv")}
    assert rows.keys() == {"P9", "good", "bad", "x"}
    assert rows["bad"]["error"].startswith(str(given / "bad.nrrd"))
    assert rows["P9"]["patient"] == "P9"
    assert rows["x"]["warnings"] == "no_hu"
    assert rows["x"]["agatston"] == ""
    assert document(tmp_path / "out" / "x")["calcium"] is None
    # one array in two files has one score; only the header tells of the voltage
    assert rows["P9"]["agatston"] == rows["good"]["agatston"]
    assert {p.name for p in (tmp_path / "out" / "P9").iterdir()} == {
        *("predictions.json", "boxes.csv")
    }
    printed = capsys.readouterr()
    assert "bad: " in printed.err
    assert "skipped 1 x picture beside scans" in printed.err


def test_a_part_of_a_series_is_warned_of(detector, tmp_path):
    hu, _ = ct_sets.scan([ct_sets.LAD])
    scan_files.series(tmp_path / "low", hu[:3])
    scan_files.series(tmp_path / "high", hu[3:])
    low = find([tmp_path]).sources[1]
    reading = read_source(low, Detectors([Member("a", detector)], 1.0), lambda x: x)
    (text,) = (c.text for c in reading.cautions if c.code == "split_series")
    assert f"{(tmp_path / 'high').resolve()} too" in text


def test_an_ensemble_is_fused_and_named(detector, root):
    (source,) = find([scans(root)[0]]).sources
    alone = read_source(
        source, Detectors([Member("a", detector)], THRESHOLD), lambda x: x
    )
    twins = Detectors([Member("a", detector), Member("b", detector)], THRESHOLD)
    both = read_source(source, twins, lambda x: x)
    assert twins.description["kind"] == "ensemble"
    # NMS left boxes that overlap by more than .55, and these are one now
    assert 0 < len(both.lesions.z) <= len(alone.lesions.z)
    top = alone.lesions.scores.max()
    assert both.lesions.scores.max() <= top
    assert twins.threshold.value == THRESHOLD


def test_without_a_threshold_the_command_asks(detector):
    with pytest.raises(ValueError, match=r"has no threshold.*--threshold 0\.25"):
        Detectors([Member("a", detector)])
    chosen = replace(detector, threshold=0.5, chosen=True)
    other = replace(detector, threshold=0.25, chosen=True)
    assert Detectors([Member("a", chosen)]).threshold == (0.5, "validation")
    mean = Detectors([Member("a", chosen), Member("b", other)]).threshold
    assert mean == (0.375, "mean of validations")
    with pytest.raises(ValueError, match="no threshold"):
        Detectors([Member("a", chosen), Member("b", detector)])
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 2"):
        Detectors([Member("a", chosen)], 2.0)
    with pytest.raises(ValueError, match="needs one list"):
        Detectors([Member("a", chosen), Member("b", replace(other, classes=("x",)))])


def test_an_ensemble_of_segmentations_asks_for_a_threshold():
    def member(name):
        network = SimpleNamespace(segments=True)
        values = {"classes": ("calcium",), "network": network}
        return Member(name, cast("Predictor", SimpleNamespace(**values)))

    one, other = member("a"), member("b")
    assert Detectors([one]).threshold.value == 0
    with pytest.raises(ValueError, match="segmentations needs --threshold"):
        Detectors([one, other])
    assert Detectors([one, other], 0.5).threshold == (0.5, "given")


def test_a_patient_that_one_was_trained_on_is_refused(detector, root, tmp_path):
    (source,) = find([scans(root)[0]]).sources
    manifest = tmp_path / "folds.json"
    write_manifest(manifest, {"P1": 1, source.name: 2})
    data = replace(detector.config.data, split=str(manifest))

    def member(fold):
        config = replace(detector.config, data=replace(data, fold=fold))
        return Member(f"fold{fold}", replace(detector, config=config))

    tested, trained = member(2), member(1)
    assert Detectors([tested], 0.3).trained_on(source.name, []) == []
    assert Detectors([trained], 0.3).trained_on(source.name, []) == ["fold1"]
    with pytest.raises(ValueError, match="fold1 of the ensemble was trained on"):
        read_source(source, Detectors([tested, trained], 0.3), lambda x: x)
    one = read_source(source, Detectors([trained], 0.3), lambda x: x)
    assert one.cautions[0].code == "trained_on"


def test_a_scan_under_another_name_is_known_by_its_slices(detector, tmp_path):
    manifest = tmp_path / "folds.json"
    write_manifest(manifest, {"P1": 1, "P2": 2})
    data = replace(detector.config.data, split=str(manifest), fold=1)
    config = replace(detector.config, data=data)
    known = Detectors([Member("a", replace(detector, config=config))], 0.3)
    assert known.trained_on("other", ["hash of P2"]) == ["a"]
    assert known.trained_on("other", ["hash of P1"]) == []  # the one that it tests
    assert known.unknown_training == []
    manifest.rename(tmp_path / "moved.json")
    assert known.trained_on("other", ["hash of P2"]) == []
    assert known.unknown_training == ["a"]


def test_a_run_that_cannot_tell_whom_it_was_trained_on_is_named(detector, tmp_path):
    path = scan_files.write(tmp_path / "a.nii.gz", ct_sets.scan([ct_sets.LAD])[0])
    image_sets.picture(tmp_path / "b.png", 40, 50)
    for source in find([path, tmp_path / "b.png"]).sources:
        known = Detectors([Member("run7", detector)], 1.0)  # its folds are of a seed
        *_, last = read_source(source, known, lambda x: x).unchecked
        assert last.startswith("whether run7 was trained on this patient")


def write_manifest(path: Path, folds: dict[str, int]) -> None:
    """A manifest with a slice for each patient."""
    entries = {
        f"{p}_z000": fold_manifest.Entry(p, k, f"hash of {p}") for p, k in folds.items()
    }
    summary = tuple(fold_manifest.Fold(1, 1, 0, 0.0, {}) for _ in folds)
    fold_manifest.write(
        fold_manifest.Manifest(len(folds), "patient", 0, entries, summary), path
    )


def test_images_have_boxes_and_no_score(command, tmp_path):
    image_sets.picture(tmp_path / "in" / "a.png", 40, 50)
    image_sets.picture(tmp_path / "in" / "b.png", 30, 60, 99)
    out = command(tmp_path / "out", tmp_path / "in", threshold=0.0)
    (result,) = (p for p in out.iterdir() if p.is_dir())
    rows = read(result / "boxes.csv")
    assert {row["image"] for row in rows} <= {"a", "b"}
    content = document(result)
    assert len(rows) == len(content["boxes"]) > 0
    assert content["input"]["images"] == ["a", "b"]
    assert not (result / "lesions.nii.gz").exists()
    assert (result / "overlays.png").read_bytes()[:4] == b"\x89PNG"
    none = command(tmp_path / "none", tmp_path / "in" / "a.png", threshold=1.0)
    assert read(none / "a" / "boxes.csv") == []


def test_an_unknown_output_is_refused_before_anything_is_read(command, tmp_path):
    with pytest.raises(ValueError, match="'pdf' is not written; there are: csv"):
        command(tmp_path / "out", tmp_path, save=["pdf"])


def test_dicom_objects_stand_beside_the_files_of_a_series(
    command, tmp_path, monkeypatch
):
    highdicom = pytest.importorskip("highdicom", reason="pip install highdicom")
    from tests.prediction.dicom.ct_files import ct_series  # needs it too

    hu, _ = ct_sets.scan([ct_sets.LAD])
    (tmp_path / "in").mkdir()
    ct_series(tmp_path / "in" / "series", hu)
    ct_sets.write(tmp_path / "in" / "x.nii.gz", hu)
    with pytest.raises(ValueError, match="1 of 2 inputs could not be read"):
        command(tmp_path / "out", tmp_path / "in", save=[], dicom=["sr", "gsps"])
    rows = {row["kind"]: row for row in read(tmp_path / "out" / "index.csv")}
    assert "--dicom: no DICOM series" in rows["volume"]["error"]
    result = tmp_path / "out" / rows["dicom"]["name"]
    files = {p.name for p in result.iterdir()}
    assert files == {"predictions.json", "sr.dcm", "gsps.dcm"}
    report = highdicom.sr.srread(result / "sr.dcm")
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) == len(document(result)["boxes"]) > 0
