"""Boxes become voxels, and judged slices the scan that they are of."""

import csv

import numpy as np
import pytest

from tqgd_jax.evaluation.calcium.box_file import read_rows
from tqgd_jax.evaluation.calcium.boxes import (
    UNKNOWN,
    assemble,
    boxes_mask,
    calcium_mask,
    whole_pixels,
)
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS
from tqgd_jax.evaluation.calcium.score import score


def test_a_box_marks_the_pixels_whose_centres_it_holds():
    mask = boxes_mask((2, 4, 6), [(1, 1, 0, 3, 2)])
    assert np.argwhere(mask).tolist() == [[1, 0, 1], [1, 0, 2], [1, 1, 1], [1, 1, 2]]
    # centres are at 0.5, 1.5, ..: from the left edge on, up to the right one
    for x0, x1, pixels in [(1.5, 2.5, [1]), (1.6, 2.4, []), (1.4, 2.6, [1, 2])]:
        row = boxes_mask((1, 1, 6), [(0, x0, 0, x1, 1)])
        assert np.flatnonzero(row).tolist() == pixels


def test_edges_of_the_pixels_of_boxes():
    # rows of centres 0.5, 1.5, ..; the slice is 4 high and 6 wide
    boxes = np.array([[1.5, 0.4, 2.5, 2.6], [-3, 3.6, 9, 9]], np.float32)
    assert whole_pixels(boxes, (4, 6)).tolist() == [[1, 0, 2, 3], [0, 4, 6, 4]]
    assert whole_pixels(boxes[0], (4, 6)).tolist() == [1, 0, 2, 3]


def test_what_of_a_box_lies_outside_is_left_out():
    assert boxes_mask((1, 2, 2), [(0, -5, 1, 9, 9)]).tolist() == [
        [[False, False], [True, True]]
    ]
    assert not boxes_mask((1, 2, 2), [(0, -5, -5, -1, -1)]).any()


@pytest.mark.parametrize(
    "row", [(2, 0, 0, 1, 1), (-1, 0, 0, 1, 1), (0, 1, 0, 1, 1), (0, 0, 0, 1, np.nan)]
)
def test_boxes_that_mark_nothing_by_mistake_are_refused(row):
    with pytest.raises(ValueError, match="box"):
        boxes_mask((2, 4, 4), [row])


def test_a_bone_that_touches_a_box_does_not_flow_in():
    hu = np.full((1, 10, 20), 40, np.int16)
    hu[0, 4:6, 3:6] = 300  # 6 px of calcium
    hu[0, 4:6, 6:20] = 900  # bone, beside it
    mask = calcium_mask(hu, [(0, 2, 3, 7, 7)])
    assert mask.sum() == 8  # and the column of bone in the box
    for rule in CONVENTIONS.values():
        assert score(hu, mask, (3, 1, 1), rule).agatston == 8 * 4


def test_slices_of_different_crops_become_one_part_of_the_scan():
    whole = np.arange(4 * 6 * 7, dtype=np.int16).reshape(4, 6, 7)
    crops = {3: (2, 1, 5, 4), 0: (1, 2, 4, 6)}
    part = assemble(
        [(z, c, whole[z, c[1] : c[3], c[0] : c[2]]) for z, c in crops.items()]
    )
    assert part[1:] == (0, 1, 1)
    assert part.hu.shape == (4, 5, 4)
    expected = np.full((4, 5, 4), UNKNOWN)
    expected[0, 1:, :3] = whole[0, 2:6, 1:4]
    expected[3, :3, 1:] = whole[3, 1:4, 2:5]
    np.testing.assert_array_equal(part.hu, expected)


def test_a_slice_that_was_not_judged_joins_nothing():
    full = np.full((2, 2), 300, np.int16)
    part = assemble([(5, (0, 0, 2, 2), full), (7, (0, 0, 2, 2), full)])
    actual = score(part.hu, part.hu > 0, (3, 1, 1), CONVENTIONS["orcascore"])
    assert [one.z for one in actual.lesions] == [(0, 0), (2, 2)]


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        ([], "no slices"),
        ([(1, (0, 0, 2, 2))] * 2, "slice 1 of the scan is there twice"),
        ([(1, (0, 0, 3, 2))], "do not fill its crop"),
    ],
)
def test_slices_that_make_no_scan_are_refused(slices, words):
    given = [(z, crop, np.zeros((2, 2), np.int16)) for z, crop in slices]
    with pytest.raises(ValueError, match=words):
        assemble(given)


def rows_of(tmp_path, *lines, header="z,x0,y0,x1,y1"):
    path = tmp_path / "b.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return read_rows(path, (5, 20, 30), -12.0, 3.0)


def test_slices_by_number_and_by_position(tmp_path):
    actual = rows_of(tmp_path, "0,1,2,3,4", "mm:-12,1,2,3,4", "mm: -1.6,0.5,0,30,20")
    assert actual == [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4), (3, 0.5, 0, 30, 20)]
    assert rows_of(tmp_path) == []


def test_a_decimal_comma_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b\.csv:2: .*with a decimal point"):
        rows_of(tmp_path, "0;1,5;2;3;4", header="z;x0;y0;x1;y1")


def test_a_pixel_in_two_boxes_counts_once():
    hu = np.full((1, 6, 8), 300, np.int16)
    assert calcium_mask(hu, [(0, 0, 0, 4, 3), (0, 2, 1, 6, 4)]).sum() == 12 + 12 - 4


def test_columns_in_any_order_and_more_of_them(tmp_path):
    path = tmp_path / "b.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["y1", "score", "x0", "y0", "x1", "z"], [4, 0.9, 1, 2, 3, 4]])
    assert read_rows(path, (5, 20, 30), 0.0, 1.0) == [(4, 1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("5,1,2,3,4", "slice 5, but the scan has 0 to 4"),
        ("-12,1,2,3,4", "a position is written mm:-12"),
        ("1.5,1,2,3,4", "'1.5' is neither a slice"),
        (",1,2,3,4", "'' is neither a slice"),
        ("mm:,1,2,3,4", "'mm:' is neither a slice"),
        ("mm:nan,1,2,3,4", "mm:nan is no position"),
        ("mm:inf,1,2,3,4", "mm:inf is no position"),
        ("mm:-10.5,1,2,3,4", "midway between slices"),
        ("mm:1.6,1,2,3,4", "outside the scan, whose slices reach from -12 to 0 mm"),
        ("mm:-14,1,2,3,4", "outside the scan"),
        ("0,one,2,3,4", "is no box"),
        ("0,1,2,3", "is no box"),
        ("0,1,2,nan,4", "is empty or not finite"),
        ("0,3,2,1,4", "exchange corners"),
        ("0,1,2,3,2", "exchange corners"),
        ("0,1,2,31,4", "reaches out of the slice, which is 30 x 20 px"),
        ("0,-1,2,3,4", "reaches out of the slice"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, line, words):
    with pytest.raises(ValueError, match=r"b\.csv:3: ") as caught:
        rows_of(tmp_path, "0,1,2,3,4", line)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_boxes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b\.csv:1: no column z, y1"):
        rows_of(tmp_path, header="slice,x0,y0,x1")
