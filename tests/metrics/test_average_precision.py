"""AP and the operating point by YOLOv5's rule, on a worked case and by hand."""

import numpy as np
import pytest

from tqgd_jax.metrics.average_precision import average_precision, precision_recall
from tqgd_jax.metrics.operating_point import Counts, Ranked, at_threshold, best_point

SCORES = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
HIT = np.array([1, 1, 0, 1, 0, 1, 0, 0], bool)
CASE = Ranked(SCORES, HIT, 5)


def test_worked_case():
    # YOLOv5 v7.0 on these eight detections of five boxes
    assert average_precision(HIT, 5) == pytest.approx(0.730833, abs=5e-7)
    best = best_point([CASE])
    assert best.precision == pytest.approx(0.649983, abs=5e-7)
    assert best.recall == pytest.approx(0.8, abs=1e-9)
    assert best.f1 == pytest.approx(0.717231, abs=5e-7)


def test_best_threshold_of_the_worked_case_stands_on_its_plateau():
    # Recall .8 is reached between the hit at .5 and the next hit above it at .7.
    threshold = best_point([CASE]).threshold
    assert threshold is not None
    assert 0.4 <= threshold <= 0.5


def test_precision_and_recall_after_each_detection():
    precision, recall = precision_recall(np.array([True, False, True]), 4)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [1 / 4, 1 / 4, 1 / 2])


@pytest.mark.parametrize(
    ("hit", "boxes", "expected"),
    [
        ([True, True], 2, 0.995),  # YOLOv5's well-known perfect score
        ([False, False], 3, 0.0),
        ([], 3, 0.0),
        # (0, 1) to (.5, 1), then straight down to (1, 0): 1/2 + 1/4
        ([True], 2, 0.75),
    ],
)
def test_area_by_hand(hit, boxes, expected):
    got = average_precision(np.array(hit, bool), boxes)
    assert got == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.7, (3, 1, 2)), (0.700001, (2, 1, 3)), (0.0, (4, 4, 1)), (0.96, (0, 0, 5))],
)
def test_counts_at_a_frozen_threshold_are_exact(threshold, expected):
    assert at_threshold(CASE, threshold) == Counts(*expected)


def test_figures_of_counts():
    counts = Counts(tp=3, fp=1, fn=2)
    assert (counts.precision, counts.recall) == (3 / 4, 3 / 5)
    assert counts.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    nothing = Counts(0, 0, 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)


def test_best_point_is_the_mean_over_classes_with_ground_truth():
    perfect = Ranked(np.array([0.9]), np.array([True]), 1)
    missed = Ranked(np.zeros(0), np.zeros(0, bool), 1)
    absent = Ranked(np.array([0.8]), np.array([False]), 0)
    best = best_point([perfect, missed, absent])
    assert best[:3] == pytest.approx((0.5, 0.5, 0.5))


def test_nothing_found_leaves_no_best_point():
    assert best_point([Ranked(SCORES, np.zeros(8, bool), 5)]) == (None,) * 4
