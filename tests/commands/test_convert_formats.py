"""What is exported reads back as it was, by our readers and by those of others."""

import csv
import json
import logging
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.commands.datasets import HU, noise, source
from tqgd_jax.commands.convert import export, stored
from tqgd_jax.config import Config, Data
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset
from tqgd_jax.io.images import read_image

FORMATS = ("yolo", "voc", "coco")


def again(out: Path, **data: object):
    """As our loader finds the folder, with the settings that export.json names."""
    settings = json.loads((out / "export.json").read_text())["read_with"]
    settings = {name.removeprefix("data."): value for name, value in settings.items()}
    settings |= {
        "classes": tuple(settings["classes"]),
        "window": tuple(settings["window"]),
    }
    exported = Data(dir=str(out), **(settings | data))  # type: ignore[arg-type]
    return index_dataset(Config(data=exported), discover(exported))


@pytest.mark.parametrize("format", FORMATS)
def test_our_loader_reads_back_what_was_given(tmp_path, splits, format):
    out = tmp_path / "out"
    counts = export(splits, out, format, "raw", HU)
    assert counts == {
        "train": {"images": 3, "boxes": 3},
        "test": {"images": 2, "boxes": 1},
    }
    assert list(tmp_path.iterdir()) == [out]
    for guess in (format, "auto"):
        actual = again(out, format=guess)
        assert actual.problems == []
        assert actual.mode == "csv"
        assert actual.classes == ("cac", "a <&> b")
        assert list(actual.parts) == ["train", "test"]
        for part, of in splits.items():
            items = actual.parts[part]
            assert [item.name for item in items] == of.names
            assert [item.patient for item in items] == of.patients
            for i, item in enumerate(items):
                assert item.labels.tolist() == of.labels[i].tolist()
                assert np.abs(item.boxes - of.boxes[i]).max(initial=0) <= 1e-6
                hu = item.pixels().astype(np.int32) - 32768
                assert np.array_equal(hu, of.image(i))


@pytest.mark.parametrize("format", FORMATS)
def test_2000_random_boxes_come_back_and_none_shrinks_below_a_pixel(tmp_path, format):
    rng = np.random.default_rng(0)
    images, boxes = {}, {}
    for k in range(40):
        h, w = rng.integers(3, 600, 2)
        images[f"P_{k}"] = np.zeros((h, w, 1), np.uint8)
        low = rng.integers(0, (w - 1, h - 1), (50, 2))
        # a third are one pixel, a third lie on the grid, a third do not
        size = rng.integers(1, (w, h) - low + 1)
        size[::3] = 1
        high = np.minimum(low + size, (w, h)).astype(np.float32)
        free = low + rng.random((50, 2)) * (high - low - 1)
        low = np.where(np.arange(50)[:, None] % 3 == 2, free, low)
        rows = {tuple(r) for r in np.hstack([low, high]).astype(np.float32).tolist()}
        boxes[f"P_{k}"] = [(0, *r) for r in sorted(rows)]
    splits = {"train": source(images, boxes)}
    total = sum(map(len, boxes.values()))
    assert total > 1500
    counts = export(splits, tmp_path / "out", format, "raw", (0.0, 255.0))
    assert counts == {"train": {"images": 40, "boxes": total}}
    actual = again(tmp_path / "out", bad_labels="clip")
    assert {p.kind for p in actual.problems} <= {"sub_pixel"}
    of = {item.name: item.boxes for item in actual.parts["train"]}
    for name, rows in boxes.items():
        given = np.array(rows)[:, 1:]
        assert np.abs(of[name] - given).max() <= 1e-6
    # those that a float32 makes smaller than a pixel, and no others
    edges = np.concatenate([np.array(rows)[:, 1:] for rows in boxes.values()])
    small = ((edges[:, 2:] - edges[:, :2]) < 1).any(axis=1).sum()
    assert len(actual.problems) == small


def test_pycocotools_reads_the_coco_files(tmp_path, splits, capsys):
    from pycocotools.coco import COCO

    export(splits, tmp_path / "out", "coco", "raw", HU)
    ids = []
    for part, of in splits.items():
        coco = COCO(str(tmp_path / "out" / "annotations" / f"instances_{part}.json"))
        assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(of.classes)
        pictures = coco.loadImgs(coco.getImgIds())
        assert [p["file_name"] for p in pictures] == [f"{n}.png" for n in of.names]
        for i, picture in enumerate(pictures):
            assert [picture["height"], picture["width"]] == of.sizes[i].tolist()
            rows = coco.loadAnns(coco.getAnnIds(imgIds=[picture["id"]]))
            xywh = np.array([a["bbox"] for a in rows]).reshape(-1, 4)
            corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
            assert np.abs(corners - of.boxes[i]).max(initial=0) <= 1e-6
            assert [a["category_id"] - 1 for a in rows] == of.labels[i].tolist()
            for a in rows:
                assert a["area"] == pytest.approx(a["bbox"][2] * a["bbox"][3])
            ids += [a["id"] for a in rows]
        assert (tmp_path / "out" / "images" / pictures[0]["file_name"]).is_file()
    assert ids == [1, 2, 3, 4]
    capsys.readouterr()  # pycocotools prints


def test_voc_is_what_an_xml_reader_finds(tmp_path, splits):
    export(splits, tmp_path / "out", "voc", "raw", HU)
    root = ElementTree.parse(tmp_path / "out" / "annotations" / "P1_1.xml").getroot()
    assert root.tag == "annotation"
    assert root.findtext("filename") == "P1_1.png"
    assert [root.findtext(f"size/{k}") for k in ("width", "height", "depth")] == [
        "47",
        "33",
        "1",
    ]
    assert [o.findtext("name") for o in root.iter("object")] == ["cac", "a <&> b"]
    last = root.findall("object")[1].find("bndbox")
    assert last is not None
    assert [float(e.text or "") for e in last] == [46, 32, 47, 33]


def test_yolo_is_fractions_by_hand(tmp_path):
    """In 64 x 32 px, (8, 4) to (24, 12): centre (16, 8), 16 wide, 8 high."""
    one = source({"a": np.zeros((32, 64, 1), np.uint8)}, {"a": [(1, 8, 4, 24, 12)]})
    export({"train": one}, tmp_path / "out", "yolo", "raw", (0.0, 255.0))
    text = (tmp_path / "out" / "labels" / "a.txt").read_text()
    assert text == "1 0.25 0.25 0.25 0.25\n"
    assert (tmp_path / "out" / "classes.txt").read_text() == "cac\na <&> b\n"


def test_split_csv_keeps_parts_and_patients(tmp_path, splits):
    export(splits, tmp_path / "out", "voc", "raw", HU)
    with (tmp_path / "out" / "split.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "split", "group"],
        ["P1_1.png", "train", "P1"],
        ["P1_2.png", "train", "P1"],
        ["P2_1.png", "train", "P2"],
        ["P3_1.png", "test", "P3"],
        ["P3_2.png", "test", "P3"],
    ]


def test_the_facts_say_how_to_get_hu(tmp_path, splits):
    export(splits, tmp_path / "out", "voc", "raw", HU)
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert facts["offset"] == 32768
    assert facts["value_is"] == "pixel - 32768"
    # -1200 + 32768 and 1800 + 32768
    assert facts["read_with"]["data.window"] == [31568, 34568]
    assert facts["read_with"]["data.bad_labels"] == "error"
    pixels = np.asarray(Image.open(tmp_path / "out" / "images" / "P1_1.png"))
    assert pixels.dtype == np.uint16
    assert pixels[0, :2].tolist() == [0, 65535]  # -32768 and 32767 HU


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("c", [1, 3])
def test_every_kind_of_pixel_is_exact(tmp_path, kind, c):
    image = noise(9, 20, 30, c, kind)
    splits = {"train": source({"a": image}, {"a": [(0, 1, 2, 5, 9)]})}
    export(splits, tmp_path / "out", "voc", "raw", (0.0, 9.0))
    actual = read_image(tmp_path / "out" / "images" / "a.png")
    assert actual.dtype == (np.uint8 if kind == "uint8" else np.uint16)
    assert np.array_equal(actual.astype(np.int32) - 32768 * (kind == "int16"), image)


def test_window8_by_hand():
    """A window of 3000 HU: 11.76 HU for a grey level; 300 HU is half of it."""
    hu = np.array([-2000, -1200, -1195, -1194, 300, 1794, 1800, 3000], np.int16)
    actual = stored(hu.reshape(1, 8, 1), "window8", HU)
    assert actual.dtype == np.uint8
    # 127.5 is rounded to even
    assert actual.ravel().tolist() == [0, 0, 0, 1, 128, 254, 255, 255]


def test_window8_says_what_a_level_is_worth_and_reads_back_unwindowed(tmp_path, splits):
    export(splits, tmp_path / "out", "yolo", "window8", HU)
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert facts["values_per_level"] == pytest.approx(3000 / 255)
    assert facts["read_with"]["data.window"] == [0, 255]
    assert read_image(tmp_path / "out" / "images" / "P1_1.png").dtype == np.uint8


def test_of_five_channels_the_middle_one_is_written(tmp_path, caplog):
    image = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    splits = {"train": source({"a": image}, {})}
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        export(splits, tmp_path / "out", "voc", "raw", (0.0, 255.0))
    assert "5 channels" in caplog.text
    assert "channel 2" in caplog.text
    actual = read_image(tmp_path / "out" / "images" / "a.png")
    assert actual[:, :, 0].tolist() == [[2, 7, 12], [17, 22, 27]]


def test_images_in_folders_get_names_of_their_own(tmp_path):
    image = np.zeros((9, 9, 1), np.uint8)
    splits = {"train": source({"x/1": image, "y/1": image}, {"y/1": [(0, 1, 2, 5, 9)]})}
    export(splits, tmp_path / "out", "yolo", "raw", (0.0, 255.0))
    assert sorted(f.name for f in (tmp_path / "out" / "images").iterdir()) == [
        "x__1.png",
        "y__1.png",
    ]
    assert [i.patient for i in again(tmp_path / "out").parts["train"]] == ["x/1", "y/1"]


def test_boxes_below_a_pixel_survive_and_the_facts_say_how(tmp_path):
    thin = source({"a": noise(0, 20, 30)}, {"a": [(0, 1, 2, 1.5, 9)]})
    for format in FORMATS:
        export({"train": thin}, tmp_path / format, format, "raw", HU)
        actual = again(tmp_path / format)
        assert actual.parts["train"][0].boxes.tolist() == [[1, 2, 1.5, 9]]
        facts = json.loads((tmp_path / format / "export.json").read_text())
        assert facts["read_with"]["data.bad_labels"] == "clip"


@pytest.mark.parametrize("format", FORMATS)
def test_boxes_that_the_crop_cuts_are_written_whole_and_told(tmp_path, caplog, format):
    images = {"test": {"P3_1": noise(4, 30, 41), "P3_2": noise(5, 31, 40)}}
    cut, outside = (0, -3.0, 4.0, 7.0, 9.0), (0, 50.0, 2.0, 55.0, 6.0)
    boxes = {"P3_1": [(1, 2.0, 3.0, 9.0, 8.0), cut, outside]}
    splits = {part: source(of, boxes) for part, of in images.items()}
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        counts = export(splits, out, format, "raw", HU)
    assert counts["test"]["boxes"] == 3
    assert "test: 2 boxes reach beyond their images" in caplog.text
    facts = json.loads((out / "export.json").read_text())
    assert facts["beyond"] == {"test": 2}
    assert facts["read_with"]["data.bad_labels"] == "clip"
    # our own reader, too, sees what is inside the image
    (item, _) = again(out).parts["test"]
    assert item.boxes.tolist() == [[2, 3, 9, 8], [0, 4, 7, 9]]
    if format == "coco":
        document = json.loads((out / "annotations" / "instances_test.json").read_text())
        assert [a["bbox"] for a in document["annotations"]] == [
            *[[2, 3, 7, 5], [-3, 4, 10, 5], [50, 2, 5, 4]]
        ]
