"""Finds the heart in a non-contrast CT by the anatomy around it; no trained weights.

The mediastinum is what lies inside the convex hull of the lungs and is no lung; the
heart is the thick part of it in front of the spine, above the liver and below the
carina. docs/design/0010-heart-crop.md has the reasons, the numbers and the failures.
"""

import csv
import itertools
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int16
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

GRID_MM = (3.0, 2.2, 2.2)  # the coarse grid, about; 64 slices then take half a second
RECESS_MM = 25.0  # the chest is as wide as this far above: covers lung-less fronts
BULGE_MM = 7.0  # of a heart in front of that hull; less than the chest's wall is thick
RIGHT_MM, LEFT_MM = 75.0, 125.0  # farthest heart borders from the spine's centre
THICK_MM = 13.0  # radius of the disc the tissue is opened with: aortas are thinner
LEAST_CM2 = 25.0  # of an adult's heart with its fat at its widest; usual are 60 to 150
BELOW_DOME_MM = 15.0  # of heart below the level where the liver fills the right side
VESSEL_MM = 8.0  # radius that opens muscle and blood: pulmonary veins are thinner
FAT_MM = (16.0, 8.0, 16.0, 8.0)  # of epicardial fat right, front, left and back
BESIDE_SPINE_MM = 30.0  # aorta and oesophagus have their centre nearer to its front
TAPER = 2.0  # mm a side of the heart moves inwards in 1 mm up or down, at most
FLAT = np.zeros((3, 3, 3), int)
FLAT[1] = ndimage.generate_binary_structure(2, 1)  # neighbours of the same slice

BoxRow = tuple[str, int, float, float, float, float]  # scan, slice, x0, y0, x1, y1
HEADER = ["scan", "z", "x0", "y0", "x1", "y1"]


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
    lungs = _lungs(grid, mm)
    if not lungs.any():
        return boxes
    chest = _chest(lungs, mm)
    column, front = _spine(grid, lungs, chest, mm)
    tissue = _before_spine(chest & (grid > -300), column, front, mm)
    top = _carina((grid < -600) & chest & ~lungs, column, front, mm)
    found = _heart(tissue, lungs, top, mm)
    found = _smooth(_without_fat(found, tissue & _lean(grid), front, mm), mm)
    coarse = np.minimum(np.arange(len(hu)) // factor[0], len(grid) - 1)
    boxes[:] = found[coarse] * np.array([factor[2], factor[1]] * 2)[None]
    return boxes


def read_boxes(path: Path, scan: str, slices: int) -> Float[np.ndarray, "z 4"]:
    """Heart boxes of one scan from a csv with the header scan,z,x0,y0,x1,y1.

    Slices without a row get NaN.

    Raises:
      ValueError: naming the line, for a missing column, a number that is none, a slice
        outside the scan or named twice, an empty box; or when no row names the scan.
    """
    boxes = np.full((slices, 4), np.nan)
    seen: dict[int, int] = {}
    named = set()
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        missing = [c for c in HEADER if c not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(
                f"{path}:1: no column {', '.join(missing)}; a file of heart boxes "
                f"begins with {','.join(HEADER)}"
            )
        try:
            for row in reader:
                named.add(row["scan"])
                if row["scan"] == scan:
                    z, box = _row(f"{path}:{reader.line_num}", row, slices)
                    if z in seen:
                        raise ValueError(
                            f"{path}:{reader.line_num}: slice {z} of {scan} stands in "
                            f"line {seen[z]} already; a slice has one heart"
                        )
                    seen[z], boxes[z] = reader.line_num, box
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: no csv: {error}") from error
    if not seen:
        raise ValueError(
            f"{path}: no row of scan {scan!r}; it has {len(named)} scans, such as "
            f"{', '.join(sorted(map(str, named))[:3]) or 'none'}. Scans are named like "
            "their files, without suffix"
        )
    return boxes


def _row(place: str, row: dict[str, str], slices: int) -> tuple[int, list[float]]:
    try:
        z, box = int(row["z"]), [float(row[c]) for c in HEADER[2:]]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: {[row[c] for c in HEADER[1:]]} is no slice and box; z is a whole "
            "number, x0,y0,x1,y1 are pixels"
        ) from error
    if not 0 <= z < slices:
        raise ValueError(f"{place}: slice {z}, but the scan has 0 to {slices - 1}")
    if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(
            f"{place}: box {box} is empty or not finite; x0 < x1 and y0 < y1 in pixels"
        )
    return z, box


def write_boxes(path: Path, rows: Iterable[BoxRow]) -> None:
    """Writes rows that `read_boxes` reads, whole or not at all; a NaN box is left out."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for scan, z, *box in rows:
                if not np.isnan(box).all():
                    writer.writerow([scan, int(z), *(round(float(v), 3) for v in box)])
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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


def _lungs(
    grid: np.ndarray, mm: tuple[float, float, float]
) -> Bool[np.ndarray, "z y x"]:
    """Aerated tissue inside the body, without trachea, outer air, table and bowel."""
    body = _large(_open3(grid > -500))  # in narrow views heart and wall are apart
    inside = np.stack([_hull(b) for b in body])
    sides = np.stack(
        [s.any(1) for s in (body[:, 0], body[:, -1], body[:, :, 0], body[:, :, -1])]
    )
    # a body cut by two borders leaves lungs outside its hull
    inside |= (sides.sum(0) >= 2)[:, None, None]

    pools = _label((grid < -400) & (grid > -1023.5), FLAT)
    pool_air = _means(pools, grid < -960)  # near 1 in outer air and in bowel gas
    parts = _label(_open3((grid < -400) & (grid > -975)), FLAT)
    good = (
        (np.bincount(parts.ravel()) * mm[1] * mm[2] > 300)
        & (_means(parts, grid) < -600)
        & (_means(parts, pool_air[pools]) < 0.5)
        & (_means(parts, inside) > 0.8)
    )
    good[0] = False
    return _large(good[parts])


def _chest(
    lungs: np.ndarray, mm: tuple[float, float, float]
) -> Bool[np.ndarray, "z y x"]:
    """Convex hull of the lungs of each slice and of those not far above it.

    A heart that touches the chest's wall bulges out of it by up to BULGE_MM in front.
    """
    up = 1 + round(RECESS_MM / mm[0])
    have = lungs.sum((1, 2)) * mm[1] * mm[2] > 300
    chest = np.stack(
        [_hull(lungs[k : k + up].any(0) & have[k]) for k in range(len(lungs))]
    )
    for _ in range(round(BULGE_MM / mm[1])):
        chest[:, :-1] |= chest[:, 1:]
    return chest


def _spine(
    grid: np.ndarray,
    lungs: np.ndarray,
    chest: np.ndarray,
    mm: tuple[float, float, float],
) -> tuple[float, Float[np.ndarray, "z"]]:
    """Column of the spine's centre, and the row of its front in each slice; or NaN.

    The spine is the bone that reaches into the hull of the lungs from behind.
    """
    rows = lungs.sum(2).astype(float)
    middle = (rows * np.arange(grid.shape[1])).sum(1) / np.maximum(1, rows.sum(1))
    behind = np.arange(grid.shape[1])[None, :] > middle[:, None]
    behind &= (rows.sum(1) * mm[1] * mm[2] > 2000)[:, None]
    deep = np.stack(
        [ndimage.binary_erosion(c, iterations=2, border_value=1) for c in chest]
    )
    profile = ((grid > 120) & behind[:, :, None] & deep).sum((0, 1)).astype(float)
    half = max(1, round(15 / mm[2]))
    profile = ndimage.convolve1d(profile, np.ones(2 * half + 1), mode="constant")
    front = np.full(len(grid), np.nan)
    if profile.max() * mm[1] * mm[2] < 50 * behind.any(1).sum() or not profile.any():
        return np.nan, front  # the field of view ends before the spine
    column = int(profile.argmax())
    band = slice(max(0, column - half), column + half + 1)
    for k, share in enumerate((grid[:, :, band] > 100).mean(2) * behind):
        row = int(share.argmax())
        if share[row] >= 0.4:
            while row > 0 and share[row - 1] > 0.3:
                row -= 1
            front[k] = row
    known = np.flatnonzero(np.isfinite(front))
    if len(known):
        front = np.interp(np.arange(len(front)), known, front[known])
        front = ndimage.median_filter(front, 1 + 2 * round(12 / mm[0]), mode="nearest")
    return float(column), front


def _before_spine(
    tissue: np.ndarray, column: float, front: np.ndarray, mm: tuple[float, float, float]
) -> Bool[np.ndarray, "z y x"]:
    """Leaves out the spine, what lies behind its front, and far-off sides."""
    y, x = np.ogrid[: tissue.shape[1], : tissue.shape[2]]
    y, x, behind = y[None], (x[None] - column) * mm[2], front[:, None, None]
    near = (y > behind - 6 / mm[1]) & (np.abs(x) < 25)  # false where front is NaN
    sides = (x < -RIGHT_MM) | (x > LEFT_MM)
    return tissue & ~near & ~(y > behind + 10 / mm[1]) & ~sides


def _carina(
    air: np.ndarray, column: float, front: np.ndarray, mm: tuple[float, float, float]
) -> int:
    """Lowest slice with the trachea before the spine; the number of slices if none."""
    parts = _label(air, FLAT)
    area = np.bincount(parts.ravel()) * mm[1] * mm[2]
    large = 1 + np.flatnonzero(area[1:] > 180)
    found = np.zeros(len(air), bool)
    for z, y, x in ndimage.center_of_mass(air, parts, large):
        ahead = (front[int(z)] - y) * mm[1]
        found[int(z)] |= abs(x - column) * mm[2] < 20 and 0 < ahead < 60
    twice = np.flatnonzero(found[:-1] & found[1:])  # a single one may be noise
    return int(twice[0]) if len(twice) else len(air)


def _heart(
    tissue: np.ndarray, lungs: np.ndarray, top: int, mm: tuple[float, float, float]
) -> Float[np.ndarray, "z 4"]:
    """Boxes on the coarse grid: the thick tissue with lung on both sides."""
    boxes = np.full((len(tissue), 4), np.nan)
    sections = [
        _section(t, a, mm) for t, a in zip(_thick(tissue, mm), lungs, strict=True)
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
    first, last = _longest(clean, round(15 / mm[0]))
    held = np.stack([s.box for k in clean if first <= k <= last and (s := sections[k])])
    # the right border is nearly upright: where it steps out, that is the liver
    low = max(np.percentile(held[:, 0], 10), np.median(held[:, 0]) - 15 / mm[2])
    high = np.percentile(held[:, 2], 95) + 5 / mm[2]
    floor = np.percentile(held[:, 3], 95)
    x, y = np.arange(tissue.shape[2]), np.arange(tissue.shape[1])
    window = ((x >= low) & (x < high))[None, None] & (y < floor)[None, :, None]
    first = max(0, first - round(BELOW_DOME_MM / mm[0]))
    part = slice(first, last + 1)
    for k, t in enumerate(_thick(tissue[part] & window, mm), first):
        section = _section(t, lungs[k], mm)
        if section and section.area > 0.35 * size:
            boxes[k] = section.box
    return boxes


def _lean(grid: np.ndarray) -> Bool[np.ndarray, "z y x"]:
    """Muscle and blood by majority of 3x3 pixels, so that noise makes no holes."""
    votes = (grid > -20).astype(np.float32)
    for axis in (1, 2):
        votes = np.asarray(ndimage.uniform_filter1d(votes, 3, axis=axis))
    return votes > 0.5


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
        parts = _label(_thick((lean[k] & window)[None], mm, VESSEL_MM)[0])
        area = np.bincount(parts.ravel())
        area[0] = 0
        heart = np.zeros(parts.shape, bool)
        for part in np.flatnonzero(area > 0.1 * area.max()):
            piece = parts == part
            ahead = (front[k] - np.nonzero(piece)[0].mean()) * mm[1]
            if part == area.argmax() or not ahead < BESIDE_SPINE_MM:
                heart |= piece
        if heart.any():
            grown = _box(heart) + fat
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


def _box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def _section(
    thick: np.ndarray, lungs: np.ndarray, mm: tuple[float, float, float]
) -> _Section | None:
    part = _largest(thick)
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
        float(area), _box(part), float(np.mean(right)), float(np.mean(left))
    )


def _longest(slices: list[int], gap: int) -> tuple[int, int]:
    """Ends of the longest run without a gap wider than `gap`."""
    starts = np.flatnonzero(np.diff(slices, prepend=slices[0] - gap - 2) > gap + 1)
    runs = np.split(np.array(slices), starts[1:])
    run = max(runs, key=len)
    return int(run[0]), int(run[-1])


def _thick(
    mask: np.ndarray, mm: tuple[float, float, float], radius: float = THICK_MM
) -> Bool[np.ndarray, "z y x"]:
    """Each slice opened by a disc of `radius` mm; the image's border is no edge."""
    out, pad = np.zeros_like(mask), 1 + math.ceil(radius / min(mm[1:]))
    for k, plane in enumerate(mask):
        rows, columns = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
        if not len(rows):
            continue
        y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        around = np.pad(plane, pad, mode="edge")
        around = around[y.start : y.stop + 2 * pad, x.start : x.stop + 2 * pad]
        far = _distance(np.pad(around, 1), mm[1:])
        core = far > radius
        if core.any():
            grown = _distance(~core, mm[1:]) <= radius
            inner = slice(pad + 1, -pad - 1)
            out[k, y, x] = grown[inner, inner] & plane[y, x]
    return out


def _open3(mask: np.ndarray) -> np.ndarray:
    """Opening of each slice by 3x3 pixels."""

    def erode(m: np.ndarray) -> np.ndarray:
        m = np.pad(m, ((0, 0), (1, 1), (1, 1)), mode="edge")
        m = m[:, 2:] & m[:, 1:-1] & m[:, :-2]
        return m[:, :, 2:] & m[:, :, 1:-1] & m[:, :, :-2]

    return ~erode(~erode(mask))


def _large(mask: np.ndarray) -> np.ndarray:
    """The parts with more than a tenth of the largest one's voxels."""
    parts = _label(mask)
    volume = np.bincount(parts.ravel())
    volume[0] = 0
    return (volume > 0.1 * volume.max())[parts] & mask


def _label(mask: np.ndarray, structure: np.ndarray | None = None) -> np.ndarray:
    parts = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure, output=parts)
    return parts


def _distance(mask: np.ndarray, mm: tuple[float, float]) -> np.ndarray:
    """From each pixel of the mask to the nearest pixel outside it, in mm."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=mm))


def _largest(mask: np.ndarray) -> np.ndarray:
    parts = _label(mask)
    area = np.bincount(parts.ravel())
    area[0] = 0
    return (parts == area.argmax()) & mask


def _means(parts: np.ndarray, values: np.ndarray) -> np.ndarray:
    size = np.maximum(1, np.bincount(parts.ravel()))
    return np.bincount(parts.ravel(), values.ravel()) / size


def _hull(mask: np.ndarray) -> np.ndarray:
    """Convex hull of a slice's mask; nothing when its points lie on a line."""
    points = np.argwhere(mask ^ ndimage.binary_erosion(mask))
    if len(points) < 10:
        return np.zeros_like(mask)
    try:
        planes = ConvexHull(points).equations
    except QhullError:
        return np.zeros_like(mask)
    a, b, c = planes.T[:, :, None]  # a y + b x + c <= 0 inside; half a pixel is given
    rest = 0.5 - c - a * np.arange(mask.shape[0])
    edge = rest / np.where(b == 0, 1, b)
    low = np.where(b < 0, edge, -np.inf).max(0)
    high = np.where(b > 0, edge, np.inf).min(0)
    rows = np.all((b != 0) | (rest >= 0), axis=0)
    x = np.arange(mask.shape[1])[None]
    return rows[:, None] & (x >= low[:, None]) & (x <= high[:, None])
