"""A prepared set is whole, fits the data, or is made again."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.image_sets import config, picture, small, table, voc, voc_set
from tqgd_jax.config import Config
from tqgd_jax.data.dataset import boxes_at, in_order, load, required, same_data
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.prepare import prepare

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return config(small(tmp_path / "set"))


def test_what_is_prepared_is_what_was_written(cfg):
    data = open_data(cfg)
    assert list(data) == ["train", "test"]
    train, test = data["train"], data["test"]
    assert train.names == ["a", "b", "c", "d", "e"]
    assert test.names == ["t1", "t2"]
    assert train.classes == test.classes == ("cac", "other")
    assert train.patients == train.names
    assert train.shape == test.shape == (24, 30, 1)
    assert train.max_boxes == test.max_boxes == 2
    assert train.dtype == np.uint8
    assert train.sizes.tolist() == [[20, 30]] * 4 + [[24, 26]]
    assert train.boxes[1].tolist() == [[1, 2, 5, 9], [10, 3, 20.5, 8.25]]
    assert [k.tolist() for k in train.labels] == [[0], [0, 0], [], [1], [0]]
    c = train.image(2)
    assert c.shape == (20, 30, 1)
    assert c[1, 2, 0] == 200
    assert c[0, 0, 0] == 3


@pytest.mark.parametrize("mode", ["I;16", "RGB"])
def test_deep_and_colour_images_survive(tmp_path, mode):
    root = tmp_path / "set"
    voc_set(root, {"a": [("x", 1, 2, 5, 9)]})
    rng = np.random.default_rng(0)
    shape, dtype = ((20, 30), "u2") if mode == "I;16" else ((20, 30, 3), "u1")
    pixels = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    Image.fromarray(pixels).save(root / "images" / "a.png")
    train = open_data(config(root, ratio=(1.0, 0.0, 0.0)))["train"]
    assert train.dtype == np.dtype(dtype)
    assert np.array_equal(train.image(0), pixels.reshape(20, 30, -1))


def test_load_pads_and_marks_padding(cfg):
    train = open_data(cfg)["train"]
    batch = load(train, np.array([[4, 1], [-1, 2]], np.int32))
    assert batch.image.shape == (2, 2, 24, 30, 1)
    assert batch.size.tolist() == [[[24, 26], [20, 30]], [[1, 1], [20, 30]]]
    assert np.array_equal(batch.image[0, 0, :24, :26], train.image(4))
    assert not batch.image[0, 0, :, 26:].any()
    assert not batch.image[0, 1, 20:].any()
    assert not batch.image[1, 0].any()
    valid = [[[True, False], [True, True]], [[False, False], [False, False]]]
    assert batch.valid.tolist() == valid
    assert batch.boxes[0, 0].tolist() == [[1, 2, 5, 9], [0, 0, 0, 0]]
    assert batch.index.tolist() == [[4, 1], [-1, 2]]


def test_in_order_shows_each_image_once(cfg):
    batches = list(in_order(open_data(cfg)["train"], 2))
    assert [b.index.tolist() for b in batches] == [[[0], [1]], [[2], [3]], [[4], [-1]]]
    assert [int(b.image[0, 0, 0, 0, 0]) for b in batches] == [1, 3, 9]


def test_boxes_at_the_size_of_the_network(cfg):
    data = open_data(cfg)
    # t1: 4x7 px in an image 30 wide, shown at 60
    assert boxes_at(data["test"], 60).tolist() == [[8, 14]]
    # a, b (two), d at 60 / 30; e at 60 / 26
    wide = [2 * 4, 2 * 4, 2 * 10.5, 2 * 30, 60 / 26 * 4]
    np.testing.assert_allclose(boxes_at(data["train"], 60)[:, 0], wide, rtol=1e-6)


def test_a_missing_split_names_those_there_are(cfg):
    data = open_data(cfg)
    assert required(data, "test", cfg) is data["test"]
    with pytest.raises(
        ValueError, match=r"no split 'val'; .* train \(5\), test \(2\); dat"
    ):
        required(data, "val", cfg)


def test_other_data_than_in_training_is_told(cfg, caplog):
    train = open_data(cfg)["train"]
    same_data(train, open_data(cfg)["test"].fingerprint)
    assert caplog.text == ""
    picture(Path(cfg.data.dir) / "images" / "a.png", value=99)
    same_data(open_data(cfg)["train"], train.fingerprint)
    assert "other data than in training" in caplog.text


def test_tfds_alone_reads_the_records(cfg):
    (folder,) = (f.parent for f in prepare(cfg).rglob("features.json"))
    run = subprocess.run(
        [sys.executable, "-c", TFDS, folder], capture_output=True, check=True
    )
    boxes, (height, width, _) = json.loads(run.stdout.splitlines()[-1])
    assert boxes > 0
    assert min(height, width) > 0


TFDS = """
import json, sys
import tensorflow_datasets as tfds
first = tfds.builder_from_directory(sys.argv[1]).as_data_source()["images"][0]
assert not any(name.startswith("tqgd") for name in sys.modules)
print(json.dumps([len(first["boxes"]), first["image"].shape]))
"""


def test_the_same_data_is_prepared_once(cfg):
    folder = prepare(cfg)
    before = folder.stat().st_mtime_ns
    assert prepare(cfg) == folder
    assert folder.stat().st_mtime_ns == before
    assert folder.name.startswith("set-")


@pytest.mark.parametrize("what", ["pixels", "boxes", "split", "new image"])
def test_changed_files_are_prepared_again(cfg, what, caplog):
    root = Path(cfg.data.dir)
    prepare(cfg)
    if what == "pixels":
        picture(root / "images" / "a.png", value=99)
    elif what == "boxes":
        voc(root / "annotations" / "a.xml", [("cac", 1, 2, 5, 8)])
    elif what == "split":
        table(root, [*(f"{n},train" for n in "abcd"), "e,val", "t1,test", "t2,test"])
    else:
        picture(root / "images" / "f.png")
        with (root / "split.csv").open("a") as file:
            file.write("f,train\n")
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        data = open_data(cfg)
    anew = (
        "no prepared set fits these files and settings (others of this folder, kept: 1"
    )
    assert (anew in caplog.text) == (what != "split")
    seen = {
        "pixels": data["train"].image(0)[0, 0, 0] == 99,
        "boxes": data["train"].boxes[0].tolist() == [[1, 2, 5, 8]],
        "split": data.get("val") is not None and data["val"].names == ["e"],
        "new image": "f" in data["train"].names,
    }
    assert seen == {k: k == what for k in seen}


def test_of_several_prepared_sets_one_line_is_said(cfg, tmp_path, caplog):
    root = Path(cfg.data.dir)
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        prepare(config(small(tmp_path / "other")))
        prepare(cfg)  # the other folder's set is none of this one
        assert "preparing anew" not in caplog.text
        for policy in ("drop", "clip"):
            caplog.clear()
            prepare(config(root, bad_labels=policy))
            assert caplog.text.count("preparing anew") == 1
        assert "kept: 2" in caplog.text
        caplog.clear()
        prepare(cfg)  # there it is
    assert "preparing" not in caplog.text


def test_settings_of_pixels_are_prepared_apart_and_those_of_parts_told_apart(cfg):
    def changed(seed: int = 0, **data: object) -> tuple[bool, bool]:
        one = config(Path(cfg.data.dir), **data)
        one.seed = seed
        marks = [open_data(of)["train"].fingerprint for of in (one, cfg)]
        return prepare(one) != prepare(cfg), marks[0] != marks[1]

    assert changed(classes=("other", "cac")) == (True, True)
    assert changed(bad_labels="drop") == (True, True)
    for parts in ({"hold_out": 0.3}, {"group": "(.)"}, {"slices": "positive"}):
        assert changed(**parts) == (False, True)
    held = [config(Path(cfg.data.dir), hold_out=part) for part in (0.3, 0.6)]
    assert len({open_data(one)["train"].fingerprint for one in held}) == 2
    assert changed(batch_size=7) == (False, False)
    assert changed(split="ratio", ratio=(0.5, 0.2, 0.3)) == (False, True)
    assert changed(ratio=(0.5, 0.2, 0.3)) == (False, False)  # the split is given
    assert changed(seed=5) == (False, False)  # nothing seeded
    assert changed(seed=5, hold_out=0.3) == (False, True)


def test_images_without_a_box_do_not_train_where_the_paper_has_none(cfg, caplog):
    every = open_data(cfg)
    cfg.data.slices = "positive"
    with caplog.at_level("INFO", "tqgd_jax"):
        positive = open_data(cfg)
    assert every["train"].names == ["a", "b", "c", "d", "e"]
    assert positive["train"].names == ["a", "b", "d", "e"]
    assert positive["test"].names == every["test"].names == ["t1", "t2"]  # t2 has none
    assert "1 images without a box do not train" in caplog.text
    assert positive["train"].fingerprint != every["train"].fingerprint


def test_a_training_part_without_any_box_is_told(tmp_path):
    root = voc_set(tmp_path / "set", {"a": [], "b": [], "t": [("cac", 1, 2, 5, 9)]})
    table(root, ["a,train", "b,train", "t,test"])
    with pytest.raises(ValueError, match=r"none of the 2 training images has a box"):
        open_data(config(root, slices="positive"))
    assert open_data(config(root))["train"].names == ["a", "b"]


def test_bad_labels_stop_the_preparation_and_leave_nothing(tmp_path):
    root = voc_set(tmp_path / "set", {"a": [("x", 5, 5, 5, 9), ("x", 1, 1, 4, 4)]})
    one = config(root, ratio=(1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"a\.xml:3: degenerate"):
        open_data(one)
    assert not [f for f in (tmp_path / "cache").iterdir() if f.suffix != ".lock"]
    one.data.bad_labels = "drop"
    assert open_data(one)["train"].boxes[0].tolist() == [[1, 1, 4, 4]]


def test_a_truncated_image_stops_the_preparation_by_name(cfg, tmp_path):
    path = Path(cfg.data.dir) / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"b\.png: unreadable: truncated"):
        open_data(cfg)
    assert not [f for f in (tmp_path / "cache").iterdir() if f.suffix != ".lock"]


def test_a_mixture_of_grey_and_colour_is_refused(cfg):
    path = Path(cfg.data.dir) / "images" / "b.png"
    Image.new("RGB", (30, 20)).save(path)
    with pytest.raises(ValueError, match=r"a\.png is grey uint8, .*b\.png is RGB"):
        open_data(cfg)


@pytest.mark.parametrize("file", ["index.npz", "records/*/*/*images*", "manifest.json"])
def test_a_store_that_lost_bytes_is_made_again(cfg, file, caplog):
    folder = prepare(cfg)
    (path,) = folder.glob(file)
    path.write_bytes(path.read_bytes()[:100])
    data = open_data(cfg)
    assert "is damaged and is made again" in caplog.text
    assert data["train"].image(0)[0, 0, 0] == 1


@pytest.mark.parametrize("file", ["index.npz", "records/*/*/*images*"])
def test_a_store_with_wrong_bytes_says_what_to_delete(cfg, file):
    folder = prepare(cfg)
    (path,) = folder.glob(file)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ValueError, match="delete") as caught:
        open_data(cfg)["train"].image(0)
    assert str(folder) in str(caught.value)


KILLED = """
import os, signal, sys
from tests.image_sets import config
from tqgd_jax.data.prepared import prepare
from tqgd_jax.io import images
from pathlib import Path
read = images.read_image
def kill(path):
    if path.stem == "d":
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path)
images.read_image = kill
prepare.prepare(config(Path(sys.argv[1])))
"""


def test_a_killed_preparation_leaves_nothing_that_is_used(cfg):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, cfg.data.dir],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    cache = Path(cfg.data.prepared_dir)
    assert [f.suffix for f in cache.iterdir() if f.is_dir()] == [".partial"]
    assert open_data(cfg)["train"].image(3)[0, 0, 0] == 4
    assert not list(cache.glob(".*.partial"))


def _prepare(directory: str, seen: "multiprocessing.Queue[str]") -> None:
    seen.put(str(prepare(config(Path(directory)))))


def test_two_processes_prepare_the_same_set(cfg):
    context = multiprocessing.get_context("spawn")
    seen = context.Queue()
    both = [context.Process(target=_prepare, args=(cfg.data.dir, seen)) for _ in "ab"]
    for process in both:
        process.start()
    folders = {seen.get(timeout=60) for _ in both}
    for process in both:
        process.join()
    assert folders == {str(prepare(cfg))}
    assert [process.exitcode for process in both] == [0, 0]
    assert open_data(cfg)["test"].image(1)[0, 0, 0] == 6
