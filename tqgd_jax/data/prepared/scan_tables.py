"""What was found in CT scans as csv: `slices.csv` and `lesions.csv` of a prepared set.

Boxes are in px of the whole slice, x1 and y1 exclusive; `crop_*` is the part of the
slice that is stored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqgd_jax.io.tables import write_table
from tqgd_jax.structures.dataset_index import Sample

SLICES = (
    *("image", "patient", "scan", "scanner", "z", "dz_mm", "dy_mm", "dx_mm"),
    *("crop_x0", "crop_y0", "crop_x1", "crop_y1", "boxes"),
)
LESIONS = (
    *("image", "patient", "scan", "z", "class", "x0", "y0", "x1", "y1"),
    *("artery", "lesion", "hu_max", "area_px", "area_mm2"),
)


def write(folder: Path, samples: Sequence[Sample], classes: Sequence[str]) -> None:
    """One line for each slice, and one for each box."""
    slices: list[list[Any]] = []
    lesions: list[list[Any]] = []
    for sample in samples:
        info = sample.slice
        assert info is not None
        head = [sample.name, sample.patient, info.scan]
        where = [info.scanner, info.z, *info.spacing, *info.crop]
        slices.append([*head, *where, len(sample.labels)])
        x, y = info.crop[:2]
        for (x0, y0, x1, y1), label, lesion in zip(
            sample.boxes.tolist(), sample.labels.tolist(), sample.lesions, strict=True
        ):
            box = [x0 + x, y0 + y, x1 + x, y1 + y]
            lesions.append([*head, info.z, classes[label], *box, *lesion])
    write_table(folder / "slices.csv", SLICES, slices)
    write_table(folder / "lesions.csv", LESIONS, lesions)
