"""Lesions in 3-D: worked cases, areas counted pixel by pixel."""

import numpy as np
import pytest

from tests.evaluation.slices import BOX, FAR, image
from tqgd_jax.evaluation.measures.lesions3d import lesion_figures
from tqgd_jax.overlap import union_areas


def figures(images, threshold=0.5):
    patients = sorted({i.patient for i in images})
    thresholds = [threshold] * len(images)
    weights = np.ones((1, len(patients)))
    actual = lesion_figures(images, thresholds, patients)(weights)
    return {key.removeprefix("lesion3d."): v[0] for key, v in actual.items()}


def test_one_slice_is_enough_to_find_a_lesion():
    slices = [image(0, [BOX]), image(1, [BOX], [BOX]), image(2, [FAR])]
    got = figures(slices)
    assert (got["reference"], got["detected"]) == (2, 1)
    assert (got["sensitivity"], got["ppv"]) == (0.5, 1.0)
    assert got["f1"] == pytest.approx(2 / 3)


def test_a_detection_must_have_a_tenth_of_iou():
    # 40 of 40 + 360 px: just a tenth; a tenth of a column more: 40 / 402
    got = figures([image(0, [(0, 0, 4, 10)], [(0, 0, 20, 20)])])
    assert (got["sensitivity"], got["ppv"], got["f1"]) == (1, 1, 1)
    got = figures([image(0, [(0, 0, 4, 10)], [(0, 0, 20.1, 20)])])
    assert (got["sensitivity"], got["ppv"], got["f1"]) == (0, 0, 0)


def test_a_false_alarm_through_three_slices_is_one_false_lesion():
    slices = [image(z, [BOX], [BOX, FAR]) for z in range(3)]
    got = figures(slices)
    assert (got["reference"], got["detected"], got["ppv"]) == (1, 2, 0.5)


def test_a_detected_lesion_may_find_two_and_two_may_find_one():
    one_for_two = [image(0, [(0, 0, 4, 10), (5, 0, 9, 10)], [(0, 0, 9, 10)])]
    got = figures(one_for_two)
    assert (got["reference"], got["sensitivity"], got["ppv"]) == (2, 1, 1)
    two_for_one = [image(0, [(0, 0, 10, 10)], [(0, 0, 5, 10), (5, 0, 10, 10)])]
    got = figures(two_for_one)
    assert (got["detected"], got["sensitivity"], got["ppv"]) == (2, 1, 1)


def test_a_detection_of_another_class_finds_nothing():
    got = figures([image(0, [BOX], [BOX], labels=[1])])
    assert (got["sensitivity"], got["ppv"], got["volume_sensitivity"]) == (0, 0, 0)


def test_detected_lesions_in_ignored_regions_are_left_out():
    region, ignore = (40.0, 40.0, 90.0, 90.0), np.array([False, True])
    slices = [image(0, [BOX, region], [BOX, FAR], ignore=ignore), image(1, (), [FAR])]
    got = figures(slices)
    assert (got["reference"], got["detected"], got["ppv"]) == (1, 1, 1)
    assert (got["volume_sensitivity"], got["volume_ppv"]) == (1, 1)


def test_a_true_lesion_that_reaches_into_an_ignored_region_stays_true():
    # found in the first slice, in the region in the second
    region = image(1, [BOX], [BOX], ignore=np.array([True]))
    got = figures([image(0, [BOX], [BOX]), region])
    assert (got["reference"], got["detected"], got["ppv"]) == (1, 1, 1)
    assert got["volume_ppv"] == 0.5  # the region is no labelled volume


def test_volumes_are_of_boxes_in_mm3():
    # labelled 4 x 4 px of 0.5 mm, detected 4 x 8 px: 4 mm2 in 8 mm2, at 3 mm and 1 mm
    half = (10.0, 10.0, 14.0, 18.0)
    slices = [
        image(0, [BOX], [half], spacing=(3.0, 0.5, 0.5)),
        image(0, [BOX], spacing=(1.0, 0.5, 0.5), patient="q"),
    ]
    got = figures(slices)
    assert got["volume_sensitivity"] == pytest.approx(12 / 16)
    assert got["volume_ppv"] == pytest.approx(12 / 24)
    assert got["volume_f1"] == pytest.approx(2 * 0.75 * 0.5 / 1.25)


def test_volumes_are_in_px_when_one_spacing_is_unknown():
    slices = [image(0, [BOX], [BOX], spacing=(3.0, 0.5, 0.5)), image(5, [BOX])]
    assert figures(slices)["volume_sensitivity"] == pytest.approx(1 / 2)


def test_overlapping_boxes_count_their_volume_once():
    got = figures([image(0, [BOX], [BOX, BOX])])
    assert (got["volume_sensitivity"], got["volume_ppv"]) == (1, 1)


def test_covered_areas_equal_counted_pixels():
    rng = np.random.default_rng(1)
    for _ in range(50):
        grids, sets = [], []
        for _ in range(2):
            corner = rng.integers(0, 20, (rng.integers(0, 7), 2))
            side = rng.integers(-1, 12, (len(corner), 2))  # some are empty or reversed
            boxes = np.hstack([corner, corner + side])
            grid = np.zeros((40, 40), bool)
            for x0, y0, x1, y1 in boxes:
                grid[y0 : max(y1, y0), x0 : max(x1, x0)] = True
            grids.append(grid)
            sets.append(boxes.astype(float))
        a, b = grids
        expected = [a.sum(), b.sum(), (a & b).sum()]
        np.testing.assert_allclose(union_areas(*sets), expected, atol=1e-9)


def test_covered_areas_of_fractions():
    a = np.array([[0.25, 0, 1.5, 2], [1, 0, 2, 1]])
    b = np.array([[1.25, 0.5, 3, 1.5]])
    # 2.5 + 1 - 0.5; 1.75; x 1.25-2 and y 0.5-1, then x 1.25-1.5 and y 1-1.5
    np.testing.assert_allclose(union_areas(a, b), [3, 1.75, 0.375 + 0.125], rtol=1e-15)


def test_what_has_no_value_is_nan():
    nothing = figures([image(0)])
    assert (nothing["reference"], nothing["detected"]) == (0, 0)
    rates = {k: v for k, v in nothing.items() if k not in ("reference", "detected")}
    assert all(np.isnan(v) for v in rates.values())
    missed = figures([image(0, [BOX])])
    assert (missed["sensitivity"], missed["f1"], missed["volume_f1"]) == (0, 0, 0)
    assert np.isnan(missed["ppv"])
    alarms = figures([image(0, (), [BOX])])
    assert (alarms["ppv"], alarms["f1"]) == (0, 0)
    assert np.isnan(alarms["sensitivity"])
    assert lesion_figures([], [], [])(np.ones((1, 0)))["lesion3d.reference"] == [0]


def test_a_patient_without_threshold_has_no_figures_but_its_lesions():
    slices = [image(0, [BOX], [BOX]), image(0, [BOX], [BOX], patient="q")]
    got = lesion_figures(slices, [0.5, None], ["p", "q"])(np.array([[1.0, 0], [1, 1]]))
    assert got["lesion3d.reference"].tolist() == [1, 2]
    np.testing.assert_array_equal(got["lesion3d.sensitivity"], [1, np.nan])
    np.testing.assert_array_equal(got["lesion3d.detected"], [1, np.nan])
