"""A preparation opens each file, and enters each step, as often as it must."""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests import ct_sets, image_sets, scan_files
from tqgd_jax.config import Config, Crop
from tqgd_jax.data.batches.resident import arrays, take
from tqgd_jax.data.dataset import load
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.prepare import prepare
from tqgd_jax.io import images as io_images

PACKAGE = Path(__file__).parents[2] / "tqgd_jax"
DISCOVERY = (
    *("data/discover/layout.discover", "io/walk.files"),
    *("data/discover/scan_folder.among", "data/discover/image_folder.among"),
    *("data/discover/image_folder.named", "data/discover/image_folder._pair"),
    *("data/discover/scan_folder._volumes", "data/discover/scan_folder._dicom"),
    *("data/discover/scan_folder.deciding", "data/discover/split_source.source"),
    *("io/coco.entries", "io/dicom/series.dicom_folders"),
)
STEPS = (
    *("data/prepared/prepare._write", "data/index_dataset.read"),
    *("data/read/image_set.rows", "data/read/image_set.read"),
    *("data/read/scans.rows", "data/read/scans.read"),
)
SPLIT = ("data/split/splits.split", "data/split/patients.patients")
opened: list[str] = []  # every file, while `seen` looks
looking = threading.Event()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and looking.is_set() and isinstance(arguments[0], str):
        opened.append(arguments[0])


sys.addaudithook(_hook)


@contextmanager
def seen() -> Iterator[tuple[Counter[str], Counter[str]]]:
    """How often each file is opened in Python, and each function of ours entered.

    Files are called by their name, functions as in "data/open.open_data".
    """
    entered: list[str] = []

    def enter(frame: Any, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(f"{PACKAGE}/"):
            module = file.removeprefix(f"{PACKAGE}/").removesuffix(".py")
            entered.append(f"{module}.{frame.f_code.co_name}")

    files, functions = Counter(), Counter()
    opened.clear()
    threading.setprofile(enter)
    sys.setprofile(enter)
    looking.set()
    try:
        yield files, functions
    finally:
        looking.clear()
        sys.setprofile(None)
        threading.setprofile(None)
    files.update(os.path.basename(name) for name in opened)
    functions.update(entered)


# A set that changes while it is read is refused: it is discovered and each file hashed
# before and after, so what a check opens is opened twice.
CHECKS = 2
HASH = LOOK = 1
# Boxes need the sizes of images and the windows of scans, records need pixels after
# that, and the pixels of a set do not fit in memory.
FACTS = PIXELS = LABEL = 1
# By a part of the path: how often one check opens a file, and how often reading does.
Wanted = dict[str, tuple[int, int]]


def images(root: Path) -> tuple[Config, Wanted]:
    """Folds know an image by its hash, which is that of the fingerprint."""
    image_sets.small(root)
    (root / "split.csv").unlink()
    (root / "hearts.csv").write_text("image,x0,y0,x1,y1\na,8,2,24,14\n")
    config = image_sets.config(root, split="folds", crop=Crop(method="hearts.csv"))
    png, label = (HASH, FACTS + PIXELS), (HASH, LABEL)
    return config, {".png": png, ".xml": label, ".csv": label}


def coco(root: Path) -> tuple[Config, Wanted]:
    """A json is looked at to know the format, and is read once to pair its images."""
    image_sets.picture(root / "a.png")
    annotation = {"image_id": 1, "category_id": 5, "bbox": [1, 2, 4, 7]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}],
        "categories": [{"id": 5, "name": "cac"}],
        "annotations": [annotation | {"id": 1}],
    }
    (root / "train.json").write_text(json.dumps(content))
    of = {".png": (HASH, FACTS + PIXELS), ".json": (HASH + LOOK, LABEL)}
    return image_sets.config(root), of


def scans(root: Path) -> tuple[Config, Wanted]:
    """Of the csv files one names patients and parts, one the hearts of all scans."""
    ct_sets.orcascore(root, 2)
    names = ("TRV1P1", "TRV2P2")
    hearts = [f"{name}CTI,0,24,5,40,20" for name in names]
    (root / "hearts.csv").write_text("\n".join(["scan,z,x0,y0,x1,y1", *hearts]))
    image_sets.table(root, [f"{n},train,{n}" for n in names], "image,split,group")
    label = (HASH, LABEL)
    of = {"Images/": (HASH, FACTS + PIXELS), "Reference": label, ".csv": label}
    return ct_sets.config(root, "hearts.csv"), of


def dicom(root: Path) -> tuple[Config, Wanted]:
    """Only what is inside tells a DICOM file. GDCM opens it as well, to decode it."""
    scan_files.series(root / "train", scan_files.some_hu())
    uid = "1.2.3.4.5.3"
    image_sets.voc(root / "xml" / f"{uid}.xml", [("x", 1, 2, 4, 5)], h=6, w=7)
    of = {"train/": (HASH + LOOK, FACTS + PIXELS), "xml/": (HASH + LOOK, LABEL)}
    return ct_sets.config(root), of


@pytest.mark.parametrize("make", [images, coco, scans, dicom])
def test_a_file_is_opened_as_often_as_it_must(tmp_path, make):
    root = tmp_path / "set"
    root.mkdir()
    config, wanted = make(root)
    checked, read = {}, {}
    for file in (file for file in root.rglob("*") if file.is_file()):
        kind = next(k for k in wanted if k in file.relative_to(root).as_posix())
        checked[file.name], read[file.name] = wanted[kind]

    with seen() as (files, functions):
        open_data(config)
    assert {n: files[n] for n in read} == {
        n: CHECKS * checked[n] + read[n] for n in read
    }
    discovery = {k: n for k, n in functions.items() if k in DISCOVERY}
    assert set(discovery.values()) == {CHECKS}
    assert len(discovery) >= 4
    steps = {k: n for k, n in functions.items() if k in STEPS}
    assert set(steps.values()) == {1}
    assert len(steps) == len(STEPS) - 2  # of images or of scans
    assert [functions[k] for k in SPLIT] == [1, 1]

    with seen() as (files, functions):
        open_data(config)  # of what is prepared
    # the pairs of a json are known while it is the same file; the split is made anew
    assert {n: files[n] - (n == "split.csv") * LABEL for n in read} == checked
    assert {functions[k] for k in discovery} == {1}
    assert not any(functions[k] for k in STEPS)
    assert [functions[k] for k in SPLIT] == [1, 1]


@pytest.mark.parametrize("change", ["pixels", "new image"])
def test_a_set_that_changes_while_it_is_read_is_refused(tmp_path, change, monkeypatch):
    config, _ = images(tmp_path / "set")
    read = io_images.read_image

    def slowly(path: Path) -> Any:
        name = "t2.png" if change == "pixels" else "new.png"
        image_sets.picture(path.with_name(name), value=99)
        return read(path)

    monkeypatch.setattr(io_images, "read_image", slowly)
    with pytest.raises(ValueError, match="set: changed while it was read; start again"):
        open_data(config)
    assert not [f for f in (tmp_path / "cache").iterdir() if f.suffix != ".lock"]


def folds(root: Path, kind: str, seed: int = 0, **data: Any) -> Config:
    """Three folds of a set in `root`: scans cut by hearts, or images."""
    settings = {"split": "folds", "folds": 3, **data}
    if kind == "scans":
        settings["hold_out"] = 0.3
        made = ct_sets.config(root, "hearts.csv", **settings)
    else:
        made = image_sets.config(root, **settings)
    made.seed = seed
    return made


@pytest.mark.parametrize("kind", ["images", "scans"])
def test_other_folds_and_seeds_decode_nothing_and_compile_nothing(tmp_path, kind):
    root = tmp_path / "set"
    if kind == "scans":
        ct_sets.orcascore(root, 7)
        rows = [f"TRV{1 + k % 2}P{1 + k}CTI,0,24,5,40,20" for k in range(7)]
        (root / "hearts.csv").write_text("\n".join(["scan,z,x0,y0,x1,y1", *rows]))
    else:
        image_sets.small(root)
    open_data(folds(root, kind))
    folder = prepare(folds(root, kind))
    pixels = {
        f.name for f in root.rglob("*.*") if f.suffix in (".png", ".mhd", ".zraw")
    }

    for slices in ("all", "positive"):
        traced, tested, sizes = [], [], set()

        @jax.jit
        def compiled(resident, rows, traced=traced):
            traced.append(resident.image.shape)
            return take(resident, rows)

        for fold, seed in ((2, 0), (1, 1), (3, 0), (1, 0)):
            config = folds(root, kind, seed, fold=fold, slices=slices)
            with seen() as (files, functions):
                parts = open_data(config)
            assert {files[name] for name in pixels} == {HASH}
            assert not any(functions[k] for k in STEPS)
            assert prepare(config) == folder
            train = parts["train"]
            resident = arrays(train)
            rows = np.arange(2, dtype=np.int32)[:, None]
            batch = compiled(resident, rows)
            assert np.array_equal(batch.image, load(train, rows).image)
            assert not resident.valid[len(train.names) :].any()
            tested += [] if seed else parts["test"].names
            sizes.add(len(train.names))
        assert traced == [(train.capacity, *train.shape)]
        assert train.capacity > max(sizes)
        if slices == "all" or kind == "images":  # all of them test once
            assert len(tested) == len(set(tested)) == (42 if kind == "scans" else 7)
    assert sorted(p for p in folder.parent.iterdir() if p.is_dir()) == [folder]


def test_one_set_serves_windows_that_follow_labels_and_those_that_do_not(tmp_path):
    """LAD of slice 1 is x 20 to 25, y 10 to 14; the window is x 22 to 42, y 3 to 22."""
    root = ct_sets.orcascore(tmp_path / "set", 2)
    names = ("TRV1P1CTI", "TRV2P2CTI")
    hearts = [f"{name},0,24,5,40,20" for name in names]
    (root / "hearts.csv").write_text("\n".join(["scan,z,x0,y0,x1,y1", *hearts]))
    hu, _ = ct_sets.scan([ct_sets.LAD, ct_sets.RCA])
    plain, wide = (22, 3, 42, 22), (16, 3, 42, 22)
    for parts, widen, window in (
        (("train", "test"), "train", wide),
        (("test", "train"), "train", plain),
        (("train", "test"), "none", plain),
        (("test", "train"), "all", wide),
    ):
        image_sets.table(root, [f"{n},{p}" for n, p in zip(names, parts, strict=True)])
        config = ct_sets.config(root, "hearts.csv")
        config.data.crop.widen = widen
        source = open_data(config)[parts[0]]
        x0, y0, x1, y1 = source.slices[1].crop
        assert (x0, y0, x1, y1) == window
        assert source.boxes[1].tolist() == [[20 - x0, 10 - y0, 25 - x0, 14 - y0]]
        assert np.array_equal(source.image(1)[:, :, 0], hu[1, y0:y1, x0:x1])
    assert len([p for p in (tmp_path / "cache").iterdir() if p.is_dir()]) == 1
