"""Scans with known calcium, and the objects made of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import Dataset, dcmread

from tests.prediction.dicom.ct_files import ct_series
from tqgd_jax.evaluation.calcium.agatston import CalciumScore, agatston
from tqgd_jax.io.volumes import Volume, read_volume
from tqgd_jax.prediction.dicom.series import Algorithm
from tqgd_jax.prediction.dicom.source import source_files
from tqgd_jax.prediction.dicom.write import write
from tqgd_jax.predictor import Lesions

ALGORITHM = Algorithm("TQGDNet-n", "0.1.0", "a" * 64)
SHAPE = (6, 24, 20)
# Rows and columns of the file: to the patient's left and back; turned by 180 degrees;
# mirrored, so that slices run to the feet; down first; up first.
ACROSS = [
    (1, 0, 0, 0, 1, 0),
    (-1, 0, 0, 0, -1, 0),
    (-1, 0, 0, 0, 1, 0),
    (0, 1, 0, 1, 0, 0),
    (0, -1, 0, 1, 0, 0),
]
# Of the file whose grid is turned by nothing: slice, x0, y0, x1, y1, lesion, score.
BOXES = [
    (0, 1.0, 1.0, 4.0, 4.0, 2, 0.93),  # holds no calcium
    (2, 5.5, 4.25, 9.75, 9.5, 0, 0.5),
    (3, 5.0, 5.0, 10.0, 9.0, 0, 0.75),
    (4, 11.0, 14.0, 18.0, 19.0, 1, 1.0),
]


class Case(NamedTuple):
    """A scan, and what was found in it."""

    files: dict[str, Path]
    scan: Volume
    lesions: Lesions
    map: np.ndarray
    score: CalciumScore


def lesions_of(rows: list[tuple]) -> Lesions:
    z, x0, y0, x1, y1, lesion, score = np.array(rows, float).reshape(-1, 7).T
    return Lesions(
        z.astype(int),
        np.stack([x0, y0, x1, y1], axis=1),
        score.astype(np.float32),  # as detectors give it
        np.zeros(len(z), int),
        lesion.astype(int),
        np.zeros((SHAPE[0], 4), int),
    )


def case(folder: Path, across=ACROSS[0], rows=BOXES, **tags) -> Case:
    """Two lesions of 24 and 15 voxels in the file of this orientation."""
    hu = np.random.default_rng(0).integers(-100, 120, SHAPE).astype(np.int16)
    hu[2:4, 5:9, 6:9] = 350
    hu[4, 15:18, 12:17] = 600
    ct_series(folder, hu, across, **tags)
    scan = read_volume(folder)
    if across != ACROSS[0]:  # boxes around the calcium, where reading has put it
        rows = []
        for lesion, value in enumerate((350, 600)):
            for z in np.flatnonzero((scan.hu == value).any(axis=(1, 2))):
                y, x = np.nonzero(scan.hu[z] == value)
                box = (x.min(), y.min() - 0.25, x.max() + 1.5, y.max() + 1)
                rows.append((z, *box, lesion, 0.5))
    lesions = lesions_of(rows)
    lesion_map = np.zeros(scan.hu.shape, np.uint16)
    if rows:
        lesion_map[scan.hu == 350], lesion_map[scan.hu == 600] = 1, 2
    return Case(
        source_files(folder), scan, lesions, lesion_map, agatston(scan, lesions)
    )


def written(out: Path, of: Case, **more) -> dict[str, Dataset]:
    paths = write(
        out, of.files, of.scan, of.lesions, of.map, of.score, ALGORITHM, **more
    )
    assert sorted(paths) == sorted(out.iterdir())
    return {path.stem: dcmread(path) for path in paths}
