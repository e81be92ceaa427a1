"""Patients stay whole, whoever says where they belong; leaks carry a stamp."""

import json
from pathlib import Path

import pytest

from tests.data.ct_sets import config, orcascore
from tqgd_jax.config import Config
from tqgd_jax.data.make_folds import make
from tqgd_jax.data.source import open_data


def patients(cfg: Config) -> dict[str, list[str]]:
    return {part: sorted(set(s.groups)) for part, s in open_data(cfg).items()}


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


def test_too_few_patients_say_the_way_out(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    with pytest.raises(
        ValueError, match=r"2 patients cannot make 5 folds.*data\.split"
    ):
        open_data(config(root))


def test_hold_out_takes_whole_patients(tmp_path):
    parts = patients(config(orcascore(tmp_path / "set"), hold_out=0.25))
    assert [len(parts[p]) for p in ("train", "val", "test")] == [3, 1, 1]
    assert len({p for of in parts.values() for p in of}) == 5


@pytest.mark.parametrize("row", ["TRV1P1", "TRV1P1CTI", "trv1p1cti"])
def test_a_csv_names_patients_scans_or_slices(tmp_path, row):
    root = orcascore(tmp_path / "set", 2)
    (root / "split.csv").write_text(f"image,split\n{row},test\nTRV2P2,train\n")
    assert patients(config(root)) == {"train": ["TRV2P2"], "test": ["TRV1P1"]}


def test_a_csv_that_leaks_is_refused(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    rows = [f"TRV1P1CTI_z00{z},{'train' if z < 3 else 'test'}" for z in range(6)]
    (root / "split.csv").write_text("\n".join(["image,split", *rows, "TRV2P2,train"]))
    with pytest.raises(ValueError, match=r"'TRV1P1' in \['test', 'train'\]"):
        open_data(config(root))
    # the csv's own patients count as well
    (root / "split.csv").write_text(
        "image,split,group\nTRV1P1,train,me\nTRV2P2,test,me\n"
    )
    with pytest.raises(ValueError, match="'me' in"):
        open_data(config(root))


def test_a_csv_with_an_unknown_name_is_refused(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    (root / "split.csv").write_text("image,split\nTRV9P9,train\n")
    with pytest.raises(
        ValueError, match=r"split\.csv:2: 'TRV9P9' is no slice, scan or"
    ):
        open_data(config(root))


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
    said = json.loads(path.read_text())
    name = next(iter(said["slices"]))
    old = said["slices"][name]["fold"]
    said["slices"][name]["fold"] = 1 + old % 5
    path.write_text(json.dumps(said))
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
    assert "measures leakage only" in data["train"].stamp
    assert data["test"].stamp == data["train"].stamp
    assert set(data["train"].groups) & set(data["test"].groups)


def test_folders_of_parts(tmp_path):
    root = tmp_path / "set"
    orcascore(root, 2)
    images = root / "Training Set" / "Images"
    for part, name in (("train", "TRV1P1CTI"), ("test", "TRV2P2CTI")):
        folder = root / part
        folder.mkdir()
        for suffix in (".mhd", ".zraw"):
            (images / f"{name}{suffix}").rename(folder / f"{name}{suffix}")
    assert patients(config(root)) == {"train": ["TRV1P1"], "test": ["TRV2P2"]}


def test_images_have_folds_too(tmp_path: Path):
    from tests.data.sets import config as images
    from tests.data.sets import voc_set

    names = {
        f"p{k}_{j}": [("x", 1.0, 1.0, 5.0, 5.0)] for k in range(5) for j in range(2)
    }
    root = voc_set(tmp_path / "png", names)
    said = {"group": r"(p\d)_", "split": "folds"}
    tested = [patients(images(root, **said, fold=k))["test"] for k in range(1, 6)]
    assert sorted(p for of in tested for p in of) == [f"p{k}" for k in range(5)]
    path = tmp_path / "f.json"
    make(images(root, group=r"(p\d)_"), path, 5, 0, "patient")
    parts = patients(images(root, group=r"(p\d)_", split=str(path)))
    assert len(parts["test"]) == 1
