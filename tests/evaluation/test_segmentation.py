"""Probability maps to boxes, boxes to masks, on maps drawn by hand."""

import numpy as np
import pytest

from tqgd_jax.evaluation.inputs.segmentation import boxes_of
from tqgd_jax.structures.thresholds import POINT_TAU


def drawn(*rows):
    """A map in tenths: '9' is 0.9, '.' is 0."""
    return np.array([[0.0 if c == "." else int(c) / 10 for c in row] for row in rows])


def grey(*rows):
    """A mask as text."""
    return ["".join("#" if v else "." for v in row) for row in rows]


MAP = drawn(
    "......",
    ".96...",
    "...3..",
    "......",
    "9....8",
    ".....4",
)


def test_a_component_touches_by_corners_and_scores_its_mean():
    boxes, scores, _ = boxes_of(MAP)
    # 0.9, 0.6 and, by a corner, 0.3; the lone pixel is dropped; x1 and y1 exclusive
    assert boxes.tolist() == [[1, 1, 4, 3], [5, 4, 6, 6]]
    np.testing.assert_allclose(scores, [0.6, 0.6], rtol=1e-12)


def test_the_score_may_be_the_highest_probability():
    np.testing.assert_allclose(boxes_of(MAP, statistic="max")[1], [0.9, 0.8])


def test_a_higher_tau_cuts_components_down():
    boxes, scores, _ = boxes_of(MAP, tau=POINT_TAU)
    assert boxes.tolist() == [[1, 1, 3, 2]]  # what is left of the other is one pixel
    np.testing.assert_allclose(scores, [0.75])


def test_a_pixel_at_tau_belongs():
    assert len(boxes_of(drawn("55"), tau=0.5)[0]) == 1
    assert len(boxes_of(np.full((1, 2), np.nextafter(0.5, 0)), tau=0.5)[0]) == 0


def test_pixels_below_130_hu_are_no_calcium():
    hu = np.full(MAP.shape, 129, np.int16)
    assert len(boxes_of(MAP, hu)[0]) == 0
    hu[1, 1:3] = 130
    boxes, scores, _ = boxes_of(MAP, hu)
    assert boxes.tolist() == [[1, 1, 3, 2]]
    np.testing.assert_allclose(scores, [0.75])


def test_an_empty_map_has_no_boxes():
    boxes, scores, _ = boxes_of(np.zeros((4, 5), np.float32))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, -0.01, 1.01, np.inf])
def test_what_is_no_probability_is_refused_with_its_place(bad):
    wrong = MAP.copy()
    wrong[2, 4] = bad
    with pytest.raises(ValueError, match=r"probability\[2, 4\] is .*sigmoid"):
        boxes_of(wrong)


def test_hu_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"hu has the shape \(6, 5\), prob.* \(6, 6\)"):
        boxes_of(MAP, np.zeros((6, 5), np.int16))


@pytest.mark.parametrize("tau", [0.0, 1.5])
def test_a_tau_that_keeps_all_or_nothing_is_refused(tau):
    with pytest.raises(ValueError, match="tau must be in"):
        boxes_of(MAP, tau=tau)
