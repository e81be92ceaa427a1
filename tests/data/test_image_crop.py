"""Images are cropped by heart boxes of a csv; boxes follow, and nothing is hidden."""

import logging

import numpy as np
import pytest

from tests.image_sets import config, table, voc
from tqgd_jax.commands.convert import write_png
from tqgd_jax.commands.pack import pack
from tqgd_jax.config import Crop
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.prepare import prepare
from tqgd_jax.evaluation.inputs import held_out
from tqgd_jax.evaluation.inputs.image_pixels import from_folder
from tqgd_jax.structures.image import Image

LEFT = ("cac", 1.0, 2.0, 5.0, 9.0)  # outside the window
EDGE = ("cac", 4.0, 3.0, 10.0, 8.0)  # cut by it
RIGHT = ("cac", 10.0, 3.0, 20.5, 8.25)  # inside
HEART, WINDOW = "8,2,24,14", (6, 0, 26, 16)  # 2 px around it, as far as the image goes
BOXES = {"a": [LEFT, RIGHT], "b": [RIGHT], "t1": [LEFT, EDGE, RIGHT], "t2": [LEFT]}


def images_in(root, kind="uint8", channels=1, folder="images"):
    """Noise of 30 x 20 px; a and b train, t1 and t2 test."""
    rng, pixels = np.random.default_rng(0), {}
    for name, boxes in BOXES.items():
        top = np.iinfo(kind).max
        pixels[name] = rng.integers(0, top, (20, 30, channels), kind, endpoint=True)
        (root / folder).mkdir(parents=True, exist_ok=True)
        write_png(root / folder / f"{name}.png", pixels[name])
        voc(root / "annotations" / f"{name}.xml", boxes)
    table(root, ["a,train", "b,train", "t1,test", "t2,test"])
    return pixels


def hearts(root, *rows, head="image,x0,y0,x1,y1"):
    (root / "hearts.csv").write_text("\n".join([head, *rows]) + "\n")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "set"
    images_in(root)
    hearts(root, f"a,{HEART}", f"images/b.png,{HEART}", f"t1.png,{HEART}")
    return root


def settings(root, **crop):
    made = config(root)
    made.data.crop = Crop(**({"method": "hearts.csv", "margin_px": 2.0} | crop))
    return made


def test_boxes_follow_the_crop_and_only_training_follows_the_boxes(root):
    parts = open_data(settings(root))
    train, test = parts["train"], parts["test"]
    # LEFT with 4 px around it is x 0 to 9, y 0 to 13; RIGHT has its room already
    assert train.crops == [(0, 0, 26, 16), WINDOW]
    assert train.boxes[0].tolist() == [[1, 2, 5, 9], [10, 3, 20.5, 8.25]]
    assert train.boxes[1].tolist() == [[4, 3, 14.5, 8.25]]
    assert test.crops == [WINDOW, (0, 0, 30, 20)]  # t2 has no row
    assert test.boxes[0].tolist() == [
        *[[-5, 2, -1, 9], [-2, 3, 4, 8], [4, 3, 14.5, 8.25]]
    ]
    assert test.boxes[1].tolist() == [[1, 2, 5, 9]]
    assert train.sizes.tolist() == [[16, 26], [16, 20]]
    assert test.sizes.tolist() == [[16, 20], [20, 30]]
    assert train.shape == (20, 30, 1)  # holds any image of any part
    assert train.disclaimer == ""


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_window(tmp_path, kind, channels):
    root = tmp_path / "set"
    pixels = images_in(root, kind, channels)
    hearts(root, f"t1,{HEART}")
    test = open_data(settings(root))["test"]
    assert test.dtype == np.dtype(kind)
    assert np.array_equal(test.image(0), pixels["t1"][:16, 6:26])
    assert np.array_equal(test.image(1), pixels["t2"])


def test_what_is_cut_whole_or_unknown_is_told(root, caplog):
    with (root / "hearts.csv").open("a") as file:
        file.write(f"elsewhere,{HEART}\n")
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        open_data(settings(root))
    log = caplog.text
    assert "3 of 4 images have a heart box" in log
    assert "hearts.csv: 1 rows name no image here, such as elsewhere" in log
    assert "t2.png: crop_whole: no heart box in hearts.csv, stays whole" in log
    assert "would have cut 1 labelled boxes and was widened (a)" in log
    assert "the crop cuts 1 and leaves out 1 labelled boxes (t1)" in log
    assert "test: the crop cuts 1 and leaves out 1 of 4 labelled boxes" in log


def test_widening_all_is_stamped_where_there_is_a_crop(root):
    test = open_data(settings(root, widen="all"))["test"]
    assert test.crops[0] == (0, 0, 26, 16)
    assert "data.crop.widen=all" in test.disclaimer
    whole = open_data(settings(root, widen="all", method="anatomical"))["test"]
    assert (whole.disclaimer, whole.crops) == ("", [])
    assert whole.sizes.tolist() == [[20, 30]] * 2


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    root = tmp_path / "set"
    for folder in ("p1", "p2"):
        (root / folder).mkdir(parents=True)
        write_png(root / folder / "a.png", np.zeros((20, 30, 1), np.uint8))
        voc(root / folder / "a.xml", [RIGHT])
    table(root, ["p1/a,train", "p2/a,test"])
    hearts(root, f"p2/a.png,{HEART}")
    parts = open_data(settings(root))
    assert parts["test"].crops == [WINDOW]
    assert parts["train"].crops == [(0, 0, 30, 20)]
    hearts(root, f"a,{HEART}")
    with pytest.raises(ValueError, match="names no image of this set; it has 1 others"):
        open_data(settings(root))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,8,2,24,14", r"hearts\.csv:3: image 'a' stands in line 2 already"),
        ("b,8,2,8,14", r"hearts\.csv:3: box .* is empty"),
        ("b,8,2,x,14", r"hearts\.csv:3: .* is no box"),
        ("b,0.3,0.1,0.8,0.7", r"hearts\.csv:3: .* in fractions of the image"),
        ("b,30,2,40,14", r"hearts\.csv: image 'b': heart box .* outside the 30x20 px"),
    ],
)
def test_a_wrong_row_is_refused(root, row, message):
    hearts(root, f"a,{HEART}", row)
    with pytest.raises(ValueError, match=message):
        open_data(settings(root))


def test_settings_and_tables_of_scans_are_refused(root):
    with pytest.raises(
        ValueError, match=r"crop\.margin_mm is .*margin_px is the margin of"
    ):
        open_data(settings(root, margin_mm=5.0))
    with pytest.raises(ValueError, match=r"data\.crop\.per is a setting of CT scans"):
        open_data(settings(root, per="volume"))
    open_data(settings(root, per="volume", method="anatomical"))  # does nothing here
    hearts(root, f"a,0,{HEART}", head="scan,z,x0,y0,x1,y1")
    with pytest.raises(ValueError, match=r"no column image; .* image,x0,y0,x1,y1"):
        open_data(settings(root))
    with pytest.raises(ValueError, match=r"no file 'gone\.csv'"):
        open_data(settings(root, method="gone.csv"))


def test_other_boxes_prepare_anew(root):
    one = prepare(settings(root))
    assert prepare(settings(root)) == one
    assert prepare(settings(root, margin_px=3.0)) != one
    hearts(root, f"a,{HEART}")
    assert prepare(settings(root)) != one
    plain = prepare(settings(root, method="anatomical"))
    assert prepare(settings(root, method="none", margin_px=3.0)) == plain


def test_a_result_knows_the_place_in_the_whole_image(root, tmp_path):
    made = settings(root)
    pack(made, tmp_path / "set.npz")
    test = open_data(made)["test"]
    made.data.dir = str(tmp_path / "set.npz")
    packed = open_data(made)["test"]
    assert packed.crops == test.crops
    assert np.array_equal(packed.image(0), test.image(0))
    none = np.zeros((0, 4), np.float32)
    judged = [
        Image(n, b, k, none, none[:, 0], np.zeros(0, int))
        for n, b, k in zip(test.names, test.boxes, test.labels, strict=True)
    ]
    judged = held_out.placed(test, judged, "test")
    assert judged[0].place.crop == WINDOW
    sizes = [(int(h), int(w)) for h, w in test.sizes]
    pixels = from_folder(root, judged, sizes)
    for k in range(2):
        seen = pixels(k)
        assert seen is not None
        assert np.array_equal(seen, test.image(k))
