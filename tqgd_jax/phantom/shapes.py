"""Signed distances, positive inside, and the share of a voxel that a shape covers.

Big shapes are evaluated on a coarse grid and interpolated: a distance is nearly linear,
so an organ's edge stays as sharp as the fine grid allows.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

Coarse = Float32[np.ndarray, "i j"]
Fine = Float32[np.ndarray, "y x"]
Array = Any  # points: scalars or arrays that broadcast

EPS = np.float32(1e-4)


def ellipsoid(x: Array, y: Array, z: Array, centre, radii, axes=None) -> Array:
    """Distance (mm), first order: k0 (1 - k0) / k1 with k0 = |p/r|, k1 = |p/r^2|.

    `axes` are rows of a rotation; radii belong to its rows.
    """
    p = (x - centre[0], y - centre[1], z - centre[2])
    if axes is not None:
        p = tuple(a[0] * p[0] + a[1] * p[1] + a[2] * p[2] for a in axes)
    q = tuple(c / r for c, r in zip(p, radii, strict=True))
    k0 = np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2) + EPS
    k1 = np.sqrt(
        (q[0] / radii[0]) ** 2 + (q[1] / radii[1]) ** 2 + (q[2] / radii[2]) ** 2
    )
    return k0 * (1 - k0) / (k1 + EPS / max(radii))


def ellipse(x: Array, y: Array, centre, radii) -> Array:
    """Distance (mm) of a cylinder along z."""
    qx, qy = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    k0 = np.sqrt(qx**2 + qy**2) + EPS
    k1 = np.sqrt((qx / radii[0]) ** 2 + (qy / radii[1]) ** 2)
    return k0 * (1 - k0) / (k1 + EPS / max(radii))


def superellipse(x: Array, y: Array, a: Array, b: Array, power: float) -> Array:
    """Distance (mm) along the ray from the origin."""
    k = (np.abs(x / a) ** power + np.abs(y / b) ** power + EPS) ** (1 / power)
    return np.sqrt(x * x + y * y + EPS) * (1 / k - 1)


def rounded_box(x: Array, y: Array, half, radius: float) -> Array:
    """Distance (mm) of a rectangle with round corners."""
    qx = np.abs(x) - (half[0] - radius)
    qy = np.abs(y) - (half[1] - radius)
    outside = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2)
    return radius - outside - np.minimum(np.maximum(qx, qy), 0)


def capsule(x: Array, y: Array, z: Array, a, b, ra: float, rb: float) -> Array:
    """Distance (mm) of a tube from a to b, its radius going from ra to rb."""
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    px, py, pz = x - a[0], y - a[1], z - a[2]
    t = np.clip(
        (px * ux + py * uy + pz * uz) / (ux * ux + uy * uy + uz * uz + 1e-6), 0, 1
    )
    d = np.sqrt((px - t * ux) ** 2 + (py - t * uy) ** 2 + (pz - t * uz) ** 2)
    return ra + (rb - ra) * t - d


def tube(x: Array, y: Array, z: Array, points, radii) -> Array:
    """Distance (mm) of a chain of capsules."""
    out = None
    for a, b, ra, rb in zip(points, points[1:], radii, radii[1:], strict=False):
        d = capsule(x, y, z, a, b, ra, rb)
        out = d if out is None else np.maximum(out, d)
    return out


def union(a: Array, b: Array, k: float = 0.0) -> Array:
    """The larger distance; with k > 0 the seam is filled by up to k/4 mm."""
    if k <= 0:
        return np.maximum(a, b)
    h = np.maximum(k - np.abs(a - b), 0) / k
    return np.maximum(a, b) + h * h * (k / 4)


def intersect(a: Array, b: Array, k: float = 0.0) -> Array:
    """The smaller distance, its seam rounded."""
    return -union(-a, -b, k)


def upsample(coarse: Coarse, factor: int) -> Fine:
    """Linear interpolation; n + 1 nodes give n * factor pixels, centred in cells.

    Written out with slices: a matrix product's bits may depend on its threads.
    """
    shift = 0.5 / factor
    rows = np.empty(((coarse.shape[0] - 1) * factor, coarse.shape[1]), np.float32)
    step = np.diff(coarse, axis=0)
    for k in range(factor):
        np.multiply(step, np.float32(k / factor + shift), out=rows[k::factor])
        rows[k::factor] += coarse[:-1]
    out = np.empty((rows.shape[0], (coarse.shape[1] - 1), factor), np.float32)
    step = np.diff(rows, axis=1)
    for k in range(factor):
        np.multiply(step, np.float32(k / factor + shift), out=out[:, :, k])
        out[:, :, k] += rows[:, :-1]
    return out.reshape(rows.shape[0], -1)


class Patch(NamedTuple):
    """Shares of the voxels in a window of a slice; there are none outside it."""

    share: Fine
    at: tuple[slice, slice]


def coverage(low: Coarse, high: Coarse, pixel_mm: float, factor: int) -> Patch | None:
    """Share of each voxel inside, from the distances at its lower and upper face.

    A distance that is linear between the faces makes this the exact mean over the
    slab; the in-plane edge is one pixel wide. None when no voxel is inside.
    """
    mean = (low + high) / 2
    soft = mean / (np.abs(high - low) + np.float32(pixel_mm))
    soft = soft.astype(np.float32)
    window = []
    for axis in (1, 0):
        touched = np.flatnonzero((soft > -0.5).any(axis=axis))
        if touched.size == 0:
            return None
        first = max(int(touched[0]) - 1, 0)
        last = min(int(touched[-1]) + 1, soft.shape[1 - axis] - 1)
        window.append((first, last))
    (y0, y1), (x0, x1) = window
    fine = upsample(soft[y0 : y1 + 1, x0 : x1 + 1], factor)
    fine += np.float32(0.5)
    np.clip(fine, 0, 1, out=fine)
    at = (slice(y0 * factor, y1 * factor), slice(x0 * factor, x1 * factor))
    return Patch(fine, at)
