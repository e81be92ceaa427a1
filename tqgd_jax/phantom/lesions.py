"""A calcified lesion as a solid, and what it adds to a scan."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter1d

from tqgd_jax.phantom.arteries import LABELS
from tqgd_jax.phantom.shapes import ellipsoid
from tqgd_jax.phantom.tubes import Grid, xyz

Volume = Float32[np.ndarray, "z y x"]
FINE = 3  # samples per pixel
FINE_Z_MM = 0.5  # at most, between samples through a slice


@dataclasses.dataclass(frozen=True)
class Lobe:
    """An ellipsoid: centre (x, y, z), radii, and rows of its rotation."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    axes: tuple[tuple[float, float, float], ...]


@dataclasses.dataclass(frozen=True)
class Lesion:
    """A union of lobes with one density.

    Attributes:
      artery: LAD, LCX or RCA; else what it is ("aorta", "valve", ...), not labelled.
      hu: value above what surrounds it, before any blur.
      moves: whether it moves with the heart.
    """

    artery: str
    lobes: tuple[Lobe, ...]
    hu: float
    moves: bool = True

    @property
    def label(self) -> int:
        """The reference mask's value; 0 for what is no coronary calcium."""
        return LABELS.get(self.artery, 0)

    @property
    def centre(self) -> tuple[float, float, float]:
        """Mean of the lobes' centres, weighted by volume."""
        weight = np.array([np.prod(b.radii) for b in self.lobes])
        at = np.array([b.centre for b in self.lobes])
        mean = (weight[:, None] * at).sum(axis=0) / weight.sum()
        return xyz(mean)


@dataclasses.dataclass(frozen=True)
class Deposit:
    """What a lesion adds to the scan, in a box of it: HU after the blur."""

    box: tuple[slice, slice, slice]
    hu: Volume
    volume_mm3: float  # of the solid, before the scanner


def deposit(
    lesion: Lesion,
    grid: Grid,
    fwhm_mm: float,
    shifts: list[tuple[float, tuple[float, float, float]]],
) -> Deposit | None:
    """Renders a lesion; None when no voxel of the grid is near it.

    Sampled three times per pixel and every half millimetre through the slice, averaged
    over voxels, and blurred. `shifts` are weights and displacements (x, y, z) of the
    heart's phases.
    """
    at = np.array([b.centre for b in lesion.lobes])
    reach = np.array([max(b.radii) for b in lesion.lobes])[:, None]
    move = np.array([s for _, s in shifts]) if lesion.moves else np.zeros((1, 3))
    pad = 3.0 * fwhm_mm / 2.355 + 2 * grid.spacing[1]
    low = (at - reach).min(axis=0) + move.min(axis=0)
    high = (at + reach).max(axis=0) + move.max(axis=0)
    dz = grid.spacing[0]
    n = max(1, int(np.ceil(dz / FINE_Z_MM)))
    wide = grid._replace(  # edges of the image must not cut the volume
        origin=tuple(
            o - 400 * s for o, s in zip(grid.origin, grid.spacing, strict=True)
        ),
        shape=tuple(k + 800 for k in grid.shape),
    )
    box = wide.window(
        (low[2] - dz, low[1] - pad, low[0] - pad),
        (high[2] + dz, high[1] + pad, high[0] + pad),
    )
    if any(b.stop <= b.start for b in box):
        return None

    def fine(axis: int, count: int) -> Float32[np.ndarray, "n"]:
        centre = wide.centres(axis, box[axis])
        sub = ((np.arange(count) + 0.5) / count - 0.5) * wide.spacing[axis]
        return (centre[:, None] + sub[None, :]).reshape(-1).astype(np.float32)

    z = fine(0, n)[:, None, None]
    y, x = fine(1, FINE)[None, :, None], fine(2, FINE)[None, None, :]
    # Cells are longer in z than in the plane; their mean width softens the edge.
    soft = np.float32((2 * grid.spacing[1] / FINE + dz / n) / 3)
    total = np.zeros((z.size, y.size, x.size), np.float32)
    for weight, (sx, sy, sz) in shifts if lesion.moves else [(1.0, (0.0, 0.0, 0.0))]:
        best = np.float32(-1e6)
        for lobe in lesion.lobes:
            cx, cy, cz = lobe.centre
            d = ellipsoid(x, y, z, (cx + sx, cy + sy, cz + sz), lobe.radii, lobe.axes)
            best = np.maximum(best, d)
        total += np.clip(0.5 + best / soft, 0, 1) * np.float32(weight)
    shape = [b.stop - b.start for b in box]
    share = total.reshape(shape[0], n, shape[1], FINE, shape[2], FINE)
    share = share.mean(axis=(1, 3, 5), dtype=np.float32)
    volume = float(share.sum(dtype=np.float64) * np.prod(grid.spacing))
    hu = share * np.float32(lesion.hu)
    for axis in (1, 2):
        sigma = fwhm_mm / 2.355 / grid.spacing[axis]
        hu = gaussian_filter1d(hu, sigma, axis=axis, mode="constant")
    inner, cut = [], []
    for b, count in zip(box, grid.shape, strict=True):
        a0, a1 = b.start - 400, b.stop - 400
        s0, s1 = max(a0, 0), min(a1, count)
        if s1 <= s0:
            return None
        inner.append(slice(s0, s1))
        cut.append(slice(s0 - a0, s1 - a0))
    return Deposit(tuple(inner), np.ascontiguousarray(hu[tuple(cut)]), volume)


def combine(
    solids: Sequence[Lesion],
    deposits: Sequence[Deposit | None],
    grid: Grid,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU of all calcium, the strongest deposit in each voxel, and its label."""
    mineral = np.zeros(grid.shape, np.float32)
    added = np.zeros(grid.shape, np.float32)
    label = np.zeros(grid.shape, np.uint8)
    for solid, d in zip(solids, deposits, strict=True):
        if d is not None:
            mineral[d.box] += d.hu
            wins = d.hu > added[d.box]
            added[d.box] = np.where(wins, d.hu, added[d.box])
            label[d.box] = np.where(wins, solid.label, label[d.box])
    return mineral, added, label
