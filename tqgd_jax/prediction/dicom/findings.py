"""What DICOM objects say of each lesion and of each of its boxes.

docs/design/0033-dicom-objects.md.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt16

from tqgd_jax.evaluation.calcium.agatston import CalciumScore
from tqgd_jax.evaluation.calcium.boxes import whole_pixels
from tqgd_jax.evaluation.calcium.conventions import convention
from tqgd_jax.evaluation.calcium.score import agatston_by_voxel, marked
from tqgd_jax.evaluation.calcium.scores import Amount
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction.file_grid import boxes_in_file
from tqgd_jax.predictor import Lesions


class Box(NamedTuple):
    """A detection in one slice, and the calcium of its lesion inside it.

    Attributes:
      z: slice of the volume.
      box: (column, row, column, row) of its edges on the file's grid, px.
      score: confidence, 0 to 1.
      voxels: how many are counted.
      area_mm2: of them.
      hu_max, hu_mean: of them, HU; NaN without any.
    """

    z: int
    box: tuple[float, float, float, float]
    score: float
    voxels: int
    area_mm2: float
    hu_max: float
    hu_mean: float


class Lesion(NamedTuple):
    """A lesion in 3-D.

    Attributes:
      number: in the map of lesions, from 1.
      boxes: of its slices, the one with the largest area of calcium first.
      amount: its share of the scan's calcium.
    """

    number: int
    boxes: tuple[Box, ...]
    amount: Amount


class Findings(NamedTuple):
    """All lesions by number, and the Agatston score of each slice of the volume."""

    lesions: tuple[Lesion, ...]
    by_slice: Float[np.ndarray, "z"]


def findings(
    scan: Volume,
    lesions: Lesions,
    lesion_map: UInt16[np.ndarray, "z y x"],
    score: CalciumScore,
) -> Findings:
    """Shares of a score by lesion, box and slice.

    Args:
      scan: what was read.
      lesions: detections; box i is of lesion `lesions.lesion[i]` + 1 of the map.
      lesion_map: number of the lesion at each voxel that counts in the score, else 0.
      score: of these voxels.

    Raises:
      ValueError: map, lesions and score are not of one scan.
    """
    if lesion_map.shape != scan.hu.shape:
        raise ValueError(f"the map is {lesion_map.shape}, the scan {scan.hu.shape}")
    voxels = marked(scan.hu, lesion_map > 0)
    number = lesion_map.ravel()[voxels.flat].astype(int)
    count = int(lesions.lesion.max(initial=-1)) + 1
    if number.max(initial=0) > count:
        raise ValueError(
            f"the map has lesion {number.max()}, of {count} there are boxes"
        )
    points = agatston_by_voxel(voxels, scan.spacing, convention(score.convention))
    volume = np.prod(scan.spacing)
    for name, ours, theirs in (
        ("Agatston score", points.sum(), score.amount.agatston),
        ("volume", len(number) * volume, score.amount.volume_mm3),
    ):
        if not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6):
            raise ValueError(
                f"the map's voxels have a {name} of {ours:g}, the score {theirs:g}; the "
                "map must hold the voxels that count in the score, and no others"
            )
    agatston = np.bincount(number, points, count + 1)
    size = np.bincount(number, minlength=count + 1)
    hu = np.bincount(number, voxels.hu, count + 1)
    mass: list[float | None] = [None] * (count + 1)
    if score.amount.mass_mg is not None:  # is in proportion to the sum of HU
        mass = (score.amount.mass_mg * hu / (hu.sum() or 1)).tolist()
    boxes = [[] for _ in range(count)]
    for lesion, box in zip(
        lesions.lesion.tolist(), _boxes(scan, lesions, lesion_map), strict=True
    ):
        boxes[lesion].append(box)
    return Findings(
        tuple(
            Lesion(
                n,
                tuple(sorted(boxes[n - 1], key=lambda b: (-b.voxels, -b.score, b.z))),
                Amount(float(agatston[n]), float(size[n] * volume), mass[n]),
            )
            for n in range(1, count + 1)
            if boxes[n - 1]
        ),
        np.bincount(voxels.at[:, 0], points, len(scan.hu)),
    )


def _boxes(
    scan: Volume, lesions: Lesions, lesion_map: UInt16[np.ndarray, "z y x"]
) -> list[Box]:
    """In the order of the detections."""
    edges = whole_pixels(lesions.boxes, scan.hu.shape[1:])
    boxes = []
    for z, (x0, y0, x1, y1), lesion, score, place in zip(
        lesions.z.tolist(),
        edges.tolist(),
        lesions.lesion.tolist(),
        lesions.scores.tolist(),
        boxes_in_file(lesions.boxes.astype(float), scan).tolist(),
        strict=True,
    ):
        inside = np.s_[z, y0:y1, x0:x1]
        hu = scan.hu[inside][lesion_map[inside] == lesion + 1]
        area = hu.size * scan.spacing[1] * scan.spacing[2]
        top, mean = (float(hu.max()), float(hu.mean())) if hu.size else (math.nan,) * 2
        boxes.append(Box(z, tuple(place), score, hu.size, area, top, mean))
    return boxes
