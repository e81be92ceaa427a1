"""Patients stay whole, whoever says where they belong; leaks carry a disclaimer."""

import json
from pathlib import Path

import pytest

from tests.ct_sets import LAD, config, orcascore, scan, write
from tests.image_sets import config as images
from tests.image_sets import table, voc_set
from tests.scan_files import series, some_hu
from tqgd_jax.commands.folds import make
from tqgd_jax.config import Config
from tqgd_jax.data.open import open_data


def patients(cfg: Config) -> dict[str, list[str]]:
    return {part: sorted(set(s.patients)) for part, s in open_data(cfg).items()}


def test_the_default_is_fold_1_of_5_patients(tmp_path):
    root = orcascore(tmp_path / "set")
    tested = []
    for fold in range(1, 6):
        parts = patients(config(root, fold=fold))
        assert len(parts["train"]) == 4
        assert len(parts["test"]) == 1
        assert not set(parts["train"]) & set(parts["test"])
        tested += parts["test"]
    assert sorted(tested) == ["TRV1P1", "TRV1P3", "TRV1P5", "TRV2P2", "TRV2P4"]
    assert patients(config(root, split="folds")) == patients(config(root))


LEAK = [f"TRV1P1CTI_z00{z},{'train' if z < 3 else 'test'}" for z in range(6)]


@pytest.mark.parametrize(
    ("rows", "head", "group", "message"),
    [
        ([], "image", "", r"2 patients cannot make 5 folds.*data\.split"),
        (["TRV9P9,train"], "image,split", "", r"csv:2: 'TRV9P9' is no slice, scan or"),
        (
            [*LEAK, "TRV2P2,train"],
            "image,split",
            "",
            r"'TRV1P1' in \['test', 'train'\]",
        ),
        # the csv's own patients count as well
        (["TRV1P1,train,me", "TRV2P2,test,me"], "image,split,group", "", "'me' in"),
        ([], "", "persn", "'persn' is neither a column"),
        ([], "", "(XYZ)", "finds no patient in the file name"),
    ],
)
def test_a_split_that_cannot_be_is_refused(tmp_path, rows, head, group, message):
    root = orcascore(tmp_path / "set", 2)
    if rows:
        table(root, rows, head)
    with pytest.raises(ValueError, match=message):
        open_data(config(root, group=group))


def test_hold_out_takes_whole_patients(tmp_path):
    parts = patients(config(orcascore(tmp_path / "set"), hold_out=0.25))
    assert [len(parts[p]) for p in ("train", "val", "test")] == [3, 1, 1]
    assert len({p for of in parts.values() for p in of}) == 5


def test_a_hold_out_beside_a_val_part_is_logged(tmp_path, caplog):
    root = orcascore(tmp_path / "set", 3)
    table(root, ["TRV1P1,train", "TRV2P2,val", "TRV1P3,test"])
    with caplog.at_level("INFO", "tqgd_jax"):
        assert patients(config(root, hold_out=0.5))["val"] == ["TRV2P2"]
    assert "data.hold_out is not used: the split has a val part" in caplog.text


@pytest.mark.parametrize("row", ["TRV1P1", "TRV1P1CTI", "trv1p1cti"])
def test_a_csv_names_patients_scans_or_slices(tmp_path, row):
    root = orcascore(tmp_path / "set", 2)
    table(root, [f"{row},test", "TRV2P2,train"])
    assert patients(config(root)) == {"train": ["TRV2P2"], "test": ["TRV1P1"]}


def test_a_manifest_decides_and_is_checked(tmp_path):
    root = orcascore(tmp_path / "set")
    path = tmp_path / "folds.json"
    made = make(config(root), path, 5, 3, "patient")
    assert len(made.slices) == 30
    parts = patients(config(root, split=str(path), fold=2))
    fold2 = sorted({e.patient for e in made.slices.values() if e.fold == 2})
    assert parts["test"] == fold2
    with pytest.raises(ValueError, match="is there already"):
        make(config(root), path, 5, 3, "patient")
    # a patient in two folds
    manifest = json.loads(path.read_text())
    name = next(iter(manifest["slices"]))
    old = manifest["slices"][name]["fold"]
    manifest["slices"][name]["fold"] = 1 + old % 5
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="is in two folds"):
        open_data(config(root, split=str(path)))


def test_a_manifest_of_other_pixels_is_refused(tmp_path):
    root = orcascore(tmp_path / "set")
    path = tmp_path / "folds.json"
    make(config(root), path, 5, 3, "patient")
    orcascore(root, 4)  # patient 4 loses its deposits
    with pytest.raises(ValueError, match="with other pixels"):
        open_data(config(root, split=str(path)))


def test_a_leaky_manifest_stamps_what_comes_of_it(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    path = tmp_path / "slices.json"
    make(config(root), path, 5, 0, "slice")
    data = open_data(config(root, split=str(path)))
    assert "measures leakage only" in data["train"].disclaimer
    assert data["test"].disclaimer == data["train"].disclaimer
    assert set(data["train"].patients) & set(data["test"].patients)


def test_folders_of_parts(tmp_path):
    root = tmp_path / "set"
    orcascore(root, 2)
    for part, name in (("train", "TRV1P1CTI"), ("test", "TRV2P2CTI")):
        (root / part).mkdir()
        for file in (root / "Training Set" / "Images").glob(f"{name}.*"):
            file.rename(root / part / file.name)
    assert patients(config(root)) == {"train": ["TRV1P1"], "test": ["TRV2P2"]}


def test_images_have_folds_too(tmp_path: Path):
    boxes = [("x", 1.0, 1.0, 5.0, 5.0)]
    names = [f"p{k}_{j}" for k in range(5) for j in range(2)]
    root = voc_set(tmp_path / "png", dict.fromkeys(names, boxes))
    settings = {"group": r"(p\d)_", "split": "folds"}
    tested = [patients(images(root, **settings, fold=k))["test"] for k in range(1, 6)]
    assert sorted(p for of in tested for p in of) == [f"p{k}" for k in range(5)]
    path = tmp_path / "f.json"
    make(images(root, group=r"(p\d)_"), path, 5, 0, "patient")
    parts = patients(images(root, group=r"(p\d)_", split=str(path)))
    assert len(parts["test"]) == 1


@pytest.mark.parametrize("split", ["folds", "ratio", "manifest"])
def test_patients_of_a_csv_stay_whole_whoever_makes_the_parts(tmp_path, split):
    root = orcascore(tmp_path / "set")
    # TRV1P1 and TRV2P2 are one person
    rows = ["TRV1P1,a", "TRV2P2,a", "TRV1P3,b", "TRV2P4,c", "TRV1P5,d"]
    table(root, rows, "image,group")
    settings: dict[str, object] = {"split": split, "folds": 4}
    if split == "ratio":
        settings["ratio"] = (0.5, 0.25, 0.25)
    if split == "manifest":
        made = make(config(root, split="folds"), tmp_path / "f.json", 4, 0, "patient")
        assert {e.patient for e in made.slices.values()} == set("abcd")
        settings["split"] = str(tmp_path / "f.json")
    for fold in range(1, 5):
        parts = patients(config(root, **settings, fold=fold))
        assert sorted(p for of in parts.values() for p in of) == ["a", "b", "c", "d"]


def test_nobody_without_a_positive_slice_is_held_out(tmp_path):
    root = orcascore(tmp_path / "set")  # the fifth has no calcium
    train = ("TRV1P1", "TRV2P2", "TRV1P3", "TRV1P5")
    table(root, ["TRV2P4,test", *(f"{patient},train" for patient in train)])
    for seed in range(6):
        cfg = config(root, hold_out=0.25, slices="positive")
        cfg.seed = seed
        parts = patients(cfg)
        assert len(parts["val"]) == 1
        assert parts["val"] != ["TRV1P5"]


def test_a_part_without_a_positive_slice_is_logged(tmp_path, caplog):
    root = orcascore(tmp_path / "set", 2)
    table(root, ["TRV1P1,train", "TRV2P2,test"])
    assert list(patients(config(root, slices="positive"))) == ["train"]
    assert "no slice of the test patients has a box" in caplog.text


def test_lower_case_scans_in_a_csv(tmp_path):
    root = tmp_path / "set"
    for name in ("p1", "p2"):
        hu, mask = scan([LAD])
        write(root / f"{name}.nii.gz", hu)
        write(root / f"{name}_mask.nii.gz", mask)
    table(root, ["p1,train", "p2,test"])
    assert patients(config(root)) == {"train": ["P1"], "test": ["P2"]}


def test_dicom_series_in_folders_of_parts(tmp_path):
    root = tmp_path / "set"
    for k, part in enumerate(("train", "test")):
        tags = {"SeriesInstanceUID": f"1.2.{k}", "PatientID": part}
        uid = {"change": lambda z, k=k: {"SOPInstanceUID": f"1.{k}.{z}"}}
        series(root / part, some_hu(), **tags, **uid)
    assert patients(config(root, classes=("x",))) == {
        "train": ["train"],
        "test": ["test"],
    }


def test_a_manifest_may_have_more_folds_than_the_default(tmp_path):
    root = orcascore(tmp_path / "set", 6)
    made = make(config(root), tmp_path / "f.json", 6, 0, "patient")
    parts = patients(config(root, split=str(tmp_path / "f.json"), fold=6))
    sixth = {e.patient for e in made.slices.values() if e.fold == 6}
    assert set(parts["test"]) == sixth
