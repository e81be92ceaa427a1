"""The judge: weights are copies of patients, reasons, strata."""

import numpy as np
import pytest

from tests.evaluation.cohorts import cohort, copied, image
from tests.evaluation.test_average_precision import slow_yolo
from tests.evaluation.test_yolo_matching import slow_match
from tqgd_jax.evaluation.evaluate import evaluate
from tqgd_jax.evaluation.evaluator import Judge
from tqgd_jax.structures.image import Lesion, Place

CLASSES = ["a", "b"]


def figures(judge, keys=None):
    values = judge.figures(np.ones((1, len(judge.clusters))), keys)
    return {key: value[0] for key, value in values.items()}


A, B, FAR = (0, 0, 10, 10), (20, 20, 24, 24), (50, 50, 60, 60)


@pytest.mark.parametrize(
    "times", [[1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 1, 1], [0, 0, 5, 0, 1, 0]]
)
def test_weights_equal_copies_of_the_patients_in_every_figure(times):
    images = cohort(5)
    judge = Judge(images, CLASSES, 0.4)
    got = judge.figures(np.array([times], float))
    literal = Judge(copied(images, judge.clusters, times), CLASSES, 0.4)
    expected = figures(literal)
    compared = 0
    for key in judge.keys:
        value = expected.get(key, np.nan)  # a scanner may have gone
        if key.endswith(".boxes") and key not in expected:
            value = 0
        assert got[key][0] == pytest.approx(value, abs=1e-9, nan_ok=True), key
        compared += not np.isnan(value)
    assert compared > 90


def test_many_rows_equal_one_row_at_a_time():
    images = cohort(6, ties=True)
    judge = Judge(images, CLASSES, 0.4)
    weights = np.random.default_rng(0).integers(0, 3, (7, 6)).astype(float)
    together = judge.figures(weights)
    for row in range(7):
        alone = judge.figures(weights[row : row + 1])
        for key, values in together.items():
            assert values[row] == pytest.approx(alone[key][0], nan_ok=True, abs=1e-12)


def test_ap_by_yolo_rule_equals_the_rule_word_by_word_with_ignored_regions():
    images = cohort(7, ties=True)
    judge = Judge(images, CLASSES, None)
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
        assert figures(judge, [key])[key] == pytest.approx(np.mean(values), abs=1e-12)


def test_the_judge_and_evaluate_agree():
    images = cohort(8)
    judge, results = Judge(images, CLASSES, 0.4), evaluate(images, 2, 0.4)
    got = figures(judge)
    assert got["ap.yolo.0.5"] == pytest.approx(results["AP50"], abs=1e-12)
    assert got["ap.yolo.0.5:0.95"] == pytest.approx(results["AP50_95"], abs=1e-12)
    for name in ("precision", "recall", "f1"):
        assert got[f"point.iou0.5.{name}"] == pytest.approx(results[name])
        assert judge.yolo()[name] == pytest.approx(results[name])
    for name, count in results["counts"].items():
        assert got[f"point.iou0.5.{name}"] == count
    assert judge.coco() == results["coco"]


@pytest.mark.parametrize("seed", range(4))
def test_the_optimistic_threshold_is_the_best_of_all(seed):
    images = cohort(seed)
    every = np.unique(np.concatenate([i.det_scores for i in images]))[::-1]
    names = ("precision", "recall", "f1")
    keys = [f"point.iou0.5.{name}" for name in names]
    tried = [figures(Judge(images, CLASSES, float(t)), keys) for t in every]
    best = int(np.argmax([t["point.iou0.5.f1"] for t in tried]))
    got = figures(Judge(images, CLASSES, 0.4))
    for name, key in zip(names, keys, strict=True):
        assert got[f"optimistic.{name}"] == pytest.approx(tried[best][key])
    assert got["optimistic.threshold"] == every[best]
    gain = tried[best]["point.iou0.5.f1"] - got["point.iou0.5.f1"]
    assert got["optimistic.gain"] == pytest.approx(gain)
    assert gain >= 0


def test_the_threshold_may_lie_outside_of_0_to_1():
    images = cohort(8)
    times = [i._replace(det_scores=i.det_scores * 100) for i in images]
    one, hundred = (Judge(i, CLASSES, None) for i in (images, times))
    a, b = (
        figures(judge, ["optimistic.f1", "optimistic.threshold"])
        for judge in (one, hundred)
    )
    assert a["optimistic.f1"] == b["optimistic.f1"]
    assert 100 * a["optimistic.threshold"] == pytest.approx(b["optimistic.threshold"])
    # The 1,000 confidences of YOLOv5's rule are spread over those that occur.
    assert hundred.yolo()["f1"] == pytest.approx(one.yolo()["f1"], abs=0.02)


def test_without_a_threshold_yolo_stands_at_its_own_best_point():
    judge = Judge(cohort(8), CLASSES, None)
    values, best = judge.yolo(), evaluate(cohort(8), 2, None)["optimistic"]
    assert {k: values[k] for k in best} == pytest.approx(best)
    assert judge.why("point.iou0.5.f1").startswith("no threshold")
    assert np.isnan(figures(judge)["size.px.0-10.recall"])


PLACE = Place("p", "1", spacing=(3.0, 0.5, 0.5), scanner="S")
LESIONS = (Lesion(artery="LAD"), Lesion(artery="RCA"))


def test_strata_by_hand():
    # 100 px and 16 px, 25 and 4 mm2; the first is found exactly, the second 1 px aside
    aside = (21, 20, 25, 24)  # IoU 3/5
    far = (23, 20, 27, 24)  # centre 3 px away, R is 2
    first = image("1", [A, B], [A, aside, FAR], [0.9, 0.8, 0.7], PLACE, lesions=LESIONS)
    second = image("2", [B], [far], [0.9], Place("q", "1", scanner="T"))
    got = figures(Judge([first, second], ["a"], 0.5))
    expected = {
        "size.px.0-10.boxes": 0,
        "size.px.10-100.boxes": 3,  # 100 px belong to the lower stratum
        "size.px.10-100.recall": 2 / 3,
        "size.px.10-100.centre": 2 / 3,
        "size.px.100-200.boxes": 0,
        "size.mm2.2-20.boxes": 1,  # the spacing of the second image is unknown
        "size.mm2.2-20.recall": 1,
        "size.mm2.20-40.boxes": 1,
        "artery.LAD.boxes": 1,
        "artery.RCA.centre": 1,
        "scanner.S.boxes": 2,
        "scanner.S.precision": 2 / 3,
        "scanner.S.recall": 1,
        "scanner.S.ap50": 0.995,
        "scanner.T.ap50": 0,
        "scanner.T.recall": 0,
        "point.iou0.5.fp_per_scan": 2 / 2,
        "point.iou0.5.fp_per_slice": 2 / 2,
    }
    assert {key: got[key] for key in expected} == pytest.approx(expected)
    assert np.isnan(got["size.px.0-10.recall"])
    assert "artery." not in {key.rsplit(".", 1)[0] for key in got}


def test_areas_at_an_edge_belong_below_it_whatever_their_last_bit():
    # 5 x 10 px of 0.2 x 0.2 mm: 50 * (0.2 * 0.2) is 2.0000000000000004 in doubles
    place = Place("p", "1", spacing=(3.0, 0.2, 0.2))
    got = figures(Judge([image("1", [(0, 0, 5, 10)], [], [], place)], ["a"], 0.5))
    assert (got["size.mm2.0-2.boxes"], got["size.mm2.2-20.boxes"]) == (1, 0)


def test_a_confidence_in_single_precision_is_above_a_threshold_for_all_or_for_none():
    # 0.7 in single precision is 0.699999988
    item = image("1", [A], [A], [0.7], PLACE._replace(z=4))
    item = item._replace(det_scores=item.det_scores.astype(np.float32))
    for threshold, count in ((0.7, 0), (0.69999998, 1)):
        got = figures(Judge([item], ["a"], threshold))
        assert got["point.iou0.5.tp"] == got["lesion3d.detected"] == count
        assert item.above(threshold).tolist() == [bool(count)]


def test_a_threshold_of_its_own_for_each_image():
    items = [image("1", [A], [A], [0.6]), image("2", [A], [A], [0.6])]
    got = figures(Judge(items, ["a"], [0.5, 0.7]))
    assert got["point.iou0.5.recall"] == 1 / 2
    assert Judge(items, ["a"], [0.5, 0.7]).yolo()["threshold"] is None
    # A patient without a threshold leaves nothing to count at it, when he counts.
    judge = Judge(items, ["a"], [0.5, None])
    rows = judge.figures(np.array([[1.0, 0], [1, 1]]), ["point.iou0.5.recall"])
    np.testing.assert_equal(rows["point.iou0.5.recall"], [1, np.nan])


@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize(
    "items",
    [
        [],
        [image("1", [], [], [])],
        [image("1", [], [A], [0.9]), image("2", [], [], [])],
        [image("1", [A], [], []), image("2", [B], [], [])],
        [image("1", [A], [FAR], [0.9], PLACE)],
        [image("1", [A], [(5, 5, 5, 5)], [0.1], PLACE, lesions=LESIONS[:1])],
        [image("1", [A], [A], [0.9])._replace(iscrowd=np.array([True]))],
    ],
)
def test_degenerate_cohorts_have_figures_or_reasons(items, threshold):
    judge = Judge(items, ["a"], threshold)
    ones = np.ones((1, len(judge.clusters)))
    got = judge.figures(np.concatenate([ones, 0 * ones]))
    assert list(got) == list(judge.keys)
    for key, value in got.items():
        assert not np.isnan(value[0]) or judge.why(key), key
    aps = [got[key][0] for key in judge.keys if key.startswith("ap.")]
    there = any(item.counting.any() for item in items)
    np.testing.assert_equal(aps, [0.0 if there else np.nan] * 10)
    assert all(
        np.isnan(got[k][1]) for k in judge.keys if k.startswith(("ap.", "froc."))
    )
    curves = judge.curves(ones)
    assert (curves["pr"]["recall"] == []) == (not there)
    assert set(judge.yolo()) == {
        *("AP50", "AP50_95", "precision", "recall", "f1", "threshold"),
    }
    assert len(judge.coco()) == 12
    assert judge.facts()["boxes"] == sum(int(i.counting.sum()) for i in items)
    assert len(judge.outcomes()) == len(items)


def test_reasons_name_what_is_missing():
    empty = Judge([image("1", [], [A], [0.9])], ["a"], 0.5)
    assert "no ground-truth" in empty.why("ap.yolo.0.5")
    silent = Judge([image("1", [A], [A], [0.1], PLACE)], ["a"], 0.5)
    assert np.isnan(figures(silent)["point.iou0.5.precision"])
    assert silent.why("point.iou0.5.precision") == "no detection reaches the threshold"
    assert "of this group" in silent.why("size.px.0-10.recall")
    # Scanner T has a false alarm and nothing to find: its precision has no class to be of.
    free = image("2", [], [A], [0.9], Place("q", "1", scanner="T"))
    both = Judge([image("1", [A], [A], [0.9], PLACE), free], ["a"], 0.5)
    assert np.isnan(figures(both)["scanner.T.precision"])
    assert "of this group" in both.why("scanner.T.precision")
    plain = Judge([image("1", [A], [A], [0.9])], ["a"], 0.5)
    assert plain.why("size.mm2.0-2.recall") == "no image has a known spacing"
    assert Judge([], ["a"], 0.5).why("ap.coco.0.5") == "there are no images"


def test_unknown_figures_and_unequal_thresholds_are_refused():
    judge = Judge([image("1", [A], [A], [0.9])], ["a"], 0.5)
    with pytest.raises(ValueError, match=r"unknown figure 'ap\.yolo\.0\.2'; there are"):
        judge.figures(np.ones((1, 1)), ["ap.yolo.0.2"])
    with pytest.raises(ValueError, match="1 images need as many thresholds, got 2"):
        Judge([image("1", [A], [A], [0.9])], ["a"], [0.5, 0.5])


def test_curves_are_those_of_the_figures():
    judge = Judge(cohort(9), CLASSES, 0.4)
    weights = np.random.default_rng(0).integers(0, 3, (200, 6)).astype(float)
    curves, got = judge.curves(weights), figures(judge)
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
