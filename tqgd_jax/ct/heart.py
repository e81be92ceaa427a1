"""Finds the heart in a non-contrast CT by the anatomy around it; no trained weights.

The mediastinum is what lies inside the convex hull of the lungs and is no lung; the
heart is the thick part of it in front of the spine, above the liver and below the
carina. docs/design/0010-heart-crop.md has the reasons, the numbers and the failures.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int16
from scipy import ndimage

from tqgd_jax.ct import anatomy, regions

GRID_MM = (3.0, 2.2, 2.2)  # the coarse grid, about; 64 slices then take half a second
THICK_MM = 13.0  # radius of the disc the tissue is opened with: aortas are thinner
LEAST_CM2 = 25.0  # of an adult's heart with its fat at its widest; usual are 60 to 150
BELOW_DOME_MM = 15.0  # of heart below the level where the liver fills the right side
VESSEL_MM = 8.0  # radius that opens muscle and blood: pulmonary veins are thinner
FAT_MM = (16.0, 8.0, 16.0, 8.0)  # of epicardial fat right, front, left and back
BESIDE_SPINE_MM = 30.0  # aorta and oesophagus have their centre nearer to its front
TAPER = 2.0  # mm a side of the heart moves inwards in 1 mm up or down, at most


class _Section(NamedTuple):
    """The thickest tissue of a slice: area cm2, its box, how much of it faces lung."""

    area: float
    box: np.ndarray
    right: float
    left: float


def find_heart(
    hu: Int16[np.ndarray, "z y x"], spacing: tuple[float, float, float]
) -> Float[np.ndarray, "z 4"]:
    """Heart box of each slice, xyxy in px edges; NaN where there is no heart.

    Args:
      hu: a scan in LPS display orientation (row 0 in front, column 0 at the patient's
        right, slice 0 lowest). The field of view may cut the body.
      spacing: mm between slices, rows and columns.

    Without lungs on both sides of something there is no heart: all rows are NaN.
    """
    boxes = np.full((len(hu), 4), np.nan)
    if not hu.size:
        return boxes
    grid, factor = _coarse(hu, spacing)
    mm = (spacing[0] * factor[0], spacing[1] * factor[1], spacing[2] * factor[2])
    lungs = anatomy.lungs(grid, mm)
    if not lungs.any():
        return boxes
    chest = anatomy.chest(lungs, mm)
    column, front = anatomy.spine(grid, lungs, chest, mm)
    tissue = anatomy.before_spine(chest & (grid > -300), column, front, mm)
    top = anatomy.carina((grid < -600) & chest & ~lungs, column, front, mm)
    extents = _heart(tissue, lungs, top, mm)
    extents = _smooth(_without_fat(extents, tissue & anatomy.lean(grid), front, mm), mm)
    coarse = np.minimum(np.arange(len(hu)) // factor[0], len(grid) - 1)
    boxes[:] = extents[coarse] * np.array([factor[2], factor[1]] * 2)[None]
    return boxes


def _coarse(
    hu: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[Float32[np.ndarray, "z y x"], tuple[int, int, int]]:
    """Means of blocks about as large as GRID_MM; padding below air counts as air."""
    sizes = zip(GRID_MM, spacing, hu.shape, strict=True)
    fz, fy, fx = (min(max(1, round(want / have)), n) for want, have, n in sizes)
    nz, ny, nx = hu.shape[0] // fz, hu.shape[1] // fy, hu.shape[2] // fx
    grid = np.zeros((nz, ny, nx), np.float32)
    for k in range(nz):
        slab = hu[k * fz : (k + 1) * fz, : ny * fy, : nx * fx].clip(-1024, 600)
        for i in range(fy):
            for j in range(fx):
                grid[k] += slab[:, i::fy, j::fx].sum(0, dtype=np.float32)
    return grid / (fz * fy * fx), (fz, fy, fx)


def _heart(
    tissue: np.ndarray, lungs: np.ndarray, top: int, mm: tuple[float, float, float]
) -> Float[np.ndarray, "z 4"]:
    """Boxes on the coarse grid: the thick tissue with lung on both sides."""
    boxes = np.full((len(tissue), 4), np.nan)
    sections = [
        _section(t, a, mm)
        for t, a in zip(regions.thick(tissue, mm, THICK_MM), lungs, strict=True)
    ]
    clean = [
        k
        for k, s in enumerate(sections)
        if s and k < top and s.right >= 0.5 and s.left >= 0.5
    ]
    if not clean:
        return boxes
    size = np.percentile([s.area for k in clean if (s := sections[k])], 75)
    if size < LEAST_CM2:
        return boxes
    clean = [k for k in clean if (s := sections[k]) and s.area > 0.45 * size]
    first, last = regions.longest(clean, round(15 / mm[0]))
    held = np.stack([s.box for k in clean if first <= k <= last and (s := sections[k])])
    # the right border is nearly upright: where it steps out, that is the liver
    low = max(np.percentile(held[:, 0], 10), np.median(held[:, 0]) - 15 / mm[2])
    high = np.percentile(held[:, 2], 95) + 5 / mm[2]
    floor = np.percentile(held[:, 3], 95)
    x, y = np.arange(tissue.shape[2]), np.arange(tissue.shape[1])
    window = ((x >= low) & (x < high))[None, None] & (y < floor)[None, :, None]
    first = max(0, first - round(BELOW_DOME_MM / mm[0]))
    part = slice(first, last + 1)
    for k, t in enumerate(regions.thick(tissue[part] & window, mm, THICK_MM), first):
        section = _section(t, lungs[k], mm)
        if section and section.area > 0.35 * size:
            boxes[k] = section.box
    return boxes


def _without_fat(
    boxes: np.ndarray,
    lean: np.ndarray,
    front: np.ndarray,
    mm: tuple[float, float, float],
) -> Float[np.ndarray, "z 4"]:
    """Boxes shrunk to muscle and blood with FAT_MM of epicardial fat around them.

    Fat before and behind the pericardium goes, and aorta and oesophagus, which it
    parts from the heart.
    """
    whole, boxes = boxes, boxes.copy()
    y, x = np.arange(lean.shape[1]), np.arange(lean.shape[2])
    fat = np.array(FAT_MM) / np.array([-mm[2], -mm[1], mm[2], mm[1]])
    for k in np.flatnonzero(np.isfinite(boxes[:, 0])):
        x0, y0, x1, y1 = boxes[k]
        window = ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None]
        parts = regions.label(regions.thick((lean[k] & window)[None], mm, VESSEL_MM)[0])
        area = np.bincount(parts.ravel())
        area[0] = 0
        heart = np.zeros(parts.shape, bool)
        for part in np.flatnonzero(area > 0.1 * area.max()):
            piece = parts == part
            ahead = (front[k] - np.nonzero(piece)[0].mean()) * mm[1]
            if part == area.argmax() or not ahead < BESIDE_SPINE_MM:
                heart |= piece
        if heart.any():
            grown = regions.box(heart) + fat
            boxes[k, :2] = np.maximum(boxes[k, :2], grown[:2])
            boxes[k, 2:] = np.minimum(boxes[k, 2:], grown[2:])
    return _tapered(boxes, whole, mm)


def _tapered(
    boxes: np.ndarray, whole: np.ndarray, mm: tuple[float, float, float]
) -> Float[np.ndarray, "z 4"]:
    """Boxes, inside those of `whole`, that shrink by TAPER at most from the middle on.

    A chamber that is fainter or smaller than the liver beside it stays in.
    """
    known = np.flatnonzero(np.isfinite(boxes[:, 0]))
    middle, step = len(known) // 2, TAPER * mm[0]
    inwards = step / np.array([mm[2], mm[1], -mm[2], -mm[1]])
    for walk in (known[middle:], known[: middle + 1][::-1]):
        for last, k in itertools.pairwise(walk):
            least = boxes[last] + inwards
            low = np.minimum(boxes[k, :2], least[:2])
            high = np.maximum(boxes[k, 2:], least[2:])
            boxes[k, :2] = np.maximum(low, whole[k, :2])
            boxes[k, 2:] = np.minimum(high, whole[k, 2:])
    return boxes


def _smooth(
    boxes: np.ndarray, mm: tuple[float, float, float]
) -> Float[np.ndarray, "z 4"]:
    """Running median over about 13 mm; no liver behind the heart's lower half."""
    known = np.flatnonzero(np.isfinite(boxes[:, 0]))
    if not len(known):
        return boxes
    width = 1 + 2 * round(6 / mm[0])
    held = np.asarray(ndimage.median_filter(boxes[known], (width, 1), mode="nearest"))
    for k in range(len(held) // 2 - 1, -1, -1):
        # going down the heart tapers: its back stays where it was, or moves forward
        held[k, 3] = min(held[k, 3], np.median(held[k + 1 : k + 4, 3]) + 3 / mm[1])
    boxes[known] = held
    return boxes


def _section(
    thick: np.ndarray, lungs: np.ndarray, mm: tuple[float, float, float]
) -> _Section | None:
    part = regions.largest(thick)
    if not part.any():
        return None
    rows = np.flatnonzero(part.any(1))
    reach = round(10 / mm[2])
    x0, x1 = part[rows].argmax(1), part.shape[1] - part[rows][:, ::-1].argmax(1)
    right = [
        lungs[y, max(0, x - reach) : x].any() for y, x in zip(rows, x0, strict=True)
    ]
    left = [lungs[y, x : x + reach].any() for y, x in zip(rows, x1, strict=True)]
    area = part.sum() * mm[1] * mm[2] / 100
    return _Section(
        float(area), regions.box(part), float(np.mean(right)), float(np.mean(left))
    )
