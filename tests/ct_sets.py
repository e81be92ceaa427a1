"""Tiny CT cohorts on disk, in orCaScore's layout. Every voxel is chosen by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tqgd_jax.config import Config, Crop, Data

SPACING = (3.0, 0.5, 0.5)  # z, y, x in mm
Deposit = tuple[
    tuple[int, int, int, int, int, int], int, int
]  # z0 z1 y0 y1 x0 x1, HU, label


def write(
    path: Path, array: np.ndarray, spacing: tuple[float, float, float] = SPACING
) -> Path:
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def scan(
    deposits: Sequence[Deposit],
    shape: tuple[int, int, int] = (6, 40, 48),
    value: int = 40,
) -> tuple[np.ndarray, np.ndarray]:
    """Soft tissue of `value` HU with boxes of calcium, and their mask."""
    hu = np.full(shape, value, np.int16)
    hu[0, 0, 0] = -1024  # so that an upside-down reading shows
    mask = np.zeros(shape, np.uint8)
    for (z0, z1, y0, y1, x0, x1), level, label in deposits:
        hu[z0:z1, y0:y1, x0:x1] = level
        mask[z0:z1, y0:y1, x0:x1] = label
    return hu, mask


LAD: Deposit = ((1, 3, 10, 14, 20, 25), 300, 1)
RCA: Deposit = ((4, 5, 30, 31, 5, 7), 140, 3)


def patient(root: Path, name: str, deposits: Sequence[Deposit], **kind: int) -> None:
    hu, mask = scan(deposits, **kind)  # type: ignore[arg-type]
    folder = root / "Training Set"
    write(folder / "Images" / f"{name}CTI.mhd", hu)
    write(folder / "Reference standard" / f"{name}R.mhd", mask)


def orcascore(root: Path, patients: int = 5) -> Path:
    """Patients TRV1P1.. with both deposits, the last one with none."""
    for k in range(patients):
        deposits = [LAD, RCA] if k < patients - 1 else []
        patient(root, f"TRV{1 + k % 2}P{1 + k}", deposits, value=40 + k)
    return root


def config(root: Path, method: str = "none", **data: object) -> Config:
    """Prepared sets go beside the folder."""
    prepared = str(root.parent / "cache")
    crop = Crop(method=method, margin_mm=1.0)
    return Config(data=Data(dir=str(root), prepared_dir=prepared, crop=crop, **data))  # type: ignore[arg-type]
