import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial import KDTree

from tests.phantom.cohorts import SMALL, cohort, hashes
from tqgd_jax.commands.phantom import main
from tqgd_jax.phantom.anatomy import draw_patient
from tqgd_jax.phantom.arteries import LABELS, draw_arteries
from tqgd_jax.phantom.dataset import patient_name, simulate
from tqgd_jax.phantom.heart import Heart

IMAGES, MASKS = "Training Set/Images", "Training Set/Reference standard"


def read(out: Path, name: str):
    image = sitk.ReadImage(str(out / IMAGES / f"{name}CTI.mhd"))
    mask = sitk.ReadImage(str(out / MASKS / f"{name}R.mhd"))
    return image, mask


def record(out: Path) -> dict:
    return json.loads((out / "phantom.json").read_text())


def test_the_same_seed_gives_the_same_bits_for_any_number_of_workers():
    assert hashes(cohort("gated", 1)) == hashes(cohort("gated", 2))


def test_a_patient_does_not_depend_on_how_many_there_are(tmp_path):
    out = tmp_path / "one"
    simulate(out, preset="gated", seed=5, workers=1, **{**SMALL, "patients": 1})
    whole = hashes(cohort("gated", 1))
    assert {k: v for k, v in hashes(out).items() if k.startswith("Training")} == {
        k: v for k, v in whole.items() if "TRV1P1" in k
    }


def test_another_seed_gives_another_patient(tmp_path):
    out = tmp_path / "other"
    simulate(out, preset="gated", seed=6, workers=1, **{**SMALL, "patients": 1})
    name = f"{IMAGES}/TRV1P1CTI.zraw"
    assert hashes(out)[name] != hashes(cohort("gated", 1))[name]


def test_names_count_patients_of_a_scanner_then_scanners():
    names = [patient_name(i) for i in (0, 7, 8, 31, 32)]
    assert names == ["TRV1P1", "TRV1P8", "TRV2P1", "TRV4P8", "TRV5P1"]


def test_files_are_those_of_orcascore_and_compressed():
    out = cohort("gated", 1)
    written = {str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()}
    expected = {"phantom.json", "heart_boxes.csv"}
    for k in (1, 2):
        expected |= {f"{IMAGES}/TRV1P{k}CTI.{s}" for s in ("mhd", "zraw")}
        expected |= {f"{MASKS}/TRV1P{k}R.{s}" for s in ("mhd", "zraw")}
    assert written == expected
    head = (out / IMAGES / "TRV1P1CTI.mhd").read_text()
    assert "CompressedData = True" in head
    assert "ElementType = MET_SHORT" in head
    assert "ElementDataFile = TRV1P1CTI.zraw" in head


def test_headers_hold_size_spacing_and_place():
    image, mask = read(cohort("gated", 1), "TRV1P1")
    assert image.GetPixelID() == sitk.sitkInt16
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert image.GetSize() == mask.GetSize() == (128, 128, 10)
    # Vendor 1 has the preset's own field of view (218 mm) and slices of 3 mm.
    np.testing.assert_allclose(image.GetSpacing(), (218 / 128, 218 / 128, 3.0))
    assert mask.GetSpacing() == image.GetSpacing()
    assert mask.GetOrigin() == image.GetOrigin()
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    # The field of view is centred on (14, -16) mm.
    middle = np.array(image.GetOrigin()) + 127 / 2 * np.array(image.GetSpacing())
    np.testing.assert_allclose(middle[:2], (14, -16), atol=1e-6)


@pytest.mark.parametrize("preset", ["gated", "nongated"])
def test_the_mask_marks_bright_voxels_beside_its_own_artery(preset):
    out = cohort(preset, 1)
    marked = 0
    for i in range(SMALL["patients"]):
        image, mask = read(out, patient_name(i))
        labels, hu = sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(image)
        assert set(np.unique(labels)) <= {0, 1, 2, 3}
        assert (hu[labels > 0] > 130).all()
        body = np.random.default_rng(np.random.SeedSequence([5, i]).spawn(4)[0])
        heart = Heart(draw_patient(body))
        for artery in draw_arteries(heart, body):
            z, y, x = np.nonzero(labels == LABELS[artery.name])
            at = np.stack([x, y, z], axis=1) * image.GetSpacing() + image.GetOrigin()
            if len(at):
                far, _ = KDTree(artery.points).query(at)
                # Wall, half a large lesion, heart motion and two pixels of 1.7-2.8 mm.
                assert far.max() < 14
            marked += len(at)
    assert marked > 20


@pytest.mark.parametrize("preset", ["gated", "nongated"])
def test_heart_boxes_enclose_every_marked_voxel(preset):
    out = cohort(preset, 1)
    with (out / "heart_boxes.csv").open() as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["scan", "z", "x0", "y0", "x1", "y1"]
    boxes = {(r["scan"], int(r["z"])): r for r in table}
    assert len(boxes) == len(table)
    for i in range(SMALL["patients"]):
        name = patient_name(i)
        labels = sitk.GetArrayFromImage(read(out, name)[1])
        for z, y, x in np.argwhere(labels):
            box = boxes[f"{name}CTI", int(z)]
            assert int(box["x0"]) <= x < int(box["x1"])
            assert int(box["y0"]) <= y < int(box["y1"])


def test_the_record_agrees_with_the_mask():
    out = cohort("gated", 1)
    for name, patient in record(out)["patient"].items():
        image, mask = read(out, name)
        labels, hu = sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(image)
        for artery, label in LABELS.items():
            seen = [
                r for r in patient["lesions"] if r["artery"] == artery and r["visible"]
            ]
            assert bool(seen) == (labels == label).any()
            if seen:
                peak = max(r["peak_hu"] for r in seen)
                assert peak == hu[labels == label].max()


def test_nongated_shows_the_whole_body_with_more_noise():
    gated, _ = read(cohort("gated", 1), "TRV1P2")
    free, _ = read(cohort("nongated", 1), "TRV1P2")
    assert free.GetSpacing()[0] > 1.5 * gated.GetSpacing()[0]
    assert free.GetSpacing()[2] == 4.0
    a, b = (sitk.GetArrayFromImage(v).astype(float) for v in (gated, free))
    edge = np.ones((128, 128), bool)
    edge[4:-4, 8:-8] = False
    edge[90:] = False  # the couch
    assert np.median(b[:, edge]) < -950  # air on all sides
    assert np.median(a[:, edge]) > -950  # the image cuts the body

    body = np.random.default_rng(np.random.SeedSequence([5, 1]).spawn(4)[0])
    middle = Heart(draw_patient(body)).at(17, 4, -8)  # of the left ventricle

    def noise(volume, image):  # in 14 mm of blood; differences remove a gradient
        x, y, z = image.TransformPhysicalPointToIndex(middle)
        n = round(7 / image.GetSpacing()[0])
        part = volume[z - 1 : z + 2, y - n : y + n, x - n : x + n]
        return np.median((part[1:] - part[:-1]).std(axis=(1, 2))) / np.sqrt(2)

    # 19 and 31 HU are asked for, times 0.85 for this scanner and the body's size.
    assert 11 < noise(a, gated) < 24
    assert noise(b, free) > 1.25 * noise(a, gated)


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(cohort("gated", 1), tmp_path / "set"))


def test_a_deleted_file_comes_back_and_nothing_else_is_touched(tmp_path):
    out = copy(tmp_path)
    before = hashes(out)
    lost = out / IMAGES / "TRV1P2CTI.zraw"
    lost.unlink()
    finished = out / IMAGES / "TRV1P1CTI.zraw"
    time = finished.stat().st_mtime_ns
    simulate(out, preset="gated", seed=5, workers=1, **SMALL)
    assert hashes(out) == before
    assert finished.stat().st_mtime_ns == time


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    out = tmp_path / "set"
    from tqgd_jax.phantom import dataset as module

    real = module.one_patient

    def stop(folder, params, i):
        if i == 1:
            raise KeyboardInterrupt
        return real(folder, params, i)

    monkeypatch.setattr(module, "one_patient", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(out, preset="gated", seed=5, workers=1, **SMALL)
    assert not (out / "phantom.json").exists()
    done = []

    def count(folder, params, i):
        done.append(i)
        return real(folder, params, i)

    monkeypatch.setattr(module, "one_patient", count)
    simulate(out, preset="gated", seed=5, workers=1, **SMALL)
    assert done == [1]
    assert hashes(out) == hashes(cohort("gated", 1))


def test_no_trace_of_the_work_is_left_after_an_interrupted_end(tmp_path):
    out = copy(tmp_path)
    (out / "phantom.partial").mkdir()  # stopped between the record and the cleaning
    simulate(out, preset="gated", seed=5, workers=1, **SMALL)
    assert hashes(out) == hashes(cohort("gated", 1))
    assert not (out / "phantom.partial").exists()


def test_a_complete_folder_is_left_alone(tmp_path):
    out = copy(tmp_path)
    times = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    simulate(out, preset="gated", seed=5, workers=1, **SMALL)
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*")} == times


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no phantom"):
        simulate(tmp_path, workers=1, **SMALL)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_other_parameters_are_refused_by_name(tmp_path):
    out = copy(tmp_path)
    before = hashes(out)
    with pytest.raises(ValueError, match="seed is 5 there, 7 asked for"):
        simulate(out, preset="gated", seed=7, workers=1, **SMALL)
    assert hashes(out) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "helical"}, "unknown preset 'helical'; there are: gated, nongated"),
        ({"size": 200}, "size must be a multiple of 128"),
        ({"patients": 0}, "patients must be at least 1"),
        ({"slices": 0}, "slices must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"workers": -1}, "workers must be at least 0"),
    ],
)
def test_parameters_that_make_no_scan_are_refused(
    tmp_path, wrong: dict[str, Any], message
):
    with pytest.raises(ValueError, match=message):
        simulate(tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_the_command_line_reports_an_error_and_its_status(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["--out", str(tmp_path)]) == 1
    assert "holds no phantom" in capsys.readouterr().err
