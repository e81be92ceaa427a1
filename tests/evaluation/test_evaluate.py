"""The whole dictionary: by hand, degenerate sets, and speed."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from tqgd_jax.evaluation.evaluate import Image, best_threshold, evaluate


def image(name, boxes, dets, scores, labels=None, det_labels=None):
    return Image(
        name,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels or [0] * len(boxes), int),
        np.array(dets, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(det_labels or [0] * len(dets), int),
    )


A, B, FAR = (0, 0, 10, 10), (20, 20, 30, 30), (50, 50, 60, 60)
SET = [
    image("two", [A, B], [A, FAR], [0.9, 0.4]),
    image("empty", [], [A], [0.6]),  # a false positive
    image("blank", [B], [], []),
]


def test_figures_by_hand():
    # Falling scores: hit, false, false; three boxes.
    results = evaluate(SET, 1, threshold=0.5)
    assert (results["images"], results["boxes"], results["detections"]) == (3, 3, 3)
    assert results["counts"] == {"tp": 1, "fp": 1, "fn": 2}
    assert (results["precision"], results["recall"]) == (1 / 2, 1 / 3)
    assert results["f1"] == pytest.approx(2 / 5)
    # COCO: precision 1 at the 34 recalls 0 to .33 of 101, then 0
    assert results["coco"]["AP50"] == pytest.approx(34 / 101)
    # The perfect box is a hit at all ten IoUs.
    assert results["AP50"] == results["AP50_95"]
    assert results["note"] == ""
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_detections_on_images_without_boxes_are_false_positives():
    clean = evaluate([SET[0], SET[2]], 1, threshold=0.5)
    assert clean["precision"] == 1
    assert evaluate(SET, 1, threshold=0.5)["precision"] == 1 / 2


def test_the_frozen_threshold_stands_beside_the_optimistic_one():
    results = evaluate(SET, 1, threshold=0.95)
    assert results["threshold"] == 0.95
    assert results["recall"] == 0
    assert results["precision"] is None
    assert "no detection reaches the threshold" in results["note"]
    best = results["optimistic"]
    assert best["recall"] == pytest.approx(1 / 3, abs=1e-6)
    assert best["threshold"] == best_threshold(SET, 1)
    assert 0.4 < best["threshold"] <= 0.9


def test_without_a_threshold_the_reason_is_told():
    results = evaluate(SET, 1, threshold=None)
    figures = [results[k] for k in ("precision", "recall", "f1", "counts", "threshold")]
    assert figures == [None] * 5
    assert "no threshold was chosen" in results["note"]
    assert results["AP50"] > 0


@pytest.mark.parametrize(
    ("images", "ap"),
    [
        ([], None),
        ([image("a", [], [], [])], None),
        ([image("a", [], [A], [0.9])], None),
        ([image("a", [A], [], [])], 0),
        ([image("a", [A], [FAR], [0.9])], 0),
        ([image("a", [A], [(5, 5, 5, 5)], [0.9])], 0),
    ],
)
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_degenerate_sets_give_none_with_a_reason(images, ap, threshold):
    results = evaluate(images, 1, threshold)
    assert results["AP50"] == results["AP50_95"] == results["coco"]["AP50"] == ap
    assert set(results["optimistic"].values()) == {None}
    assert best_threshold(images, 1) is None
    assert results["note"]
    assert ("no ground-truth boxes" in results["note"]) == (ap is None)
    json.dumps(results, allow_nan=False)


def test_classes_have_a_row_each_and_absent_ones_no_part_in_the_mean():
    images = [image("a", [A, B], [A, B, FAR], [0.9, 0.8, 0.7], [0, 1], [0, 0, 2])]
    results = evaluate(images, 3, threshold=0.5)
    rows = results["classes"]
    assert [row["boxes"] for row in rows] == [1, 1, 0]
    assert [row["detections"] for row in rows] == [2, 0, 1]
    assert [row["AP50"] for row in rows] == [pytest.approx(0.995), 0, None]
    assert results["AP50"] == pytest.approx(0.995 / 2)  # classes 0 and 1
    assert results["recall"] == 1 / 2
    assert results["precision"] == 1 / 2  # class 0; class 1 detected nothing
    assert results["counts"] == {"tp": 1, "fp": 2, "fn": 1}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (image("p7", [A], [A], [float("nan")]), "p7: det_boxes"),
        (image("p7", [A], [A], [0.5], det_labels=[1]), "class indices of det_boxes"),
        (image("p7", [A], [A], [0.5], labels=[-1]), "class indices of boxes"),
    ],
)
def test_impossible_input_is_refused_with_its_image(bad, message):
    with pytest.raises(ValueError, match=message):
        evaluate([bad], 1, threshold=0.5)


def test_order_of_detections_does_not_matter():
    rng = np.random.default_rng(1)
    k = 40
    corner = rng.uniform(0, 50, (k, 2))
    dets = np.concatenate([corner, corner + rng.uniform(5, 20, (k, 2))], 1)
    scores, zeros = rng.permutation(k) / k, np.zeros(k, int)
    one = Image("a", dets[:8], zeros[:8], dets + 1, scores, zeros)
    order = rng.permutation(k)
    other = one._replace(det_boxes=dets[order] + 1, det_scores=scores[order])
    assert evaluate([one], 1, 0.3) == evaluate([other], 1, 0.3)


def test_importing_the_referee_imports_neither_jax_nor_tensorflow():
    code = (
        "import sys, tqgd_jax.evaluation.evaluate\n"
        "print({'jax', 'tensorflow', 'matplotlib'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout.strip() == "set()", out.stderr


def test_300_images_of_300_detections_take_seconds():
    rng = np.random.default_rng(0)
    images = []
    for i in range(300):
        corner = rng.uniform(0, 500, (300, 2))
        dets = np.concatenate([corner, corner + rng.uniform(4, 40, (300, 2))], 1)
        boxes = dets[:5] + rng.normal(0, 1, (5, 4))
        zeros = np.zeros(300, int)
        images.append(Image(str(i), boxes, zeros[:5], dets, rng.random(300), zeros))
    start = time.perf_counter()
    evaluate(images, 1, threshold=0.5)
    # 2,000 images within 60 s are 9 s for 300; here it takes well under 2.
    assert time.perf_counter() - start < 9


@pytest.mark.parametrize("flag", ["ignore", "iscrowd"])
def test_ignored_boxes_are_not_missed_and_detections_in_them_not_false(flag):
    # A is to be found; B is ignored, and the detection on it counts nowhere.
    both = image("a", [A, B], [A, B, FAR], [0.9, 0.8, 0.7])
    results = evaluate([both._replace(**{flag: np.array([False, True])})], 1, 0.5)
    without = evaluate([image("a", [A], [A, FAR], [0.9, 0.7])], 1, 0.5)
    assert results["counts"] == {"tp": 1, "fp": 1, "fn": 0}
    assert (results["boxes"], results["detections"]) == (1, 3)
    for key in ("AP50", "AP50_95", "precision", "recall", "f1", "optimistic"):
        assert results[key] == without[key], key
    # COCO's rule knows crowds alone: B and its detection count.
    unmarked = evaluate([both], 1, 0.5)
    assert results["coco"] == (unmarked if flag == "ignore" else without)["coco"]
