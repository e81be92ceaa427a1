"""FROC: by hand, and against np.interp on the whole curve."""

import numpy as np
import pytest

from tests.evaluation.cohorts import cohort, copied
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.measures.froc import NAMES, RATES, curve, sensitivity
from tqgd_jax.structures.image import Image, Place


def of(best, false, places=1, rates=RATES):
    best, false = np.array(best, float), np.array(false, float)
    zeros = np.zeros(len(best), int), np.zeros(len(false), int)
    prepared = curve(best, zeros[0], false, zeros[1], np.array([places], float))
    return sensitivity(prepared, np.ones((1, 1)), np.array(rates, float))[:, 0]


def test_the_curve_starts_in_the_origin_and_ends_flat():
    # Two units; a false positive at the confidence of the first unit: the first point
    # is (1, 1/2), the second, without more false positives, (1, 1).
    assert of([0.9, 0.8], [0.9]) == pytest.approx([1 / 16, 1 / 8, 1 / 4, 1, 1, 1, 1])
    # A false positive alone comes first: nothing is found before it.
    assert of([0.8], [0.9]).tolist() == [0, 0, 0, 1, 1, 1, 1]
    # Half of what is there is never found.
    assert of([0.9, -np.inf], []).tolist() == [0.5] * 7


def test_rates_are_per_place():
    assert of([0.5], [0.9, 0.8], places=4).tolist() == [0, 0, 1, 1, 1, 1, 1]


def test_without_units_there_is_no_sensitivity():
    assert np.isnan(of([], [0.5])).all()
    assert np.isnan(of([0.5], [], places=0)).all()


def slow(images, slices):
    """Sensitivities at the seven rates: every confidence a point, then np.interp."""
    best, false = [], []
    for image in images:
        half = (image.boxes[:, 2:] - image.boxes[:, :2]).max(axis=1, initial=0) / 2
        centres = (image.boxes[:, :2] + image.boxes[:, 2:]) / 2
        on = {n: [] for n in np.flatnonzero(image.counting)}
        rows = zip(image.det_boxes, image.det_scores, image.det_labels, strict=True)
        for det, score, label in rows:
            middle = (det[:2] + det[2:]) / 2
            same = image.labels == label
            near = same & (np.linalg.norm(centres - middle, axis=1) <= half)
            inside = same & ((image.boxes[:, :2] <= middle).all(axis=1))
            inside &= (middle <= image.boxes[:, 2:]).all(axis=1)
            for n in np.flatnonzero(near & image.counting):
                on[n].append(score)
            if (
                not (near & image.counting).any()
                and not (inside & ~image.counting).any()
            ):
                false.append(score)
        best += [max(scores, default=-1) for scores in on.values()]
    scores = sorted({*best, *false} - {-1}, reverse=True)
    best, false = np.array(best), np.array(false)
    places = len(images) if slices else len({image.scan for image in images})
    x = np.array([0, *((false >= s).sum() / places for s in scores)])
    y = np.array([0, *((best >= s).mean() for s in scores)])
    return np.interp(RATES, x, y)


@pytest.mark.parametrize("ties", [False, True])
def test_froc_of_random_cohorts_equals_interpolation_on_the_whole_curve(ties):
    for seed in range(6):
        images = cohort(seed, ties=ties)
        evaluator = Evaluator(images, ["a", "b"], None)
        ones = np.ones((1, len(evaluator.clusters)))
        for unit in ("scan", "slice"):
            keys = [f"froc.{unit}.{name}" for name in NAMES]
            got = evaluator.figures(ones, [*keys, f"froc.{unit}.cpm"])
            expected = slow(images, unit == "slice")
            values = [got[key][0] for key in keys]
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
            assert got[f"froc.{unit}.cpm"][0] == pytest.approx(expected.mean())
        assert 0.2 < expected.mean() < 1


def test_weights_equal_copies_of_patients_ties_included():
    images = cohort(4, ties=True)
    evaluator = Evaluator(images, ["a", "b"], None)
    times = np.array([2, 0, 1, 3, 1, 1])
    many = copied(images, evaluator.clusters, times)
    keys = [f"froc.{unit}.{name}" for unit in ("scan", "slice") for name in NAMES]
    got = evaluator.figures(times[None].astype(float), keys)
    literal = Evaluator(many, ["a", "b"], None)
    expected = literal.figures(np.ones((1, len(literal.clusters))), keys)
    for key in keys:
        assert got[key] == pytest.approx(expected[key], abs=1e-9), key


def test_a_lesion_is_found_once_with_its_best_slice():
    # One lesion in two slices, found in the upper one only; a false alarm below it.
    box, far = np.array([[0.0, 0, 10, 10]]), np.array([[50.0, 50, 60, 60]])
    zero = np.zeros(1, int)
    low, high = (
        Image(f"z{z}", box, zero, det, np.array([s]), zero, place=Place("p", "1", z=z))
        for z, det, s in ((0, far, 0.9), (1, box, 0.5))
    )
    evaluator = Evaluator([low, high], ["a"], None)
    got = evaluator.figures(np.ones((1, 1)))
    assert got["froc.lesion.1"][0] == 1
    assert got["froc.scan.1"][0] == got["froc.scan.8"][0] == 1 / 2  # one box of two
    assert got["froc.lesion.1/2"][0] == 0
    assert got["froc.slice.1/2"][0] == 1 / 2  # two slices: one false alarm allowed


def test_scans_that_are_not_known_have_no_curve():
    images = [image._replace(place=Place()) for image in cohort(1)]
    evaluator = Evaluator(images, ["a", "b"], 0.5)
    got = evaluator.figures(np.ones((1, len(images))))
    assert np.isnan(got["froc.scan.cpm"][0])
    assert np.isnan(got["point.iou0.5.fp_per_scan"][0])
    assert not np.isnan(got["froc.slice.cpm"][0])
    assert "not known to be slices" in evaluator.why("froc.scan.cpm")
    assert evaluator.curves()["froc"]["scan"]["fp"] == []
