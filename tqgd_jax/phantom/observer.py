"""The reference mask and what is known of each lesion after the scanner."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int32, UInt8
from scipy import ndimage

from tqgd_jax.phantom.lesions import Deposit, Lesion

THRESHOLD = 130  # HU; orCaScore's, and Agatston's
SMALLEST_MM2 = 1.0  # in a slice; Agatston et al., J. Am. Coll. Cardiol. 1990
NEAR_HU = 12  # what a lesion must add to a voxel for the voxel to be its own
CORE_HU = 55  # what it must add somewhere in a component


def observe(
    hu: Int16[np.ndarray, "z y x"],
    added: Float32[np.ndarray, "z y x"],
    label: UInt8[np.ndarray, "z y x"],
    pixel_mm: float,
    core_hu: float = CORE_HU,
    spot_hu: float = 0.0,
) -> UInt8[np.ndarray, "z y x"]:
    """Marks what an observer would who clicks each 3-D component of a lesion.

    `added` is the HU that the strongest deposit gives a voxel, `label` its artery (0:
    no coronary). A component of voxels above the threshold counts where calcium is a
    good part of its value (`core_hu` somewhere); noise that merely touches it does not,
    nor does a spot of less than 1 mm2 in a slice, or with nowhere `spot_hu` of calcium.
    """
    bright = (hu > THRESHOLD) & (added > NEAR_HU)
    parts = _components(bright)
    at = np.nonzero(parts)
    peak = np.zeros(int(parts.max()) + 1, np.float32)
    np.maximum.at(peak, parts[at], added[at])
    mask = np.where((peak > core_hu)[parts], label, 0).astype(np.uint8)
    flat = np.zeros((3, 3, 3), bool)
    flat[1] = True  # diagonals count, other slices do not
    spots = _components(mask > 0, flat)
    area = np.bincount(spots.ravel()) * pixel_mm**2
    mask[area[spots] < SMALLEST_MM2] = 0
    if spot_hu > 0:
        peak = np.zeros(int(spots.max()) + 1, np.float32)
        np.maximum.at(peak, spots, added)
        mask[peak[spots] < spot_hu] = 0
    return mask


def _components(
    where: Bool[np.ndarray, "z y x"], joined: Bool[np.ndarray, "3 3 3"] | None = None
) -> Int32[np.ndarray, "z y x"]:
    labelled: Any = ndimage.label(where, joined)
    return np.asarray(labelled[0], np.int32)


def facts(
    solids: list[Lesion],
    deposits: list[Deposit | None],
    hu: Int16[np.ndarray, "z y x"],
    mask: UInt8[np.ndarray, "z y x"],
) -> dict[str, list[dict[str, Any]]]:
    """One row per lesion; voxels and HU are of the mask near it, after the scanner.

    Lesions that touch share voxels, so counts may add up to more than the mask.
    Calcium that is not coronary has rows of its own.
    """
    rows: dict[str, list[dict[str, Any]]] = {"lesions": [], "other_calcium": []}
    for i, (solid, d) in enumerate(zip(solids, deposits, strict=True)):
        row: dict[str, Any] = {
            "id": i,
            "artery": solid.artery,
            "centre_mm": [round(v, 3) for v in solid.centre],
            "volume_mm3": round(d.volume_mm3, 4) if d else None,
            "peak_hu": None,
            "mean_hu": None,
            "voxels_above_130": 0,
            "visible": False,
        }
        if d:
            seen = d.hu > 0.25 * max(float(d.hu.max()), 1.0)
            seen &= hu[d.box] > THRESHOLD
            if solid.label:
                seen &= mask[d.box] == solid.label
            values = hu[d.box][seen]
            row["voxels_above_130"] = int(values.size)
            row["visible"] = bool(values.size)
            if values.size:
                row["peak_hu"] = int(values.max())
                row["mean_hu"] = round(float(values.mean()), 2)
        rows["lesions" if solid.label else "other_calcium"].append(row)
    return rows


def heart_boxes(sac: Bool[np.ndarray, "z y x"]) -> list[tuple[int, int, int, int, int]]:
    """Tight boxes (z, x0, y0, x1, y1) of the slices that show the sac."""
    out = []
    for k, here in enumerate(sac):
        if here.any():
            ys = np.flatnonzero(here.any(axis=1))
            xs = np.flatnonzero(here.any(axis=0))
            out.append((k, int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1))
    return out
