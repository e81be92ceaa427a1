"""Weighted box fusion against a hand calculation."""

import numpy as np

from tqgd_jax.prediction.fusion import fused
from tqgd_jax.predictor import Boxes


def boxes(*rows):
    """Rows of (x0, y0, x1, y1, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def test_boxes_of_two_detectors_are_means_by_score():
    one = boxes((0, 0, 10, 10, 0.75, 0), (40, 40, 50, 50, 0.5, 0))
    # IoU of (0, 0, 10, 10) and (2, 0, 12, 10) is 80 / 120 = .67; the mean of x0 is
    # (.75 x 0 + .25 x 2) / 1 = .5, the score (.75 + .25) / 2. What only one has found is
    # worth half.
    other = boxes((2, 0, 12, 10, 0.25, 0))
    got = fused([one, other])
    np.testing.assert_allclose(got.boxes, [[0.5, 0, 10.5, 10], [40, 40, 50, 50]])
    np.testing.assert_allclose(got.scores, [0.5, 0.25])
    assert got.boxes.dtype == np.float32
    same = fused([other, one])
    np.testing.assert_array_equal(same.boxes, got.boxes)


def test_boxes_that_overlap_less_or_are_of_another_class_stay_apart():
    # (0, 0, 10, 10) and (4, 0, 14, 10): 60 / 140 = .43 is below .55
    got = fused([boxes((0, 0, 10, 10, 0.5, 0)), boxes((4, 0, 14, 10, 0.5, 0))])
    assert len(got.boxes) == 2
    got = fused([boxes((0, 0, 10, 10, 0.5, 0)), boxes((0, 0, 10, 10, 0.5, 1))])
    assert sorted(got.labels) == [0, 1]
    np.testing.assert_allclose(got.scores, [0.25, 0.25])


def test_a_box_joins_the_cluster_it_overlaps_most():
    # with the first 8 x 10 of 12 x 10 px, with the second all: identical
    first = boxes((0, 0, 10, 10, 0.9, 0), (4, 0, 14, 10, 0.8, 0))
    got = fused([first, boxes((4, 0, 14, 10, 0.4, 0))])
    np.testing.assert_allclose(got.boxes, [[4, 0, 14, 10], [0, 0, 10, 10]])
    np.testing.assert_allclose(got.scores, [0.6, 0.45], rtol=1e-6)


def test_more_boxes_than_detectors_raise_no_score():
    twice = boxes((0, 0, 10, 10, 0.6, 0), (0, 0, 10, 10, 0.4, 0))
    got = fused([twice, boxes((0, 0, 10, 10, 0.5, 0))])
    np.testing.assert_allclose(got.scores, [0.5], rtol=1e-6)  # the mean of three


def test_nothing_found_is_nothing():
    assert len(fused([boxes(), boxes()]).scores) == 0
