"""The heart is found by its surroundings, in bodies drawn here and in two real scans."""

import numpy as np
import pytest

from tqgd_jax.ct.heart import find_heart
from tqgd_jax.ct.heart_boxes import read_boxes, write_boxes

PIXEL, DZ, SIDE = 1.6, 5.0, 224  # mm, mm, px: a field of view of 358 mm
HEART, RADIUS = (130, 90), 50.0  # centre (x, y) in px, mm
AIR, LUNG, FAT, BLOOD, BONE = -1000, -850, -90, 40, 400
TRUE = [HEART[0] - 31.25, HEART[1] - 31.25, HEART[0] + 31.25, HEART[1] + 31.25]


def ellipse(x, y, a, b):
    """Pixels within an ellipse; centre in px, half axes in mm."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return ((columns - x) * PIXEL / a) ** 2 + ((rows - y) * PIXEL / b) ** 2 <= 1


def body(*, heart=True, fat=0.0, strip=8, faint=False):
    """A chest of 26 slices: abdomen 0 to 4, heart 5 to 15, airway 18 and up.

    `fat` mm of it lie around the heart, a strip of it between the lungs; the liver
    touches the heart from the right up to slice 7, where a `faint` heart is mostly fat.
    """
    hu = np.full((26, SIDE, SIDE), AIR, np.int16)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    cavity = ellipse(112, 112, 128, 86)
    table = (rows > 190) & (rows < 193) & (abs(columns - 112) < 100)
    for k, plane in enumerate(hu):
        plane[table] = 200
        plane[ellipse(112, 112, 160, 110)] = FAT
        plane[ellipse(112, 112, 156, 106)] = BLOOD  # chest wall
        if k > 4:
            plane[cavity] = FAT  # mediastinum
            plane[cavity & (abs(columns - 112) > strip / PIXEL)] = LUNG
        if 5 <= k <= 7:
            plane[ellipse(70, 105, 52, 60)] = BLOOD  # liver
        if heart and 5 <= k <= 15:
            plane[ellipse(*HEART, RADIUS + fat, RADIUS + fat)] = FAT
            lean = 12.0 if faint and k <= 7 else RADIUS
            plane[ellipse(*HEART, lean, lean)] = BLOOD
        plane[ellipse(112, 152, 12, 12)] = BLOOD  # aorta
        plane[ellipse(112, 166, 18, 16)] = BONE
        if k >= 18:
            plane[ellipse(112, 138, 9, 9)] = AIR
    return hu


def with_heart(boxes):
    return np.flatnonzero(~np.isnan(boxes[:, 0])).tolist()


@pytest.fixture(scope="module")
def whole():
    return body()


def assert_close(boxes, slices, true, px):
    for k in slices:
        np.testing.assert_allclose(boxes[k], true, atol=px, err_msg=f"slice {k}")


def test_a_disc_between_two_lungs_is_found_to_a_few_millimetres(whole):
    boxes = find_heart(whole, (DZ, PIXEL, PIXEL))
    assert_close(boxes, range(8, 16), TRUE, 5 / PIXEL)
    assert set(range(8, 16)) <= set(with_heart(boxes)) <= set(range(4, 18))


def test_the_liver_does_not_widen_the_box_below_its_dome(whole):
    boxes = find_heart(whole, (DZ, PIXEL, PIXEL))
    for k in (5, 6, 7):  # the liver reaches from x = 37 to 103, the heart begins at 99
        assert 85 < boxes[k, 0] < 103
        assert boxes[k, 2] > TRUE[2] - 5 / PIXEL


def test_the_sides_of_a_faint_heart_move_in_by_two_millimetres_a_millimetre():
    boxes = find_heart(body(faint=True), (DZ, PIXEL, PIXEL))
    for k in (7, 6, 5):
        assert boxes[k, 2] > TRUE[2] - (8 - k) * 2 * DZ / PIXEL - 5 / PIXEL


def test_thick_fat_between_heart_and_spine_stays_out():
    boxes = find_heart(body(strip=18), (DZ, PIXEL, PIXEL))
    assert_close(boxes[:, 3:], range(8, 16), TRUE[3:], 13 / PIXEL)  # of 43 mm


def test_fat_around_the_heart_belongs_to_it_also_before_the_lungs():
    boxes = find_heart(body(fat=6), (DZ, PIXEL, PIXEL))
    fat = 6 / PIXEL * np.array([-1, -1, 1, 1])  # no lung reaches as far forward
    assert_close(boxes, range(8, 16), TRUE + fat, 5 / PIXEL)


@pytest.mark.parametrize(
    ("side", "back"),
    [(138, 10), (125, 10), (112, -14)],
    ids=["220 mm", "200 mm", "180 mm without the spine"],
)
def test_a_field_of_view_that_cuts_the_body_gives_the_same_heart(whole, side, back):
    x, y = HEART[0] - side // 2, HEART[1] - side // 2 + back
    view = np.ascontiguousarray(whole[:, y : y + side, x : x + side])
    boxes = find_heart(view, (DZ, PIXEL, PIXEL))
    assert_close(boxes, range(8, 16), np.array(TRUE) - [x, y, x, y], 5 / PIXEL)


def test_noise_padding_and_slice_thickness_change_little(whole):
    noise = np.random.default_rng(0).normal(0, 40, whole.shape)
    scan = np.clip(whole + noise, -1024, 3000).astype(np.int16)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    scan[:, rows**2 + columns**2 > (SIDE // 2) ** 2] = -3024
    assert_close(find_heart(scan, (DZ, PIXEL, PIXEL)), range(8, 16), TRUE, 5 / PIXEL)
    thin = find_heart(whole.repeat(4, axis=0), (DZ / 4, PIXEL, PIXEL))
    assert_close(thin, range(34, 62), TRUE, 5 / PIXEL)


def test_pixels_and_millimetres_are_not_confused(whole):
    """Twice the pixels across: the same heart at twice the x."""
    boxes = find_heart(whole.repeat(2, axis=2), (DZ, PIXEL, PIXEL / 2))
    twice = np.array(TRUE) * [2, 1, 2, 1]
    for k in range(8, 16):
        assert (abs(boxes[k] - twice) <= np.array([10, 5, 10, 5]) / PIXEL).all()


@pytest.mark.parametrize(
    "hu",
    [
        np.full((6, 64, 64), AIR, np.int16),
        np.full((6, 64, 64), 0, np.int16),
        np.full((6, 64, 64), LUNG, np.int16),
        np.full((1, 64, 64), -1024, np.int16),
        np.full((1, 1, 1), 30, np.int16),
        np.zeros((0, 64, 64), np.int16),
        body()[:4],  # an abdomen
        body(heart=False),
    ],
    ids=[
        "air", "water", "lung", "padding", "voxel", "empty", "abdomen", "no heart",
    ],
)  # fmt: skip
def test_without_a_heart_between_lungs_there_is_none(hu):
    boxes = find_heart(hu, (DZ, PIXEL, PIXEL))
    assert boxes.shape == (len(hu), 4)
    assert with_heart(boxes) == []


def test_random_voxels_give_boxes_inside_the_image_or_none():
    rng = np.random.default_rng(0)
    for shape in ((1, 64, 64), (7, 64, 64), (9, 40, 64), (3, 5, 200)):
        for spacing in ((3.0, 0.4, 0.4), (0.5, 4.0, 4.0)):
            hu = rng.integers(-1100, 1500, shape).astype(np.int16)
            hu[:, : shape[1] // 2] = rng.integers(-950, -750)
            boxes = find_heart(hu, spacing)
            for x0, y0, x1, y1 in boxes[with_heart(boxes)]:
                assert 0 <= x0 < x1 <= shape[2]
                assert 0 <= y0 < y1 <= shape[1]


def test_one_slice_of_a_chest_is_enough(whole):
    assert_close(find_heart(whole[12:13], (DZ, PIXEL, PIXEL)), [0], TRUE, 5 / PIXEL)


@pytest.fixture(scope="module")
def chest(realdata):
    from tqgd_jax.io.volumes import read_volume

    folder = realdata / "chest_ct" / "dicom"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    volume = read_volume(folder)
    return volume, find_heart(volume.hu, volume.spacing)


def overlap(a, b):
    """IoU of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def test_real_chest(chest):
    """Boxes read off slices of this scan by eye, pericardium with its fat."""
    _, boxes = chest
    by_eye = {
        18: (228, 170, 360, 285),
        21: (227, 169, 356, 298),
        24: (225, 170, 349, 308),
        28: (234, 174, 338, 308),
        31: (235, 185, 329, 314),
    }
    overlaps = [overlap(boxes[k], np.array(true)) for k, true in by_eye.items()]
    assert min(overlaps) > 0.75, overlaps  # slice 31, with the right hilum
    assert np.median(overlaps) > 0.85, overlaps
    here = set(with_heart(boxes))
    assert set(range(14, 36)) <= here
    assert not here & set(range(10))  # abdomen: the heart's tip is in slice 13
    assert not here & set(range(38, 64))  # the carina lies in slice 38


@pytest.mark.parametrize("side", [214, 262, 333])  # px: 180, 220 and 280 mm
@pytest.mark.parametrize("move", [(0, 0), (20, 0), (-20, 0), (0, 20), (0, -20)])
def test_real_chest_in_a_narrow_view_has_the_same_heart(chest, side, move):
    volume, whole = chest
    x, y = 290 - side // 2 + move[0], 235 - side // 2 + move[1]
    view = np.ascontiguousarray(volume.hu[10:40, y : y + side, x : x + side])
    boxes = find_heart(view, volume.spacing)
    expected = (whole[10:40] - [x, y, x, y]).clip(0, side)
    both = sorted(set(with_heart(boxes)) & set(with_heart(expected)))
    assert len(both) >= 25  # of 26
    overlaps = [overlap(boxes[k], expected[k]) for k in both]
    assert np.median(overlaps) > 0.95
    assert min(overlaps) > 0.9


def test_real_phantom_with_a_plastic_heart(realdata):
    """The rods of calcium are in the box, in pixels that the data's README gives."""
    from tqgd_jax.io.volumes import read_volume

    folder = realdata / "qrm_phantom_ct" / "dicom"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    volume = read_volume(folder)
    boxes = find_heart(volume.hu, volume.spacing)
    rods = [(181, 221), (291, 151), (299, 282), (206, 221), (281, 173), (285, 261)]
    bright = [
        k for k, s in enumerate(volume.hu) if s[221, 181] > 300 and s[282, 299] > 300
    ]
    assert bright
    for k in bright:
        assert all((boxes[k, :2] < rod).all() for rod in rods)
        assert all((boxes[k, 2:] > rod).all() for rod in rods)


def write(path, *lines):
    path.write_text("\n".join(("scan,z,x0,y0,x1,y1", *lines)) + "\n")
    return path


def test_boxes_survive_the_file(tmp_path):
    path = tmp_path / "hearts.csv"
    nan = float("nan")
    rows = [("A", 1, 10.5, 20, 30, 40.25), ("A", 2, nan, nan, nan, nan)]
    write_boxes(path, [*rows, ("B", 0, 1, 2, 3, 4)])
    boxes = read_boxes(path, "A", 3)
    assert boxes[1].tolist() == [10.5, 20, 30, 40.25]
    assert np.isnan(boxes[[0, 2]]).all()
    assert [p.name for p in tmp_path.iterdir()] == ["hearts.csv"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write(tmp_path / "hearts.csv", "A,0,1,2,3,4")

    def rows():
        yield ("B", 0, 1.0, 2.0, 3.0, 4.0)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_boxes(path, rows())
    assert read_boxes(path, "A", 1)[0].tolist() == [1, 2, 3, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["hearts.csv"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["A,0,1,2,3,4", "A,0,1,2,3,5"], r"csv:3: slice 0 of A stands in line 2"),
        (["B,0,1,2,3,4"], r"no row of scan 'A'; it has 1 scans, such as B"),
        ([], r"no row of scan 'A'; it has 0 scans, such as none"),
        (["A,5,1,2,3,4"], r"csv:2: slice 5, but the scan has 0 to 4"),
        (["A,-1,1,2,3,4"], r"csv:2: slice -1"),
        (["A,0,1,2,1,4"], r"csv:2: box .* is empty"),
        (["A,0,1,2,inf,4"], r"csv:2: box .* not finite"),
        (["A,0,1,nan,3,4"], r"csv:2: box .* not finite"),
        (["A,0,1,2,3"], r"csv:2: .* is no box"),
        (["A,0,0.2,0.3,0.7,1"], r"csv:2: .* in fractions .*multiply x0 and x1 by the"),
        (["B,0,1,2,3,4", "A,one,1,2,3,4"], r"csv:3: 'one' is no slice"),
        (["A,1.5,1,2,3,4"], r"csv:2: '1.5' is no slice"),
    ],
)
def test_a_row_that_means_nothing_is_refused_with_its_line(tmp_path, lines, message):
    path = write(tmp_path / "hearts.csv", *lines)
    with pytest.raises(ValueError, match=message):
        read_boxes(path, "A", 5)


def test_a_csv_of_something_else_is_refused(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x,y\n1.png,2,3\n")
    with pytest.raises(ValueError, match=r"boxes.csv:1: no column scan, z, x0, y0"):
        read_boxes(path, "A", 5)
