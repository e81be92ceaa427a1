"""Lesions in 3-D: worked cases, a slow second linking, areas counted pixel by pixel."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tqgd_jax.evaluation.measures.lesions3d import lesion_figures, link, link_detections
from tqgd_jax.overlap import union_areas
from tqgd_jax.structures.image import Image, Lesion, Place

ONE = np.ones((1, 1))


def image(z, boxes=(), dets=(), *, patient="p", scan="s", labels=None, **more):
    """A slice; dets are (x0, y0, x1, y1) of confidence 0.9, or with their own."""
    scores = [d[4] if len(d) > 4 else 0.9 for d in dets]
    place = {k: more.pop(k) for k in ("spacing", "crop") if k in more}
    return Image(
        name=f"{patient}-{scan}-{z}-{more.pop('name', '')}",
        boxes=np.array(boxes, float).reshape(-1, 4),
        labels=np.array(labels or [0] * len(boxes), int),
        det_boxes=np.array([d[:4] for d in dets], float).reshape(-1, 4),
        det_scores=np.array(scores, float),
        det_labels=np.zeros(len(dets), int),
        place=Place(patient=patient, scan=scan, z=z, **place),
        **more,
    )


def lists(numbers):
    return [n.tolist() for n in numbers]


def figures(images, threshold=0.5):
    patients = sorted({i.patient for i in images})
    thresholds = [threshold] * len(images)
    weights = np.ones((1, len(patients)))
    actual = lesion_figures(images, thresholds, patients)(weights)
    return {key.removeprefix("lesion3d."): v[0] for key, v in actual.items()}


BOX = (10.0, 10.0, 14.0, 14.0)
FAR = (50.0, 50.0, 54.0, 54.0)


def test_overlapping_boxes_of_neighbouring_slices_are_one_lesion():
    chain = [
        image(3, [BOX]),
        image(4, [(13, 13, 17, 17)]),
        image(5, [(16, 16, 20, 20)]),
    ]
    # the first and the last do not overlap, the middle one joins them
    assert lists(link(chain)) == [[0], [0], [0]]


def test_slices_need_not_stand_in_order():
    slices = [image(5, [BOX]), image(3, [BOX, FAR]), image(4, [BOX])]
    assert lists(link(slices)) == [[0], [0, 1], [0]]


def test_boxes_that_only_touch_are_two_lesions():
    assert lists(link([image(0, [BOX]), image(1, [(14, 10, 18, 14)])])) == [[0], [1]]


def test_a_box_without_area_joins_nothing():
    assert lists(link([image(0, [BOX]), image(1, [(12, 11, 12, 13)])])) == [[0], [1]]


def test_a_slice_between_them_parts_two_lesions():
    assert lists(link([image(0, [BOX]), image(2, [BOX])])) == [[0], [1]]
    assert lists(link([image(0, [BOX]), image(1), image(2, [BOX])])) == [[0], [], [1]]


def test_boxes_of_one_slice_are_joined_only_by_a_neighbour():
    overlapping = image(0, [BOX, (12, 12, 16, 16)])
    assert lists(link([overlapping])) == [[0, 1]]
    assert lists(link([overlapping, image(1, [(11, 11, 15, 15)])])) == [[0, 0], [0]]


@pytest.mark.parametrize("other", [{"patient": "q"}, {"scan": "t"}, {"labels": [1]}])
def test_patients_scans_and_classes_are_kept_apart(other):
    assert lists(link([image(0, [BOX]), image(1, [BOX], **other)])) == [[0], [1]]


def test_crops_are_placed_in_the_whole_slice():
    # one place in the slice, seen through two windows
    a = image(0, [(0, 0, 4, 4)], crop=(100, 50, 140, 90))
    b = image(1, [(20, 10, 24, 14)], crop=(80, 40, 140, 90))
    assert lists(link([a, b])) == [[0], [0]]
    # the same numbers in the windows, 20 px apart in the slice
    c = image(1, [(0, 0, 4, 4)], crop=(80, 40, 140, 90))
    assert lists(link([a, c])) == [[0], [1]]


def test_without_z_every_box_is_its_own_lesion():
    assert lists(link([image(None, [BOX, FAR]), image(None, [BOX])])) == [[0, 1], [2]]


def test_known_lesion_numbers_decide_whatever_the_boxes():
    def numbered(z, boxes, *numbers, **more):
        known = tuple(Lesion(lesion=n) for n in numbers)
        return image(z, boxes, lesions=known, **more)

    slices = [
        numbered(0, [BOX, FAR], 1, 2),
        numbered(1, [BOX, FAR], 2, 2),  # above lesion 1, yet of lesion 2
        numbered(7, [BOX], 1),
        numbered(0, [BOX], 1, patient="q"),
        numbered(0, [BOX], 1, scan="t"),
    ]
    assert lists(link(slices)) == [[0, 1], [1, 1], [0], [2], [3]]


def test_boxes_without_a_number_are_linked_among_themselves():
    known = (Lesion(lesion=1), Lesion())
    slices = [image(z, [BOX, FAR], lesions=known) for z in (0, 1)]
    slices += [image(2, [BOX, FAR])]
    # the unnumbered box over numbered ones is a lesion of its own
    assert lists(link(slices)) == [[0, 1], [0, 1], [2, 1]]


def test_ignored_boxes_are_no_lesions_and_join_none():
    ignore = np.array([True])
    slices = [image(0, [BOX]), image(1, [BOX], ignore=ignore), image(2, [BOX])]
    assert lists(link(slices)) == [[0], [-1], [1]]


def test_only_detections_at_the_threshold_or_above_make_lesions():
    slices = [image(0, (), [(*BOX, 0.5), (*FAR, 0.49)]), image(1, (), [(*BOX, 0.3)])]
    assert lists(link_detections(slices, [0.5, 0.3])) == [[0, -1], [0]]
    assert lists(link_detections(slices, [0.5, None])) == [[0, -1], [-1]]


def test_no_images_and_no_boxes_are_no_lesions():
    assert link([]) == []
    assert lists(link([image(0)])) == [[]]
    assert link_detections([], []) == []


def test_linking_equals_merging_pair_by_pair():
    rng = np.random.default_rng(5)
    for _ in range(20):
        slices = []
        for z in rng.permutation(8):
            corner = rng.integers(0, 30, (rng.integers(0, 6), 2))
            side = rng.integers(1, 9, (len(corner), 2))
            labels = rng.integers(0, 2, len(corner)).tolist()
            boxes = np.hstack([corner, corner + side])
            slices.append(image(int(z), boxes, labels=labels))
        every = [(i, k) for i, s in enumerate(slices) for k in range(len(s.boxes))]
        lesion = {one: n for n, one in enumerate(every)}
        changed = True
        while changed:
            changed = False
            for (i, k), (j, m) in itertools.combinations(every, 2):
                a, b = slices[i].boxes[k], slices[j].boxes[m]
                if (
                    abs(slices[i].place.z - slices[j].place.z) == 1
                    and slices[i].labels[k] == slices[j].labels[m]
                    and max(a[0], b[0]) < min(a[2], b[2])
                    and max(a[1], b[1]) < min(a[3], b[3])
                    and lesion[i, k] != lesion[j, m]
                ):
                    low = min(lesion[i, k], lesion[j, m])
                    lesion[i, k] = lesion[j, m] = low
                    changed = True
        got = {
            one: n for one, n in zip(every, np.concatenate(link(slices)), strict=True)
        }
        for one, two in itertools.combinations(every, 2):
            assert (got[one] == got[two]) == (lesion[one] == lesion[two])
        assert set(got.values()) == set(range(len(set(lesion.values()))))


def test_linked_boxes_are_the_connected_voxels_of_a_volume():
    rng = np.random.default_rng(7)
    z, y, x = np.indices((16, 90, 90))
    voxels = np.zeros(z.shape, bool)
    for row, column in itertools.product(range(3), repeat=2):  # a ball in each field
        cy, cx = 30 * row + 15, 30 * column + 15
        for cz in (4, 10):  # two above one another, which may or may not meet
            a, b, c = rng.uniform(1, 5), rng.uniform(1, 8), rng.uniform(1, 8)
            voxels |= ((z - cz) / a) ** 2 + ((y - cy) / b) ** 2 + (
                (x - cx) / c
            ) ** 2 <= 1
    labelled: Any = ndimage.label(voxels)
    parts, count = labelled
    slices, true = [], []
    for k in range(len(voxels)):
        boxes = []
        for part in np.unique(parts[k][parts[k] > 0]).tolist():
            ys, xs = np.nonzero(parts[k] == part)
            boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
            true.append(part)
        slices.append(image(k, boxes))
    got = np.concatenate(link(slices)).tolist()
    assert 9 < count < 18  # some met
    assert len(set(zip(true, got, strict=True))) == len(set(got)) == count


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


def test_weights_equal_patients_written_down_several_times():
    rng = np.random.default_rng(2)
    patients, times = ["a", "b", "c", "d"], [2, 0, 3, 1]

    def slices(patient, name):
        rng = np.random.default_rng(ord(patient))
        made = []
        for z in range(5):
            corner = rng.integers(0, 24, (4, 2)).astype(float)
            boxes = np.hstack([corner, corner + rng.integers(2, 8, (4, 2))])
            dets = [(*(b + rng.integers(-2, 3, 4)), rng.random()) for b in boxes]
            made.append(
                image(z, boxes[:3], dets, patient=name, spacing=(3.0, 0.4, 0.4))
            )
        return made

    once = [s for p in patients for s in slices(p, p)]
    weights = np.array([times, rng.integers(0, 3, 4)], float)
    got = lesion_figures(once, [0.4] * len(once), patients)(weights)
    often = [
        s
        for p, n in zip(patients, times, strict=True)
        for k in range(n)
        for s in slices(p, f"{p}{k}")
    ]
    expected = figures(often, 0.4)
    assert 0 < expected["sensitivity"] < 1
    assert 0 < expected["ppv"] < 1
    for key, value in expected.items():
        assert got[f"lesion3d.{key}"][0] == pytest.approx(value, rel=1e-12), key


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
