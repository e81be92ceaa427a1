"""Masks to boxes, against hand-made masks and SciPy-free brute force."""

import numpy as np
import pytest

from tqgd_jax.ct.lesions import lesion_boxes

SPACING = (3.0, 0.5, 0.4)


def made(*voxels: tuple[int, int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels as (z, y, x, HU, label) in a volume of 4x8x9."""
    hu = np.full((4, 8, 9), -50, np.int16)
    mask = np.zeros((4, 8, 9), np.uint8)
    for z, y, x, value, label in voxels:
        hu[z, y, x], mask[z, y, x] = value, label
    return mask, hu


def test_a_lesion_over_two_slices_has_a_box_in_each():
    mask, hu = made((1, 2, 3, 200, 1), (1, 2, 4, 350, 1), (1, 3, 3, 131, 1))
    mask2, hu2 = made((2, 2, 4, 150, 1))
    lesions, left_out = lesion_boxes(mask | mask2, np.maximum(hu, hu2), SPACING, 130)
    assert left_out == 0
    assert [tuple(b)[:6] for b in lesions] == [
        (1, (3, 2, 5, 4), 1, 1, 350, 3),
        (2, (4, 2, 5, 3), 1, 1, 150, 1),
    ]
    assert [b.area_mm2 for b in lesions] == pytest.approx([3 * 0.5 * 0.4, 0.5 * 0.4])


def test_130_hu_is_no_lesion_and_is_counted():
    mask, hu = made((0, 1, 1, 130, 1), (0, 1, 2, 131, 1), (0, 1, 3, 20, 1))
    lesions, left_out = lesion_boxes(mask, hu, SPACING, 130)
    assert [(b.box, b.area_px) for b in lesions] == [((2, 1, 3, 2), 1)]
    assert left_out == 2


def test_corners_join_in_a_slice_but_not_in_3d():
    # One component of the slice (8-connected), two lesions (6-connected)
    mask, hu = made((1, 1, 1, 200, 1), (1, 2, 2, 200, 1), (1, 2, 3, 200, 1))
    lesions, _ = lesion_boxes(mask, hu, SPACING, 130)
    assert [(b.box, b.area_px) for b in lesions] == [((1, 1, 4, 3), 3)]
    assert lesions[0].lesion == 2  # the one with two pixels


def test_the_same_place_in_slices_apart_is_two_lesions():
    mask, hu = made((0, 1, 1, 200, 2), (2, 1, 1, 200, 2))
    lesions, _ = lesion_boxes(mask, hu, SPACING, 130)
    assert [(b.z, b.lesion) for b in lesions] == [(0, 1), (2, 2)]


def test_touching_arteries_are_not_merged():
    mask, hu = made((1, 1, 1, 200, 1), (1, 1, 2, 200, 2))
    lesions, _ = lesion_boxes(mask, hu, SPACING, 130)
    assert [(b.label, b.box, b.lesion) for b in lesions] == [
        (1, (1, 1, 2, 2), 1),
        (2, (2, 1, 3, 2), 2),
    ]


def test_nothing_is_nothing():
    mask, hu = made()
    assert lesion_boxes(mask, hu, SPACING, 130) == ([], 0)


def brute_boxes(lesion: np.ndarray) -> set[tuple[int, ...]]:
    """Flood fill by hand: (z, x0, y0, x1, y1, pixels) of 8-connected components."""
    todo = {tuple(v) for v in np.argwhere(lesion).tolist()}
    boxes = set()
    while todo:
        stack = [todo.pop()]
        seen = list(stack)
        while stack:
            z, y, x = stack.pop()
            near = {(z, y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & todo
            todo -= near
            stack += near
            seen += near
        _, ys, xs = zip(*seen, strict=True)
        boxes.add((z, min(xs), min(ys), max(xs) + 1, max(ys) + 1, len(seen)))
    return boxes


def test_random_masks_against_flood_fill():
    rng = np.random.default_rng(0)
    for density in (0.05, 0.2, 0.5):
        hu = rng.integers(-100, 600, (4, 12, 11)).astype(np.int16)
        mask = (rng.random(hu.shape) < density).astype(np.uint8)
        lesions, _ = lesion_boxes(mask, hu, SPACING, 130)
        mine = {(b.z, *b.box, b.area_px) for b in lesions}
        assert mine == brute_boxes((mask > 0) & (hu > 130))
        assert len(lesions) == len(mine)
