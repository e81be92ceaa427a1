"""Regions of binary images: opened, labelled, measured, enclosed.

Masks are bool [z, y, x] or, where a docstring says a slice, [y, x]; `mm` is the spacing
in that order. Nothing here knows anatomy; `anatomy` and `heart` do.
"""

import math

import numpy as np
from jaxtyping import Bool
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

FLAT = np.zeros((3, 3, 3), int)
FLAT[1] = ndimage.generate_binary_structure(2, 1)  # neighbours of the same slice


def thick(
    mask: np.ndarray, mm: tuple[float, float, float], radius: float
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


def open3(mask: np.ndarray) -> np.ndarray:
    """Opening of each slice by 3x3 pixels."""

    def erode(m: np.ndarray) -> np.ndarray:
        m = np.pad(m, ((0, 0), (1, 1), (1, 1)), mode="edge")
        m = m[:, 2:] & m[:, 1:-1] & m[:, :-2]
        return m[:, :, 2:] & m[:, :, 1:-1] & m[:, :, :-2]

    return ~erode(~erode(mask))


def large(mask: np.ndarray) -> np.ndarray:
    """The parts with more than a tenth of the largest one's voxels."""
    parts, volume = _sized(mask)
    return (volume > 0.1 * volume.max())[parts] & mask


def largest(mask: np.ndarray) -> np.ndarray:
    """The part with the most pixels, of a slice or a volume."""
    parts, area = _sized(mask)
    return (parts == area.argmax()) & mask


def _sized(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts, and how many voxels each has; none for what is outside."""
    parts = label(mask)
    size = np.bincount(parts.ravel())
    size[0] = 0
    return parts, size


def label(mask: np.ndarray, structure: np.ndarray | None = None) -> np.ndarray:
    """Connected parts numbered from 1, 0 outside; of each slice apart with FLAT."""
    parts = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure, output=parts)
    return parts


def means(parts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean value of each part that `label` numbered; first that of what is outside."""
    size = np.maximum(1, np.bincount(parts.ravel()))
    return np.bincount(parts.ravel(), values.ravel()) / size


def hull(mask: np.ndarray) -> np.ndarray:
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


def box(mask: np.ndarray) -> np.ndarray:
    """Box (x0, y0, x1, y1) of a slice's mask in px edges; the mask is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def longest(slices: list[int], gap: int) -> tuple[int, int]:
    """Ends of the longest run without a gap wider than `gap`."""
    starts = np.flatnonzero(np.diff(slices, prepend=slices[0] - gap - 2) > gap + 1)
    runs = np.split(np.array(slices), starts[1:])
    run = max(runs, key=len)
    return int(run[0]), int(run[-1])


def _distance(mask: np.ndarray, mm: tuple[float, float]) -> np.ndarray:
    """From each pixel of the mask to the nearest pixel outside it, in mm."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=mm))
