"""Thin tubes: lung vessels, bronchi, arteries and leads, each inside its own box."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from tqgd_jax.phantom.shapes import capsule

Volume = Float32[np.ndarray, "z y x"]


class Grid(NamedTuple):
    """Where voxels are: centre of the first (mm), spacing (mm) and shape."""

    origin: tuple[float, float, float]  # z, y, x
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]

    def window(
        self, low: tuple[float, ...], high: tuple[float, ...]
    ) -> tuple[slice, slice, slice]:
        """The voxels between two corners (z, y, x), cut at the grid's ends."""
        out = []
        for lo, hi, o, s, n in zip(
            low, high, self.origin, self.spacing, self.shape, strict=True
        ):
            a = int(np.floor((lo - o) / s))
            b = int(np.ceil((hi - o) / s)) + 1
            out.append(slice(min(max(a, 0), n), min(max(b, 0), n)))
        return tuple(out)

    def centres(self, axis: int, part: slice) -> Float32[np.ndarray, "n"]:
        """Coordinates (mm) along an axis."""
        n = np.arange(part.start, part.stop, dtype=np.float32)
        return np.float32(self.origin[axis]) + n * np.float32(self.spacing[axis])


@dataclasses.dataclass(frozen=True)
class Segment:
    """A capsule from a to b (x, y, z in mm) and the value inside."""

    a: tuple[float, float, float]
    b: tuple[float, float, float]
    ra: float
    rb: float
    hu: float


SMALLEST = 0.55  # mm, radius of the thinnest lung vessel
PERIPHERAL = 800  # small vessels in each lung
SUB = 3  # heights in a slice at which a thin tube is sampled


def box(seg: Segment, grid: Grid) -> tuple[slice, slice, slice]:
    """The voxels that a segment may touch."""
    r = max(seg.ra, seg.rb)
    low = tuple(min(p, q) - r for p, q in zip(seg.a, seg.b, strict=True))
    high = tuple(max(p, q) + r for p, q in zip(seg.a, seg.b, strict=True))
    pad = grid.spacing
    return grid.window(
        (low[2] - pad[0], low[1] - pad[1], low[0] - pad[2]),
        (high[2] + pad[0], high[1] + pad[1], high[0] + pad[2]),
    )


def share(seg: Segment, grid: Grid, part: tuple[slice, slice, slice]) -> Volume:
    """Share of each voxel of the box inside the segment."""
    z, y, x = (grid.centres(k, part[k]) for k in range(3))
    dz = grid.spacing[0]
    sub = (np.arange(SUB, dtype=np.float32) + 0.5) / SUB - 0.5
    zs = (z[:, None] + sub[None, :] * np.float32(dz)).reshape(-1)
    d = capsule(
        x[None, None, :],
        y[None, :, None],
        zs[:, None, None],
        seg.a,
        seg.b,
        seg.ra,
        seg.rb,
    )
    # The edge is as wide as a voxel at the finer sampling is, in the mean direction.
    soft = np.float32(grid.spacing[1] + 0.5 * dz / SUB)
    inside = np.clip(0.5 + d / soft, 0, 1).astype(np.float32)
    return inside.reshape(len(z), SUB, len(y), len(x)).mean(axis=1)


def paint(image: Volume, segments: list[Segment], grid: Grid) -> None:
    """Blends the segments into the image, in place and in order."""
    for seg in segments:
        part = box(seg, grid)
        if any(p.stop <= p.start for p in part):
            continue
        view = image[part]
        view += share(seg, grid, part) * (np.float32(seg.hu) - view)


def lung_tree(
    rng: np.random.Generator, side: int, size: float, blood: float
) -> list[Segment]:
    """Vessels, then bronchi (wall, then lumen), that branch from one hilum.

    Radii follow Murray's law (r^3 is shared by the daughters); side is -1 (right) or 1.
    """
    vessels: list[Segment] = []
    bronchi: list[Segment] = []
    hilum = np.array([side * 44.0 * size, 18.0 * size, 20.0])
    stack = []
    for k in range(10):
        angle = 2 * np.pi * (k + rng.uniform(-0.3, 0.3)) / 10
        out = np.array([side * 0.7, 0.85 * np.sin(angle), 1.1 * np.cos(angle) - 0.3])
        shift = rng.normal(size=3)
        shift /= np.linalg.norm(shift)
        start = hilum + rng.normal(0, 5, 3)
        stack.append((start, out / np.linalg.norm(out), 4.0, 0, shift, k % 2 == 0))
    while stack:
        p, d, r, level, shift, airy = stack.pop()
        length = (5.0 + 4.5 * r) * rng.uniform(0.7, 1.3)
        q = p + d * length
        r2 = r * 0.93
        vessels.append(Segment(xyz(p), xyz(q), r, r2, blood))
        if level <= 1 and airy:  # a bronchus runs beside large arteries
            beside = shift * (1.8 * r + 1.2)
            pa, qa = xyz(p + beside), xyz(q + beside)
            bronchi.append(Segment(pa, qa, r * 0.8 + 0.8, r2 * 0.8 + 0.7, -20.0))
            bronchi.append(Segment(pa, qa, r * 0.8, r2 * 0.8, -970.0))
        ratio = rng.uniform(0.5, 0.95)
        big = r2 / (1 + ratio**3) ** (1 / 3)
        for radius, spread in ((big, 0.22), (big * ratio, 0.6)):
            if radius < SMALLEST:
                continue
            new = d + rng.normal(0, spread, 3)
            new /= np.linalg.norm(new)
            stack.append((q, new, radius, level + 1, shift, airy))
    for _ in range(PERIPHERAL):
        # Small vessels everywhere, pointing away from the hilum; the lung clips them.
        at = np.array([side * 72.0, 2.0, 10.0]) * (size, size, 1)
        at = at + rng.uniform(-1, 1, 3) * np.array([58.0, 92.0, 105.0]) * (
            size,
            size,
            1,
        )
        if (at[0] / 118) ** 2 + (at[1] / 86) ** 2 > size**2 or abs(at[0]) < 22:
            continue  # in the wall or the mediastinum
        away = at - hilum
        away = away / (np.linalg.norm(away) + 1e-6) + rng.normal(0, 0.35, 3)
        r = rng.uniform(0.45, 1.15)
        end = at + away * rng.uniform(6, 18)
        vessels.append(Segment(xyz(at), xyz(end), r, 0.7 * r, blood))
    return vessels + bronchi


def xyz(v: np.ndarray) -> tuple[float, float, float]:
    """A point as plain floats."""
    return float(v[0]), float(v[1]), float(v[2])


def near(segments: list[Segment], grid: Grid) -> list[Segment]:
    """Those whose box may meet the grid; a cheap look before the careful one."""
    if not segments:
        return []
    ends = np.array([[s.a, s.b] for s in segments])
    low, high = ends.min(axis=1)[:, ::-1], ends.max(axis=1)[:, ::-1]
    first = np.array(grid.origin)
    last = first + np.array(grid.spacing) * (np.array(grid.shape) - 1)
    pad = np.array(grid.spacing) + max(max(s.ra, s.rb) for s in segments)
    keep = ((high > first - pad) & (low < last + pad)).all(axis=1)
    return [s for s, k in zip(segments, keep, strict=True) if k]
