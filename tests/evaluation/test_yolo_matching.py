"""YOLOv5's matching: three worked cases and a slow second implementation."""

import numpy as np
import pytest

from tqgd_jax.evaluation.matching.yolo import THRESHOLDS, match, matches
from tqgd_jax.overlap import box_iou
from tqgd_jax.structures.image import Image


def bits(text: str) -> list[bool]:
    return [c == "1" for c in text]


def run(boxes, dets):
    boxes, dets = np.array(boxes, float), np.array(dets, float)
    iou = box_iou(boxes, dets)
    return match(iou, np.zeros(len(boxes), int), np.zeros(len(dets), int)).tolist()


def test_iou_of_worked_boxes():
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], float)
    b = np.array([[0, 0, 10, 10], [0, 2, 10, 12], [20, 0, 30, 10], [5, 5, 5, 5]], float)
    # 80 / 120; touching nothing; an empty box overlaps nothing, itself included
    expected = [[1, 2 / 3, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(box_iou(a, b), expected, rtol=1e-15)


def test_iou_with_a_crowd_region_is_over_the_detection():
    region, det = np.array([[0.0, 0, 100, 100]]), np.array([[90.0, 0, 110, 10]])
    assert box_iou(region, det, np.array([True])) == pytest.approx(0.5)


def test_two_detections_of_one_box_give_one_hit():
    # IoU .8223 and .8223 with the first box, .7431 with the second (YOLOv5 v7.0)
    assert run(
        [(0.5, 0.5, 10.5, 10.5), (21, 21, 30, 31)],
        [(0, 0, 10, 10), (1, 1, 11, 11), (20, 20, 30, 30)],
    ) == [bits("1111111000"), bits("0000000000"), bits("1111100000")]


def test_the_more_confident_detection_wins_not_the_tighter_one():
    assert run([(0, 0, 10, 10)], [(0, 0, 10, 8), (0, 0, 10, 9.5), (0, 0, 10, 10)]) == [
        bits("1111111000"),
        bits("0000000111"),
        bits("0000000000"),
    ]


def test_a_detection_whose_best_box_is_taken_gets_no_other():
    # The second detection has IoU .739 with the first box and .538 with the second.
    hits = run(
        [(0, 0.5, 10, 10.5), (0, 5, 10, 15)],
        [(0, 0, 10, 10), (0, 2, 10, 12)],
    )
    assert [hits[0][0], hits[1][0]] == [True, False]


def test_an_iou_at_the_threshold_is_enough():
    # 60 / 100 and 95 / 100, exactly at the third and the last threshold
    assert run([(0, 0, 10, 10)], [(0, 0, 10, 6)]) == [bits("1110000000")]
    assert run([(0, 0, 10, 10)], [(0, 0, 10, 9.5)]) == [bits("1111111111")]


def slow_match(boxes, labels, dets, det_labels, threshold):
    """Pair by pair, in the words of the rule; `dets` most confident first."""
    choice = {}
    for d, det in enumerate(dets):
        best = None
        for g, box in enumerate(boxes):
            w = min(det[2], box[2]) - max(det[0], box[0])
            h = min(det[3], box[3]) - max(det[1], box[1])
            if labels[g] != det_labels[d] or w <= 0 or h <= 0:
                continue
            a = (det[2] - det[0]) * (det[3] - det[1])
            b = (box[2] - box[0]) * (box[3] - box[1])
            iou = w * h / (a + b - w * h)
            if iou >= threshold and (best is None or iou > best[0]):
                best = iou, g
        if best:
            choice[d] = best[1]
    winners = {}
    for d in sorted(choice):
        winners.setdefault(choice[d], d)
    return sorted(winners.values()), sorted(winners)


def test_random_crowded_images_against_the_slow_rule():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        n, k = rng.integers(0, 9), rng.integers(0, 25)
        corner = rng.integers(0, 8, (n + k, 2))
        both = np.concatenate([corner, corner + rng.integers(6, 9, (n + k, 2))], 1)
        both, labels = both.astype(float), rng.integers(0, 2, n + k)
        scores = rng.integers(0, 6, k) / 5  # ties
        image = Image("x", both[:n], labels[:n], both[n:], scores, labels[n:])
        got = matches(image, THRESHOLDS).hit
        order = sorted(range(k), key=lambda i: (-scores[i], i))
        for t, threshold in enumerate(THRESHOLDS):
            winners, boxes = slow_match(
                both[:n], labels[:n], both[n:][order], labels[n:][order], threshold
            )
            expected = np.zeros(k, bool)
            expected[[order[w] for w in winners]] = True
            np.testing.assert_array_equal(got[:, t], expected)
            if t == 0:
                actual = matches(image, THRESHOLDS).box[got[:, 0]]
                np.testing.assert_array_equal(np.sort(actual), boxes)
                hits += len(winners)
    assert hits > 100  # the cases are not trivial


def test_detections_in_an_ignored_region_are_neither_true_nor_false():
    # A region of 100 x 100 px, and a box in it that is to be found.
    boxes = np.array([[0.0, 0, 100, 100], [10, 10, 20, 20]])
    dets = np.array(
        [
            [10.0, 10, 20, 20],  # the box
            [10.0, 10, 20, 20],  # the box again, in the region
            [95, 0, 105, 10],  # half in the region
            [99, 0, 109, 10],  # a tenth in it
            [0, 0, 100, 100],  # as large as the region itself, which finds nothing
        ]
    )
    zeros = np.zeros(5, int)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    image = Image("x", boxes, zeros[:2], dets, scores, zeros, np.array([True, False]))
    got = matches(image, np.array([0.1, 0.5, 0.75]))
    assert got.hit.tolist() == [[True] * 3, *([[False] * 3] * 4)]
    assert got.ignored.tolist() == [
        [False] * 3,
        [True] * 3,
        [True, True, False],
        [True, False, False],
        [True] * 3,
    ]
    assert got.box[0] == 1


def test_an_ignored_region_of_another_class_ignores_nothing():
    box, zero = np.array([[0.0, 0, 10, 10]]), np.array([0])
    ignore = np.array([True])
    image = Image("x", box, zero, box, np.array([0.5]), zero + 1, ignore)
    assert not matches(image, np.array([0.5])).ignored.any()
