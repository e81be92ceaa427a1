"""The evaluator on random cohorts: copies of patients, rules word by word, curves."""

import numpy as np
import pytest

from tests.evaluation.cohorts import cohort, copied, figures
from tests.evaluation.test_average_precision import slow_yolo
from tests.evaluation.test_yolo_matching import slow_match
from tqgd_jax.evaluation.evaluator import Evaluator, evaluate
from tqgd_jax.evaluation.statistics.bootstrap import resamples

CLASSES = ["a", "b"]


@pytest.mark.parametrize(
    ("images", "times"),
    [
        (cohort(5), [1, 1, 1, 1, 1, 1]),
        (cohort(5), [2, 0, 1, 3, 1, 1]),
        (cohort(5), [0, 0, 5, 0, 1, 0]),
        *((cohort(2, regions=False), times) for times in resamples(6, 4, seed=3)),
    ],
)
def test_weights_equal_copies_of_the_patients_in_every_figure(images, times):
    evaluator = Evaluator(images, CLASSES, 0.4)
    got = evaluator.figures(np.array([times], float))
    literal = Evaluator(copied(images, evaluator.clusters, times), CLASSES, 0.4)
    expected = figures(literal)
    compared = 0
    for key in evaluator.keys:
        value = expected.get(key, np.nan)  # a scanner may have gone
        if key.endswith(".boxes") and key not in expected:
            value = 0
        assert got[key][0] == pytest.approx(value, abs=1e-9, nan_ok=True), key
        compared += not np.isnan(value)
    assert compared > 90


def test_many_rows_equal_one_row_at_a_time():
    images = cohort(6, ties=True)
    evaluator = Evaluator(images, CLASSES, 0.4)
    weights = np.random.default_rng(0).integers(0, 3, (7, 6)).astype(float)
    together = evaluator.figures(weights)
    for row in range(7):
        alone = evaluator.figures(weights[row : row + 1])
        for key, values in together.items():
            assert values[row] == pytest.approx(alone[key][0], nan_ok=True, abs=1e-12)


def test_ap_by_yolo_rule_equals_the_rule_word_by_word_with_ignored_regions():
    images = cohort(7, ties=True)
    evaluator = Evaluator(images, CLASSES, None)
    for iou in (0.1, 0.3, 0.5, 0.75):
        values = []
        for label in (0, 1):
            rows, boxes = [], 0
            for item in images:
                order = np.argsort(-item.det_scores, kind="stable")
                keep = item.counting
                dets, labels = item.det_boxes[order], item.det_labels[order]
                hits, _ = slow_match(
                    item.boxes[keep], item.labels[keep], dets, labels, iou
                )
                boxes += int((item.labels[keep] == label).sum())
                for k in np.flatnonzero(labels == label):
                    u0, v0, u1, v1 = dets[k]
                    excused = False
                    for n in np.flatnonzero(~keep & (item.labels == label)):
                        x0, y0, x1, y1 = item.boxes[n]
                        w, h = min(x1, u1) - max(x0, u0), min(y1, v1) - max(y0, v0)
                        inside = max(w, 0) * max(h, 0) / ((u1 - u0) * (v1 - v0))
                        excused |= inside >= iou
                    if k in hits or not excused:
                        rows.append((-item.det_scores[order][k], k in hits))
            rows.sort(key=lambda row: row[0])
            values.append(slow_yolo(np.array([hit for _, hit in rows]), boxes))
        key = f"ap.yolo.{iou:g}"
        assert figures(evaluator, [key])[key] == pytest.approx(
            np.mean(values), abs=1e-12
        )


@pytest.mark.parametrize("seed", range(4))
def test_the_optimistic_threshold_is_the_best_of_all(seed):
    images = cohort(seed)
    every = np.unique(np.concatenate([i.det_scores for i in images]))[::-1]
    names = ("precision", "recall", "f1")
    keys = [f"point.iou0.5.{name}" for name in names]
    tried = [figures(Evaluator(images, CLASSES, float(t)), keys) for t in every]
    best = int(np.argmax([t["point.iou0.5.f1"] for t in tried]))
    got = figures(Evaluator(images, CLASSES, 0.4))
    for name, key in zip(names, keys, strict=True):
        assert got[f"optimistic.{name}"] == pytest.approx(tried[best][key])
    assert got["optimistic.threshold"] == every[best]
    gain = tried[best]["point.iou0.5.f1"] - got["point.iou0.5.f1"]
    assert got["optimistic.gain"] == pytest.approx(gain)
    assert gain >= 0


def test_the_threshold_may_lie_outside_of_0_to_1():
    images = cohort(8)
    times = [i._replace(det_scores=i.det_scores * 100) for i in images]
    one, hundred = (Evaluator(i, CLASSES, None) for i in (images, times))
    a, b = (
        figures(evaluator, ["optimistic.f1", "optimistic.threshold"])
        for evaluator in (one, hundred)
    )
    assert a["optimistic.f1"] == b["optimistic.f1"]
    assert 100 * a["optimistic.threshold"] == pytest.approx(b["optimistic.threshold"])
    # The 1,000 confidences of YOLOv5's rule are spread over those that occur.
    assert hundred.yolo()["f1"] == pytest.approx(one.yolo()["f1"], abs=0.02)


def test_without_a_threshold_yolo_stands_at_its_own_best_point():
    evaluator = Evaluator(cohort(8), CLASSES, None)
    values, best = evaluator.yolo(), evaluate(cohort(8), CLASSES)["optimistic"]
    assert {k: values[k] for k in best} == pytest.approx(best)
    assert evaluator.why("point.iou0.5.f1").startswith("no threshold")
    assert np.isnan(figures(evaluator)["size.px.0-10.recall"])


def test_curves_are_those_of_the_figures():
    evaluator = Evaluator(cohort(9), CLASSES, 0.4)
    weights = np.random.default_rng(0).integers(0, 3, (200, 6)).astype(float)
    curves, got = evaluator.curves(weights), figures(evaluator)
    for unit in ("scan", "slice", "lesion"):
        drawn = curves["froc"][unit]
        at = dict(zip(drawn["fp"], drawn["sensitivity"], strict=True))
        assert at[1.0] == pytest.approx(got[f"froc.{unit}.1"])
        assert at[0.125] == pytest.approx(got[f"froc.{unit}.1/8"])
        assert (np.array(drawn["low"]) <= np.array(drawn["high"])).all()
        assert len(drawn["low"]) == len(drawn["fp"])
    precision = np.array(curves["pr"]["precision"])
    # The area under the drawn curve is AP50, up to the grid of 101 recalls.
    area = np.trapezoid(precision, curves["pr"]["recall"])
    assert area == pytest.approx(got["ap.yolo.0.5"], abs=0.01)
    assert len(precision) <= 501
