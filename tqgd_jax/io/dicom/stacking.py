"""The slices of one series judged against each other: are they one scan, evenly spaced?

DICOM PS3.3 C.7.6.2 gives position and orientation.
"""

import logging
import math
from pathlib import Path

import numpy as np

from tqgd_jax.io.dicom.header import Header
from tqgd_jax.io.dicom.slice import MAX_TILT
from tqgd_jax.io.text import last_place

logger = logging.getLogger("tqgd_jax")


def distinct(headers: list[Header]) -> None:
    """Raises ValueError when two slices have one SOPInstanceUID."""
    owner: dict[str, Path] = {}
    for header in headers:
        uid = header.text.get("SOPInstanceUID", "")
        if uid and (other := owner.setdefault(uid, header.path)) != header.path:
            raise ValueError(
                f"{header.path} and {other.name} have one SOPInstanceUID ({uid}), so "
                "labels cannot tell them apart; remove the copy, or export the series "
                "again with new UIDs"
            )


def one_acquisition(headers: list[Header]) -> None:
    """Raises ValueError when slices of two scans take turns along the patient.

    Blocks one above the other, as of a table that moves, are one scan.
    """
    for name in ("AcquisitionNumber", "ConvolutionKernel", "KVP"):
        values = [header.text.get(name, "") for header in headers]
        runs = [k for k, v in enumerate(values) if k == 0 or v != values[k - 1]]
        if len(runs) > len(set(values)):
            a, b = (headers[k] for k in runs[:2])
            raise ValueError(
                f"{a.path.parent}: {name} {values[runs[0]]!r} ({a.path.name}) and "
                f"{values[runs[1]]!r} ({b.path.name}) take turns along the patient: two "
                "scans in one series; put each in a folder of its own"
            )
    numbers = [header.text.get("InstanceNumber", "") for header in headers]
    if len(numbers) < 4 or not all(n.isdecimal() for n in numbers):
        return
    one, other = (np.array([*map(int, numbers[k::2])]) for k in (0, 1))
    ways = [np.unique(np.sign(np.diff(of))) for of in (one, other)]
    if all(len(way) == 1 for way in ways) and (
        one.max() < other.min() or other.max() < one.min()
    ):
        raise ValueError(
            f"{headers[0].path.parent}: every second slice belongs to another run of "
            f"InstanceNumber ({', '.join(numbers[:4])}, ... along the patient): two "
            "scans in one series; put each in a folder of its own"
        )


def step(
    paths: tuple[Path, ...],
    positions: np.ndarray,
    normal: np.ndarray,
    pixel: float,
    thickness: float | None,
) -> float:
    """Distance of slices in mm, from all positions; never from SliceThickness.

    Positions are text, often of two decimals, so one gap says less than all of them.
    """
    if len(paths) == 1:
        if thickness is None:
            raise ValueError(
                f"{paths[0]}: one slice without SliceThickness; add others"
            )
        logger.warning(
            "%s: one slice; its SliceThickness is taken as spacing", paths[0]
        )
        return thickness
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    for k in np.flatnonzero(gaps < 0.01):
        raise ValueError(
            f"{paths[k]} and {paths[k + 1].name} lie at the same position "
            f"({along[k]:.2f} mm along the normal); phases or reconstructions of one "
            "series must be in separate folders, and copies removed"
        )
    mean = float(along[-1] - along[0]) / (len(along) - 1)
    # of rounded positions a gap may be one unit of the last decimal off, never a slice
    rounded = min(last_place(positions.ravel().tolist()), 0.4 * usual)
    for k in np.flatnonzero(np.abs(gaps - usual) > max(0.1 * usual, rounded) + 1e-6):
        raise ValueError(
            f"{paths[k].parent}: {gaps[k]:.2f} mm between {paths[k].name} and "
            f"{paths[k + 1].name}, {usual:.2f} mm elsewhere: slices are missing or "
            "unevenly spaced. Export the complete series"
        )
    off = np.abs(along - along[0] - mean * np.arange(len(along)))
    if off.max() > max(0.1 * mean, rounded) + 1e-6:
        raise ValueError(
            f"{paths[int(off.argmax())]}: lies {off.max():.2f} mm off evenly spaced slices "
            f"of {mean:.3f} mm: the distance of slices changes along the series. Export "
            "one reconstruction"
        )
    beside = positions - positions[0] - np.outer(along - along[0], normal)
    shift = np.linalg.norm(beside, axis=1)
    angle = math.degrees(math.atan2(shift[-1], along[-1] - along[0]))
    if angle > MAX_TILT:
        raise ValueError(
            f"{paths[0].parent}: slices are stacked {angle:.1f} degrees off their normal "
            "(gantry tilt, sheared volume); resample it to an untilted axial grid"
        )
    if shift.max() > pixel / 2:
        raise ValueError(
            f"{paths[int(shift.argmax())]}: lies {shift.max():.2f} mm beside the other "
            "slices of the series; export the series again"
        )
    if thickness is not None and abs(thickness - mean) > 0.01 * mean:
        logger.warning(
            "%s: slices lie %.3f mm apart but are called %.3f mm thick; the first counts",
            *(paths[0].parent, mean, thickness),
        )
    return mean
