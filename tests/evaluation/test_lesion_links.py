"""Boxes of slices linked in 3-D: worked cases, a slow second linking, connected voxels."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tests.evaluation.slices import BOX, FAR, image
from tqgd_jax.evaluation.measures.lesions3d import link, link_detections
from tqgd_jax.structures.image import Lesion


def lists(numbers):
    return [n.tolist() for n in numbers]


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
