"""The folders of real images, read whole."""

import numpy as np

from tests.image_sets import config
from tqgd_jax.commands import check
from tqgd_jax.data.open import open_data
from tqgd_jax.io.images import read_image


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
    assert check.main([str(realdata / "bccd")]) == 1
    text = capsys.readouterr().out
    assert "problems: 2 degenerate\n" in text
    assert "BloodImage_00338.xml:163: degenerate: 'RBC' (504, 337, 504, 337)" in text
    assert "BloodImage_00343.xml:55: degenerate: 'RBC' (181, 329, 181, 329)" in text
    assert "train 205, val 87, test 72 (from: imagesets)" in text
    assert "boxes     4886;" in text


def test_doctor_finds_nuclei_clean(realdata, capsys):
    assert check.main([str(realdata / "nuclei"), "--image_size", "256"]) == 0
    assert "problems: none" in capsys.readouterr().out


def test_the_rods_of_the_scanned_phantom_by_threshold_and_components(realdata):
    # Where they are: ../shared/data/README.md; the 1 mm rod by the spacing of its row.
    from tqgd_jax.ct.lesions import lesion_boxes
    from tqgd_jax.io.volumes import read_volume

    volume = read_volume(realdata / "qrm_phantom_ct" / "dicom")
    z = round((600.875 - volume.origin[2]) / 3.0)
    mask = np.zeros(volume.hu.shape, np.uint8)
    mask[z - 1 : z + 2, 140:320, 160:320] = 1
    boxes, _ = lesion_boxes(mask, volume.hu, volume.spacing, 130)
    clear = [b for b in boxes if b.z == z and b.hu_max >= 200]
    five = [(181, 221), (291, 151), (299, 282)]
    three = [(206, 221), (281, 173), (285, 261)]
    held = [
        [
            (x, y)
            for x, y in (*five, *three, (231, 221))
            if x0 <= x < x1 and y0 <= y < y1
        ]
        for x0, y0, x1, y1 in (b.box for b in clear)
    ]
    assert sorted(len(h) for h in held) == [1] * 7  # each box one rod, each rod one box
    wide = {h[0]: b.box[2] - b.box[0] for h, b in zip(held, clear, strict=True)}
    # 5 mm are 10.2 px; the scanner's blur adds a few at 130 HU
    assert all(10 <= wide[rod] <= 18 for rod in five)
    assert all(6 <= wide[rod] <= 14 for rod in three)
