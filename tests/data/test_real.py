"""The folders of real images, read whole."""

import numpy as np

from tests.data.sets import config
from tqgd_jax.data import doctor
from tqgd_jax.data.images import read_image
from tqgd_jax.data.source import open_data


def test_nuclei(realdata, tmp_path):
    data = open_data(config(realdata / "nuclei", tmp_path))
    assert {part: len(s.names) for part, s in data.items()} == {
        "train": 129,
        "test": 38,
    }
    assert sum(len(b) for s in data.values() for b in s.boxes) == 3090
    train = data["train"]
    assert train.classes == ("nucleus",)
    assert train.shape == (360, 360, 1)
    # first image and box of its XML, read by eye
    assert train.names[0] == "0280fa8f60f6bcae"
    assert train.boxes[0][0].tolist() == [107, 90, 127, 108]
    png = realdata / "nuclei" / "images" / f"{train.names[-1]}.png"
    assert np.array_equal(train.image(128), read_image(png))


def test_bccd_has_two_degenerate_boxes(realdata, capsys):
    assert doctor.main([str(realdata / "bccd")]) == 1
    text = capsys.readouterr().out
    assert "problems: 2 degenerate\n" in text
    assert "BloodImage_00338.xml:163: degenerate: 'RBC' (504, 337, 504, 337)" in text
    assert "BloodImage_00343.xml:55: degenerate: 'RBC' (181, 329, 181, 329)" in text
    assert "train 205, val 87, test 72 (from: imagesets)" in text
    assert "boxes     4886;" in text


def test_doctor_finds_nuclei_clean(realdata, capsys):
    assert doctor.main([str(realdata / "nuclei"), "--image_size", "256"]) == 0
    assert "problems: none" in capsys.readouterr().out
