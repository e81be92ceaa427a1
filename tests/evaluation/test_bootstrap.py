"""Intervals: coverage in simulated cohorts, a loop of copies, degenerate cohorts, speed."""

import time

import numpy as np
import pytest

from bench.studies.evaluator import coverage
from tests.evaluation.cohorts import cohort
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.statistics.bootstrap import interval, numbers, resamples
from tqgd_jax.structures.image import Image, Place


def test_resamples_draw_as_many_patients_as_there_are():
    weights = resamples(7, 500, seed=1)
    assert weights.shape == (500, 7)
    assert (weights.sum(axis=1) == 7).all()
    # Each patient is left out of a resample with probability (6 / 7)^7 = 0.34.
    assert (weights == 0).mean() == pytest.approx((6 / 7) ** 7, abs=0.03)
    assert (weights == resamples(7, 500, seed=1)).all()
    assert (weights != resamples(7, 500, seed=2)).any()


def test_nominal_95_percent_intervals_cover_the_truth_in_500_cohorts():
    # Recall, F1 and AP50: 2,000 cohorts (`python -m bench.studies.evaluator coverage`)
    # say 94.1, 94.7 and 94.9 %; a share of 500 has a standard error of 1 %.
    for row in coverage(40, 500, repeats=400):
        assert 0.93 <= row["ours"] <= 0.97, row
        assert row["none"] == 0, row


def test_expanded_percentiles_by_hand():
    # n = 5: t of .975 with 4 degrees is 2.776, times sqrt(5/4) is 3.104; Phi(-3.104) is
    # .000955 (tables), so of 0..100,000 the ends are 95.5 and 99,904.5.
    low, high = interval(50_000, np.arange(100_001.0), np.zeros(0), 5)
    assert low == pytest.approx(95.5, abs=0.5)
    assert high == pytest.approx(100_000 - 95.5, abs=0.5)


def test_patients_who_change_nothing_do_not_make_an_interval_narrower():
    # Five of twenty have lesions: the percentiles are those of five patients.
    values = np.arange(100_001.0)
    without = 50_000 + np.array([-1.0, 1, -1, 1, 1, *[0] * 15])
    low, high = interval(50_000, values, without, 20)
    assert low == pytest.approx(95.5, abs=0.5)
    assert high == pytest.approx(100_000 - 95.5, abs=0.5)


def test_an_interval_is_widened_when_one_patient_holds_most():
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000)
    equal = 0.01 * np.arange(-4.5, 5)
    # jackknife error about sqrt(9 * 2.25) = 4.5, the bootstrap's is 1
    alone = equal + np.array([5.0, *[0.0] * 9])
    narrow, wide = interval(0, values, equal, 10), interval(0, values, alone, 10)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_numbers_have_a_value_and_an_interval_or_a_reason():
    evaluator = Evaluator(cohort(1), ["a", "b"], 0.4)
    actual = numbers(evaluator.figures, resamples(6, 100, 0), 0.95, evaluator.why)
    assert list(actual) == list(evaluator.keys)
    for number in actual.values():
        assert set(number) == {"value", "low", "high", "reason"}
        assert (number["reason"] == "") == (number["low"] is not None)
        if number["low"] is not None:
            assert number["low"] <= number["high"]
    ap = actual["ap.yolo.0.5"]
    assert ap["low"] < ap["value"] < ap["high"]


def one(boxes, dets, patient):
    zeros = np.zeros(max(len(boxes), len(dets)), int)
    return Image(
        f"of {patient}",
        np.array(boxes, float).reshape(-1, 4),
        zeros[: len(boxes)],
        np.array(dets, float).reshape(-1, 4),
        np.full(len(dets), 0.9),
        zeros[: len(dets)],
        place=Place(patient),
    )


BOX = (0, 0, 10, 10)


@pytest.mark.parametrize(
    ("images", "key", "value", "reason"),
    [
        ([], "ap.yolo.0.5", None, "no images"),
        (
            [one([], [BOX], "p"), one([], [], "q")],
            "ap.yolo.0.5",
            None,
            "no ground-truth",
        ),
        ([one([BOX], [BOX], "p")], "ap.yolo.0.5", 0.995, "one patient"),
        (
            [one([BOX], [], p) for p in "pq"],
            "point.iou0.5.recall",
            0,
            "the same in every",
        ),
        (
            [one([BOX], [BOX], p) for p in "pq"],
            "point.iou0.5.f1",
            1,
            "the same in every",
        ),
        ([one([BOX], [], "p"), one([BOX], [BOX], "q")], "point.iou0.5.recall", 0.5, ""),
        # Of two patients one has boxes: a quarter of the resamples has none.
        ([one([BOX], [], "p"), one([], [], "q")], "ap.yolo.0.5", 0, "undefined in 2"),
    ],
)
def test_degenerate_cohorts_have_a_reason(images, key, value, reason):
    evaluator = Evaluator(images, ["a"], 0.5)
    weights = resamples(len(evaluator.clusters), 1000, seed=0)
    number = numbers(evaluator.figures, weights, 0.95, evaluator.why)[key]
    assert number["value"] == (None if value is None else pytest.approx(value))
    assert reason in number["reason"]
    assert (number["low"] is None) == bool(reason)


def test_without_resamples_there_is_no_interval():
    evaluator = Evaluator(cohort(1), ["a", "b"], 0.4)
    actual = numbers(evaluator.figures, resamples(6, 0, 0), 0.95, evaluator.why)
    assert actual["ap.yolo.0.5"]["value"] is not None
    assert "no resamples" in actual["ap.yolo.0.5"]["reason"]


def test_10_000_resamples_of_40_patients_take_seconds():
    rng = np.random.default_rng(0)
    images = []
    for i in range(160):
        corner = rng.uniform(0, 400, (10, 2))
        dets = np.concatenate([corner, corner + rng.uniform(4, 12, (10, 2))], 1)
        boxes = dets[: 3 + i % 2] + rng.normal(0, 0.3, (3 + i % 2, 4))
        zeros = np.zeros(10, int)
        place = Place(f"p{i // 4}", "1", z=i % 4, spacing=(3.0, 0.4, 0.4))
        labels = zeros[: len(boxes)]
        images.append(
            Image(str(i), boxes, labels, dets, rng.random(10), zeros, place=place)
        )
    evaluator = Evaluator(images, ["calcium"], 0.5)
    weights = resamples(40, 10_000, seed=0)
    start = time.process_time()  # of this process alone, whatever else runs
    actual = evaluator.figures(weights)
    # `python -m bench.studies.evaluator bootstrap` says how long: 3 to 4 s of one core.
    assert time.process_time() - start < 15
    assert all(len(values) == 10_000 for values in actual.values())
