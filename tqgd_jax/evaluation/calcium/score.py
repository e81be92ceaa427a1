"""Agatston score, volume and mass of the calcium that a mask marks."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int16, UInt8

from tqgd_jax.ct.lesions import ARTERIES
from tqgd_jax.evaluation.calcium.components import components
from tqgd_jax.evaluation.calcium.conventions import (
    LOWEST,
    REFERENCE_MM,
    WEIGHTS,
    Convention,
    neighbours,
)
from tqgd_jax.evaluation.calcium.scores import (
    Amount,
    LesionScore,
    Score,
    Spacing,
    by_artery,
    total,
)


def score(
    hu: Int16[np.ndarray, "z y x"],
    mask: Bool[np.ndarray, "z y x"] | UInt8[np.ndarray, "z y x"],
    spacing: Spacing,
    convention: Convention,
    calibration: float | None = None,
) -> Score:
    """Score of the voxels that `mask` marks and `convention` counts.

    Components are of one value of the mask: arteries that touch stay apart. Where the
    convention's components are of one slice, those that meet in neighbouring slices,
    face to face, are one lesion in what is returned; the score does not change by that.

    Args:
      hu: a scan, or the part of it that holds the mask.
      mask: what is calcium; values 1, 2 and 3 are orCaScore's arteries.
      spacing: (dz, dy, dx) mm, centre to centre.
      convention: what counts, and how.
      calibration: mg/mL per HU. Mass = calibration x mean HU x volume (Ulzheimer and
        Kalender, Eur. Radiol. 2003).

    Raises:
      ValueError: for a spacing or a calibration that is not above 0.
    """
    return score_marked(marked(hu, mask), spacing, convention, calibration)[0]


class Marked(NamedTuple):
    """The voxels that a mask marks, in the order of `np.nonzero`.

    Attributes:
      flat: index of each in the flattened volume.
      at: (z, y, x) of each.
      hu: of each.
      label: value of the mask at each; None for a mask of bools.
    """

    flat: Int[np.ndarray, "n"]
    at: Int[np.ndarray, "n 3"]
    hu: Int16[np.ndarray, "n"]
    label: UInt8[np.ndarray, "n"] | None


def marked(
    hu: Int16[np.ndarray, "z y x"],
    mask: Bool[np.ndarray, "z y x"] | UInt8[np.ndarray, "z y x"],
) -> Marked:
    """Looks through the volume once, for any number of conventions."""
    flat = np.flatnonzero(mask)  # a tenth of the time of `np.nonzero` in 3-D
    at = np.stack(np.unravel_index(flat, mask.shape), axis=1)
    label = mask.ravel()[flat] if mask.dtype == np.uint8 else None
    return Marked(flat, at, hu.ravel()[flat], label)


def score_marked(
    voxels: Marked,
    spacing: Spacing,
    convention: Convention,
    calibration: float | None = None,
) -> tuple[Score, Bool[np.ndarray, "n"]]:
    """As `score`, with which of the voxels count."""
    _check(spacing, calibration)
    counted = np.zeros(len(voxels.at), bool)
    lesions: list[LesionScore] = []
    values = [] if voxels.label is None else np.unique(voxels.label).tolist()
    for value in values or [None]:
        artery = "" if value is None else ARTERIES.get(value, str(value))
        own = _bright(voxels.hu, convention)
        if value is not None:
            own &= voxels.label == value
        at, hu = voxels.at[own], voxels.hu[own]
        spots, points = _spots(at, hu, spacing, convention)
        scored = spots >= 0
        counted[np.flatnonzero(own)[scored]] = True
        chosen = (at[scored], hu[scored], spots[scored], points)
        lesions += _lesions(*chosen, spacing, convention, calibration, artery)
    lesions.sort(key=lambda one: (one.z, one.box))
    arteries = {} if voxels.label is None else by_artery(lesions, calibration)
    return Score(total(lesions, calibration), tuple(lesions), arteries), counted


def agatston_by_voxel(
    voxels: Marked, spacing: Spacing, convention: Convention
) -> Float[np.ndarray, "n"]:
    """What each voxel adds to the Agatston score, 0 where it does not count.

    The voxels that share a weight share their points equally, so any parts of a scan
    have scores whose sum is the whole's. Arteries are not told apart.
    """
    _check(spacing, None)
    own = _bright(voxels.hu, convention)
    spots, points = _spots(voxels.at[own], voxels.hu[own], spacing, convention)
    size = np.bincount(spots[spots >= 0], minlength=len(points))
    share = np.append(points / np.maximum(size, 1), 0.0)  # the last for spot -1
    result = np.zeros(len(voxels.hu))
    result[own] = share[spots]
    return result


def _bright(
    hu: Int16[np.ndarray, "n"], convention: Convention
) -> Bool[np.ndarray, "n"]:
    if convention.pixels == "mask":
        return np.ones(len(hu), bool)
    return hu > LOWEST if convention.pixels == "above" else hu >= LOWEST


def _check(spacing: Spacing, calibration: float | None) -> None:
    if not (np.isfinite(spacing).all() and min(spacing) > 0):
        raise ValueError(f"spacing must be above 0 mm (dz, dy, dx), got {spacing}")
    if calibration is not None and not (np.isfinite(calibration) and calibration > 0):
        raise ValueError(
            f"calibration must be above 0 mg/mL per HU, got {calibration}; none: no mass"
        )


def _spots(
    at: Int[np.ndarray, "n 3"],
    hu: Int16[np.ndarray, "n"],
    spacing: Spacing,
    convention: Convention,
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "k"]]:
    """What has one weight: number of each voxel's spot, and the score of each spot.

    Voxels of a component that is too small, or whose score is 0, have the number -1.
    """
    dz, dy, dx = spacing
    part = components(at, neighbours(convention.connected))
    unit = {"mm2": dy * dx, "mm3": dz * dy * dx}.get(convention.unit, 1.0)
    # 25 pixels of 0.2 x 0.2 mm are 1 mm2, whatever the last bit of 25 x 0.04 is.
    large = np.bincount(part) * unit >= convention.smallest * (1 - 1e-9)
    if convention.weigh == "slice" and len(at):
        key = part * (at[:, 0].max() + 1) + at[:, 0]
    else:
        key = part
    _, first, spot, area = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    highest = np.full(len(area), np.iinfo(np.int16).min, np.int16)
    np.maximum.at(highest, spot, hu)
    points = np.searchsorted(WEIGHTS, highest, side="right") * area * (dy * dx)
    points = points * (dz / REFERENCE_MM if convention.thickness else 1.0)
    if convention.whole:
        points = np.rint(points)
    points = np.where(large[part[first]], points, 0.0)
    return np.where(points[spot] > 0, spot, -1), points


def _lesions(
    at: Int[np.ndarray, "n 3"],
    hu: Int16[np.ndarray, "n"],
    spots: Int[np.ndarray, "n"],
    points: Float[np.ndarray, "k"],
    spacing: Spacing,
    convention: Convention,
    calibration: float | None,
    artery: str,
) -> list[LesionScore]:
    """Spots that are one component, or meet face to face, as lesions."""
    if not len(at):
        return []
    touching = neighbours(convention.connected)
    touching[[0, 2], 1, 1] = True
    number = components(at, touching)
    order = np.argsort(number, kind="stable")
    size = np.bincount(number)
    begin = np.cumsum(size) - size
    at, hu = at[order], hu[order]
    # A spot lies in one lesion, so its score goes where its first voxel is.
    own, first = np.unique(spots, return_index=True)
    agatston = np.bincount(number[first], points[own])
    mean = np.add.reduceat(hu, begin, dtype=np.float64) / size
    volume = size * float(np.prod(spacing))
    mass: list[float | None] = [None] * len(size)
    if calibration is not None:
        # mg/mL is mg per 1000 mm3
        mass = (calibration * mean * volume / 1000).tolist()
    low, high = np.minimum.reduceat(at, begin), np.maximum.reduceat(at, begin)
    rows = zip(
        zip(agatston.tolist(), volume.tolist(), mass, strict=True),
        np.maximum.reduceat(hu, begin).tolist(),
        mean.tolist(),
        size.tolist(),
        low.tolist(),
        high.tolist(),
        strict=True,
    )
    return [
        LesionScore(
            artery,
            Amount(*amount),
            top,
            middle,
            count,
            (z0, z1),
            (x0, y0, x1 + 1, y1 + 1),
        )
        for amount, top, middle, count, (z0, y0, x0), (z1, y1, x1) in rows
    ]
