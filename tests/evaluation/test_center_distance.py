"""Hits by the distance of centres: by hand, and against the rule word by word."""

import math

import numpy as np

from tests.evaluation.cohorts import cohort, image
from tqgd_jax.evaluation.matching.center_distance import distances, matches


def test_a_small_box_shifted_by_its_radius_is_hit_and_beyond_it_is_not():
    # 3 x 3: R is 1.5; shifted by 1, by (1, 1), by 1.5 and by 2 px
    box = (10, 10, 13, 13)
    shifts = [(1, 0), (1, 1), (1.5, 0), (2, 0)]
    dets = [(10 + x, 10 + y, 13 + x, 13 + y) for x, y in shifts]
    hits = [bool(matches(image("x", [box], [det], [0.5])).hit[0]) for det in dets]
    assert hits == [True, True, True, False]


def test_the_radius_is_half_the_longer_side():
    item = image("x", [(0, 0, 4, 10)], [(0, 0, 2, 2)], [0.5])
    distance, radius = distances(item)
    assert radius.tolist() == [5]
    assert distance[0, 0] == math.hypot(1, 4)


def test_a_second_detection_of_a_box_is_a_false_positive_but_not_for_the_froc():
    got = matches(
        image("x", [(0, 0, 10, 10)], [(0, 0, 10, 10), (1, 0, 11, 10)], [0.5, 0.9])
    )
    assert got.hit.tolist() == [False, True]  # the more confident one, not the nearer
    assert got.ignored.tolist() == [False, False]
    assert got.far.tolist() == [False, False]
    assert got.best.tolist() == [0.9]


def test_a_detection_takes_the_nearest_free_box():
    # Both detections are nearest to the first box; the second one gets the other.
    boxes = [(0, 0, 10, 10), (4, 0, 14, 10)]
    got = matches(image("x", boxes, [(0, 0, 10, 10), (1, 0, 11, 10)], [0.9, 0.8]))
    assert got.box.tolist() == [0, 1]


def test_a_centre_in_an_ignored_box_is_neither_true_nor_false():
    boxes = [(0, 0, 20, 20), (40, 40, 50, 50)]
    dets = [(15, 15, 25, 25), (16, 16, 26, 26), (40, 40, 50, 50)]
    got = matches(
        image("x", boxes, dets, [0.9, 0.8, 0.7], ignore=np.array([True, False]))
    )
    assert got.ignored.tolist() == [True, False, False]  # centres 20 and 21
    assert got.far.tolist() == [False, True, False]
    assert got.hit.tolist() == [False, False, True]
    assert got.best[0] == -np.inf


def test_another_class_hits_nothing():
    item = image("x", [(0, 0, 9, 9)], [(0, 0, 9, 9)], [0.9])
    got = matches(item._replace(det_labels=np.array([1])))
    assert (got.hit[0], got.far[0], got.best[0]) == (False, True, -np.inf)


def test_random_images_against_the_rule_word_by_word():
    hits = 0
    for item in cohort(3, patients=20, ties=True):
        free = set(np.flatnonzero(item.counting).tolist())
        taken = {}
        order = sorted(range(len(item.det_scores)), key=lambda k: -item.det_scores[k])
        for k in order:
            near = []
            for n in free:
                x0, y0, x1, y1 = item.boxes[n]
                u0, v0, u1, v1 = item.det_boxes[k]
                away = math.hypot((x0 + x1 - u0 - u1) / 2, (y0 + y1 - v0 - v1) / 2)
                same = item.labels[n] == item.det_labels[k]
                if same and away <= max(x1 - x0, y1 - y0) / 2:
                    near.append((away, n))
            if near:
                taken[k] = min(near)[1]
                free.remove(taken[k])
        expected = [taken.get(k, -1) for k in range(len(item.det_scores))]
        assert matches(item).box.tolist() == expected
        hits += len(taken)
    assert hits > 50  # the cases are not trivial
