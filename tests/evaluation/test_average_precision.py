"""AP and the operating point by YOLOv5's rule, on a worked case and by hand."""

import numpy as np
import pytest

from tqgd_jax.evaluation.matching.average_precision import (
    areas,
    coco,
    precision_recall,
    rank,
    yolo,
)
from tqgd_jax.evaluation.measures.best_f1 import Ranked, best_point

SCORES = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
HIT = np.array([1, 1, 0, 1, 0, 1, 0, 0], bool)
CASE = Ranked(SCORES, HIT, 5)


def area(hit, boxes, rule=yolo):
    """Average precision of a ranking."""
    ranking = rank(hit, ~hit, np.zeros(len(hit), int), np.array([boxes], float))
    return areas(ranking, np.ones((1, 1)), rule)[0]


def test_worked_case():
    # YOLOv5 v7.0 on these eight detections of five boxes
    assert area(HIT, 5) == pytest.approx(0.730833, abs=5e-7)
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
    assert area(np.array(hit, bool), boxes) == pytest.approx(expected, abs=1e-12)


def test_best_point_is_the_mean_over_classes_with_ground_truth():
    perfect = Ranked(np.array([0.9]), np.array([True]), 1)
    missed = Ranked(np.zeros(0), np.zeros(0, bool), 1)
    absent = Ranked(np.array([0.8]), np.array([False]), 0)
    best = best_point([perfect, missed, absent])
    assert best[:3] == pytest.approx((0.5, 0.5, 0.5))


def test_nothing_found_leaves_no_best_point():
    assert best_point([Ranked(SCORES, np.zeros(8, bool), 5)]) == (None,) * 4


def slow_yolo(hit, boxes):
    """The rule word by word: envelope, linear interpolation, trapezoid."""
    if not len(hit):
        return 0.0
    true = np.cumsum(hit)
    recall = np.concatenate([[0], true / boxes, [1]])
    precision = np.concatenate([[1], true / np.arange(1, len(hit) + 1), [0]])
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    grid = np.linspace(0, 1, 101)
    return np.trapezoid(np.interp(grid, recall, precision), grid)


def slow_coco(hit, boxes):
    """At each recall the best precision of any cut that reaches it."""
    true = np.cumsum(hit)
    recall, precision = true / boxes, true / np.arange(1, len(hit) + 1)
    grid = np.linspace(0, 1, 101)
    return np.mean([precision[recall >= x].max(initial=0) for x in grid])


@pytest.mark.parametrize(("rule", "slow"), [(yolo, slow_yolo), (coco, slow_coco)])
def test_both_rules_equal_their_definitions_on_random_rankings(rule, slow):
    rng = np.random.default_rng(0)
    for _ in range(300):
        k, more = rng.integers(0, 60), rng.integers(0, 20)
        hit = rng.random(k) < rng.random()
        boxes = int(hit.sum() + more * rng.integers(0, 2)) or 1
        assert area(hit, boxes, rule) == pytest.approx(slow(hit, boxes), abs=1e-12)


@pytest.mark.parametrize("boxes", [50, 100, 200])
def test_recalls_that_fall_on_the_grid_are_read_as_the_definitions_read_them(boxes):
    # k / boxes and the grid's k * .01 differ in the last bit for some k.
    hit = np.random.default_rng(1).random(4 * boxes) < 0.2
    for rule, slow in ((yolo, slow_yolo), (coco, slow_coco)):
        assert area(hit, boxes, rule) == pytest.approx(slow(hit, boxes), abs=1e-12)


@pytest.mark.parametrize(("rule", "slow"), [(yolo, slow_yolo), (coco, slow_coco)])
@pytest.mark.parametrize("many", [False, True])  # many clusters: the sparse product
def test_weights_equal_copies_of_the_detections(rule, slow, many, monkeypatch):
    if many:
        monkeypatch.setattr("tqgd_jax.evaluation.statistics.weighted.CELLS", 0)
        monkeypatch.setattr("tqgd_jax.evaluation.statistics.weighted.DENSE", 0)
    rng = np.random.default_rng(2)
    for _ in range(20):
        k = 40
        hit, cluster = rng.random(k) < 0.5, rng.integers(0, 5, k)
        false = ~hit & (rng.random(k) < 0.8)  # the others are neither
        boxes = np.bincount(cluster[hit], minlength=5) + rng.integers(0, 3, 5)
        weights = rng.integers(0, 4, (6, 5)).astype(float)
        weights[0, 0] = 1
        ranking = rank(hit, false, cluster, boxes.astype(float))
        for got, row in zip(areas(ranking, weights, rule), weights, strict=True):
            judged = hit | false
            times = row[cluster[judged]].astype(int)
            total = row @ boxes
            if total == 0:
                assert np.isnan(got)
                continue
            expected = slow(np.repeat(hit[judged], times), total)
            assert got == pytest.approx(expected, abs=1e-12)


def test_best_point_equals_its_definition_on_random_detections():
    rng = np.random.default_rng(3)
    grid = np.linspace(0, 1, 1000)
    for _ in range(20):
        k = 30
        scores = -np.sort(-rng.permutation(500)[:k] / 500)
        hit = rng.random(k) < 0.6
        hit[0] = True
        true, boxes = np.cumsum(hit), int(hit.sum()) + 4
        precision = np.interp(-grid, -scores, true / np.arange(1, k + 1), left=1)
        recall = np.interp(-grid, -scores, true / boxes, left=0)
        f1 = 2 * precision * recall / (precision + recall + 1e-16)
        smooth = np.array(
            [
                np.mean(f1[np.clip(np.arange(i - 50, i + 51), 0, 999)])
                for i in range(1000)
            ]
        )
        best = best_point([Ranked(scores, hit, boxes)])
        at = round(best.threshold * 999)
        assert smooth[at] == pytest.approx(smooth.max(), abs=1e-12)
        expected = (precision[at], recall[at], f1[at])
        assert best[:3] == pytest.approx(expected, abs=1e-12)
