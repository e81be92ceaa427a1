"""The evaluator: by hand, reasons, strata, speed."""

import json
import time

import numpy as np
import pytest

from tests.evaluation.cohorts import figures, image
from tqgd_jax.evaluation.evaluator import Evaluator, best_threshold, evaluate
from tqgd_jax.structures.image import Lesion, Place

A, B, FAR = (0, 0, 10, 10), (20, 20, 24, 24), (50, 50, 60, 60)
SET = [
    image("two", [A, B], [A, FAR], [0.9, 0.4]),
    image("empty", [], [A], [0.6]),  # a false positive
    image("blank", [B], [], []),
]


def test_figures_by_hand():
    # Falling scores: hit, false, false; three boxes.
    got = evaluate(SET, ["a"], 0.5)
    assert (got["images"], got["boxes"], got["detections"]) == (3, 3, 3)
    assert (got["precision"], got["recall"]) == (1 / 2, 1 / 3)
    assert got["f1"] == pytest.approx(2 / 5)
    # The perfect box is a hit at all ten IoUs.
    assert got["AP50"] == pytest.approx(got["AP50_95"])
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    # COCO: precision 1 at the 34 recalls 0 to .33 of 101, then 0
    assert Evaluator(SET, ["a"], 0.5).coco()["AP50"] == pytest.approx(34 / 101)
    # Without the image that has no box, its detection is no false positive.
    assert evaluate([SET[0], SET[2]], ["a"], 0.5)["precision"] == 1


def test_the_frozen_threshold_stands_beside_the_optimistic_one():
    got = evaluate(SET, ["a"], 0.95)
    assert (got["threshold"], got["precision"], got["recall"]) == (0.95, None, 0)
    best = got["optimistic"]
    assert best["recall"] == pytest.approx(1 / 3, abs=1e-6)
    assert 0.4 < best["threshold"] <= 0.9
    assert best["threshold"] == best_threshold(SET, ["a"])
    blind = evaluate(SET, ["a"])
    assert [blind[name] for name in best] == [None] * 4
    assert (blind["optimistic"], blind["AP50"]) == (best, got["AP50"])


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.7, (3, 1, 2)), (0.700001, (2, 1, 3)), (0.0, (4, 4, 1)), (0.96, (0, 0, 5))],
)
def test_counts_at_a_frozen_threshold_are_exact(threshold, expected):
    boxes = [(20 * k, 0, 20 * k + 9, 9) for k in range(5)]
    dets = [*boxes[:2], FAR, boxes[2], FAR, boxes[3], FAR, FAR]
    scores = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    got = figures(Evaluator([image("1", boxes, dets, scores)], ["a"], threshold))
    assert tuple(got[f"point.iou0.5.{name}"] for name in ("tp", "fp", "fn")) == expected


def test_classes_have_figures_each_and_absent_ones_no_part_in_the_mean():
    item = image("a", [A, B], [A, B, FAR], [0.9, 0.8, 0.7])
    item = item._replace(labels=np.array([0, 1]), det_labels=np.array([0, 0, 2]))
    got = figures(Evaluator([item], ["x", "y", "z"], 0.5))
    each = [[got[f"class.{c}.{k}"] for c in "xyz"] for k in ("boxes", "ap50", "recall")]
    expected = [[1, 1, 0], [0.995, 0, np.nan], [1, 0, np.nan]]
    np.testing.assert_allclose(each, expected)
    assert got["ap.yolo.0.5"] == pytest.approx(0.995 / 2)  # classes x and y
    assert got["point.iou0.5.recall"] == 1 / 2
    assert got["point.iou0.5.precision"] == 1 / 2  # class x; class y detected nothing
    assert [got[f"point.iou0.5.{k}"] for k in ("tp", "fp", "fn")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"det_scores": np.array([np.nan])}, "p7: det_boxes"),
        ({"det_labels": np.array([1])}, "class indices of det_boxes"),
        ({"labels": np.array([-1])}, "class indices of boxes"),
    ],
)
def test_impossible_input_is_refused_with_its_image(change, message):
    with pytest.raises(ValueError, match=message):
        Evaluator([image("p7", [A], [A], [0.5])._replace(**change)], ["a"], 0.5)


def test_order_of_detections_does_not_matter():
    rng = np.random.default_rng(1)
    k = 40
    corner = rng.uniform(0, 50, (k, 2))
    dets = np.concatenate([corner, corner + rng.uniform(5, 20, (k, 2))], 1)
    scores = rng.permutation(k) / k
    one = image("a", dets[:8], dets + 1, scores)
    order = rng.permutation(k)
    other = one._replace(det_boxes=dets[order] + 1, det_scores=scores[order])
    got, again = (Evaluator([item], ["a"], 0.3) for item in (one, other))
    assert got.coco() == again.coco()
    np.testing.assert_equal(figures(got), figures(again))


@pytest.mark.parametrize("flag", ["ignore", "iscrowd"])
def test_ignored_boxes_are_not_missed_and_detections_in_them_not_false(flag):
    # A is to be found; B is ignored, and the detection on it counts nowhere.
    both = image("a", [A, B], [A, B, FAR], [0.9, 0.8, 0.7])
    marked = both._replace(**{flag: np.array([False, True])})
    without = image("a", [A], [A, FAR], [0.9, 0.7])
    got, expected = (evaluate([item], ["a"], 0.5) for item in (marked, without))
    assert got == expected | {"detections": 3}
    # COCO's rule knows crowds alone: B and its detection count.
    same = both if flag == "ignore" else without
    twelve, others = (Evaluator([item], ["a"], 0.5).coco() for item in (marked, same))
    assert twelve == others


def test_300_images_of_300_detections_take_seconds():
    rng = np.random.default_rng(0)
    images = []
    for i in range(300):
        corner = rng.uniform(0, 500, (300, 2))
        dets = np.concatenate([corner, corner + rng.uniform(4, 40, (300, 2))], 1)
        boxes = dets[:5] + rng.normal(0, 1, (5, 4))
        images.append(image(str(i), boxes, dets, rng.random(300)))
    start = time.process_time()
    evaluate(images, ["a"], 0.5)
    # 2,000 images within 60 s are 9 s for 300; here it takes well under 2.
    assert time.process_time() - start < 9


PLACE = Place("p", "1", spacing=(3.0, 0.5, 0.5), scanner="S")
LESIONS = (Lesion(artery="LAD"), Lesion(artery="RCA"))


def test_strata_by_hand():
    # 100 px and 16 px, 25 and 4 mm2; the first is found exactly, the second 1 px aside
    shifted = (21, 20, 25, 24)  # IoU 3/5
    far = (23, 20, 27, 24)  # centre 3 px away, R is 2
    first = image(
        "1", [A, B], [A, shifted, FAR], [0.9, 0.8, 0.7], PLACE, lesions=LESIONS
    )
    second = image("2", [B], [far], [0.9], Place("q", "1", scanner="T"))
    got = figures(Evaluator([first, second], ["a"], 0.5))
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
    got = figures(Evaluator([image("1", [(0, 0, 5, 10)], [], [], place)], ["a"], 0.5))
    assert (got["size.mm2.0-2.boxes"], got["size.mm2.2-20.boxes"]) == (1, 0)


def test_a_confidence_in_single_precision_is_above_a_threshold_for_all_or_for_none():
    # 0.7 in single precision is 0.699999988
    item = image("1", [A], [A], [0.7], PLACE._replace(z=4))
    item = item._replace(det_scores=item.det_scores.astype(np.float32))
    for threshold, count in ((0.7, 0), (0.69999998, 1)):
        got = figures(Evaluator([item], ["a"], threshold))
        assert got["point.iou0.5.tp"] == got["lesion3d.detected"] == count
        assert item.above(threshold).tolist() == [bool(count)]


def test_a_threshold_of_its_own_for_each_image():
    items = [image("1", [A], [A], [0.6]), image("2", [A], [A], [0.6])]
    got = figures(Evaluator(items, ["a"], [0.5, 0.7]))
    assert got["point.iou0.5.recall"] == 1 / 2
    assert Evaluator(items, ["a"], [0.5, 0.7]).yolo()["threshold"] is None
    # A patient without a threshold leaves nothing to count at it, when he counts.
    evaluator = Evaluator(items, ["a"], [0.5, None])
    rows = evaluator.figures(np.array([[1.0, 0], [1, 1]]), ["point.iou0.5.recall"])
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
    evaluator = Evaluator(items, ["a"], threshold)
    ones = np.ones((1, len(evaluator.clusters)))
    got = evaluator.figures(np.concatenate([ones, 0 * ones]))
    assert list(got) == list(evaluator.keys)
    for key, value in got.items():
        assert not np.isnan(value[0]) or evaluator.why(key), key
    aps = [got[key][0] for key in evaluator.keys if key.startswith("ap.")]
    labelled = any(item.counting.any() for item in items)
    np.testing.assert_equal(aps, [0.0 if labelled else np.nan] * 10)
    assert all(
        np.isnan(got[k][1]) for k in evaluator.keys if k.startswith(("ap.", "froc."))
    )
    curves = evaluator.curves(ones)
    assert (curves["pr"]["recall"] == []) == (not labelled)
    assert set(evaluator.yolo()) == {
        *("AP50", "AP50_95", "precision", "recall", "f1", "threshold"),
    }
    assert evaluator.coco()["AP50"] == (0 if labelled else None)
    assert evaluator.best_point == (None,) * 4
    few = evaluate(items, ["a"], threshold)
    assert few["threshold"] == threshold
    json.dumps(few, allow_nan=False)
    assert evaluator.facts()["boxes"] == sum(int(i.counting.sum()) for i in items)
    assert len(evaluator.outcomes()) == len(items)


def test_reasons_name_what_is_missing():
    empty = Evaluator([image("1", [], [A], [0.9])], ["a"], 0.5)
    assert "no ground-truth" in empty.why("ap.yolo.0.5")
    silent = Evaluator([image("1", [A], [A], [0.1], PLACE)], ["a"], 0.5)
    assert np.isnan(figures(silent)["point.iou0.5.precision"])
    assert silent.why("point.iou0.5.precision") == "no detection reaches the threshold"
    assert "of this group" in silent.why("size.px.0-10.recall")
    # Scanner T has a false alarm and nothing to find: its precision has no class to be of.
    free = image("2", [], [A], [0.9], Place("q", "1", scanner="T"))
    both = Evaluator([image("1", [A], [A], [0.9], PLACE), free], ["a"], 0.5)
    assert np.isnan(figures(both)["scanner.T.precision"])
    assert "of this group" in both.why("scanner.T.precision")
    plain = Evaluator([image("1", [A], [A], [0.9])], ["a"], 0.5)
    assert plain.why("size.mm2.0-2.recall") == "no image has a known spacing"
    assert Evaluator([], ["a"], 0.5).why("ap.coco.0.5") == "there are no images"


def test_unknown_figures_and_unequal_thresholds_are_refused():
    evaluator = Evaluator([image("1", [A], [A], [0.9])], ["a"], 0.5)
    with pytest.raises(ValueError, match=r"unknown figure 'ap\.yolo\.0\.2'; there are"):
        evaluator.figures(np.ones((1, 1)), ["ap.yolo.0.2"])
    with pytest.raises(ValueError, match="1 images need as many thresholds, got 2"):
        Evaluator([image("1", [A], [A], [0.9])], ["a"], [0.5, 0.5])
