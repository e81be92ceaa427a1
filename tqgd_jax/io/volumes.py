"""Scans: one array of HU and where it lies, whatever format the file has.

Formats live in `volume_files` (MetaImage, NRRD, NIfTI) and `dicom`. Here all come to
one orientation: x grows to the patient's left, y to the back, z to the head, so row 0
is anterior, column 0 the patient's right, slice 0 the most caudal. Axes are swapped
and flipped, never resampled.
"""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Shaped, UInt8

from tqgd_jax.io import volume_files
from tqgd_jax.io.dicom import series as dicom
from tqgd_jax.io.dicom.series import dicom_folders
from tqgd_jax.io.volume_files import MAX_VOXELS, Grid

__all__ = ["MAX_VOXELS", "Volume", "dicom_folders", "in_file", "is_volume"]
__all__ += ["read_mask", "read_volume"]

logger = logging.getLogger("tqgd_jax")

# mm: what scanners and reconstructions of people have
IN_PLANE, MOST_BETWEEN = (0.1, 10.0), 20.0
MAX_SKEW = 1e-3  # of a direction cosine: 0.06 degrees, 0.2 mm over a heart


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan in LPS display orientation.

    Attributes:
      hu: Hounsfield units; row 0 anterior, column 0 the patient's right, slice 0 caudal.
      spacing: (dz, dy, dx) in mm, centre to centre.
      origin: (x, y, z) in mm, LPS, of the centre of voxel [0, 0, 0].
      ids: what the file says of "patient", "study", "series", "modality",
        "manufacturer", "description", "kvp", "kernel" and "contrast"; "" where it says
        nothing.
      sop: SOPInstanceUID of each slice, for DICOM in axial slices; else empty.
      thickness: mm, what the header calls slice thickness.
      swapped: whether columns of the file's slices are rows of `hu`.
      flipped: whether rows and columns of `hu` run the other way in the file.
      grid: where the file's own voxels lie; None for an array that no file holds.
    """

    hu: Int16[np.ndarray, "z y x"]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    ids: dict[str, str]
    sop: tuple[str, ...] = ()
    thickness: float | None = None
    swapped: bool = False
    flipped: tuple[bool, bool] = (False, False)
    grid: Grid | None = None

    @property
    def axial(self) -> bool:
        """Whether slices of the file are slices of `hu`."""
        return self.grid is None or _axes(Path(), self.grid)[0][2] == 2


def in_file(
    values: Shaped[np.ndarray, "z y x"], scan: Volume
) -> Shaped[np.ndarray, "_ _ _"]:
    """Values on the voxels of `scan` in the order of its file, [k, j, i].

    Undoes the swaps and flips of reading. DICOM slices are in the order of their
    positions along the normal, as in `scan.grid`.
    """
    if scan.grid is None:
        return values
    axes, signs = _axes(Path(), scan.grid)
    flipped = values[:: signs[2], :: signs[1], :: signs[0]]
    back = np.argsort([2 - axes[p] for p in (2, 1, 0)])
    return np.ascontiguousarray(flipped.transpose(back))


def is_volume(path: Path) -> bool:
    """Whether the suffix is that of a volume file: .mhd .mha .nrrd .nhdr .nii .nii.gz."""
    return volume_files.suffix(path) != ""


def read_volume(path: str | Path, *, series: str = "") -> Volume:
    """Reads a volume file, or one series of a folder of DICOM files.

    Args:
      path: file or folder; of several series in a folder, `series` chooses.
      series: SeriesInstanceUID or the unique beginning of one.

    Raises:
      ValueError: naming the file, what it holds, what is read and the way out.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        stack = dicom.find(path, series)
        values, grid = dicom.decode(stack), stack.grid
        ids, thickness, sop = stack.ids, stack.thickness, stack.sop
    else:
        if series:
            raise ValueError(f"{path}: series={series!r} is for folders of DICOM files")
        values, grid = volume_files.read(path)
        ids, thickness, sop = dict.fromkeys(dicom.IDS, ""), None, ()
    axes, signs = _axes(path, grid)
    hu = volume_files.to_int16(_turn(values, axes, signs), path)
    if axes[2] != 2:  # slices of the file are no slices of the volume
        sop = ()
    elif signs[2] < 0:
        sop = sop[::-1]
    if hu.min() >= 0:
        logger.warning("%s: no voxel below 0, and air has -1000: is this HU?", path)
    spacing, origin = _place(grid, axes, signs)
    if doubt := doubtful(spacing):
        logger.warning("%s: %s", path, doubt)
    return Volume(
        hu,
        spacing,
        origin,
        ids,
        sop,
        thickness,
        swapped=axes[0] == 1,
        flipped=(signs[1] < 0, signs[0] < 0),
        grid=grid,
    )


def doubtful(spacing: tuple[float, float, float]) -> str:
    """What is doubtful in a spacing (z, y, x) in mm, and the way out; or nothing."""
    low, high = IN_PLANE
    z, y, x = spacing
    if min(y, x) >= low and max(y, x) <= high and z <= MOST_BETWEEN:
        return ""
    return (
        f"slices {z:g} mm apart, pixels of {y:g} x {x:g} mm: of people they are at most "
        f"{MOST_BETWEEN:g} mm and {low:g} to {high:g} mm; areas and scores go by them. "
        "Was another unit meant, or the spacing lost? Correct it in the file"
    )


def read_mask(path: Path, like: Volume) -> UInt8[np.ndarray, "z y x"]:
    """Labels on the voxel grid of `like`.

    Raises ValueError, also when size, spacing (by 1 %) or origin (by half a voxel)
    differ, with both sets of numbers.
    """
    values, grid = volume_files.read(path, mask=True)
    axes, signs = _axes(path, grid)
    values = _turn(values, axes, signs)
    spacing, origin = _place(grid, axes, signs)
    apart = np.abs(np.subtract(origin, like.origin))
    if not (
        values.shape == like.hu.shape
        and np.allclose(spacing, like.spacing, rtol=0.01, atol=0)
        and (apart <= np.array(like.spacing[::-1]) / 2).all()
    ):
        mask = _text(values.shape, spacing, origin)
        scan = _text(like.hu.shape, like.spacing, like.origin)
        raise ValueError(
            f"{path}: the mask is {mask}; its scan is {scan}. They must be one grid: "
            "take the mask of this scan, or resample it (nearest neighbour)"
        )
    return volume_files.to_uint8(values, path)


def _text(shape: tuple, spacing: tuple, origin: tuple) -> str:
    mm = " x ".join(f"{s:.4g}" for s in spacing)
    at = ", ".join(f"{o:.2f}" for o in origin)
    return f"{' x '.join(map(str, shape))} voxels of {mm} mm (z, y, x) at ({at}) mm LPS"


def _axes(path: Path, grid: Grid) -> tuple[list[int], list[int]]:
    """For x, y and z of the patient: which axis of the file it is, and its sign."""
    direction = np.array(grid.direction).reshape(3, 3)
    axes = np.abs(direction).argmax(axis=1)
    signs = np.sign(direction[range(3), axes])
    plain = np.zeros((3, 3))
    plain[range(3), axes] = signs
    if sorted(axes) != [0, 1, 2] or np.abs(direction - plain).max() > MAX_SKEW:
        cosine = min(1.0, np.abs(direction).max(axis=0).min())
        raise ValueError(
            f"{path}: oblique: its axes lie up to {math.degrees(math.acos(cosine)):.1f} "
            "degrees off the patient's. Boxes and scores need axial slices: resample "
            "the scan to an axial grid first, or take the axial reconstruction"
        )
    return [int(a) for a in axes], [int(s) for s in signs]


def _turn(
    values: Shaped[np.ndarray, "_ _ _"], axes: list[int], signs: list[int]
) -> Shaped[np.ndarray, "_ _ _"]:
    """[k, j, i] of the file to [z, y, x] of the patient."""
    turned = values.transpose([2 - axes[p] for p in (2, 1, 0)])
    return np.ascontiguousarray(turned[:: signs[2], :: signs[1], :: signs[0]])


def _place(
    grid: Grid, axes: list[int], signs: list[int]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Spacing (z, y, x) and origin (x, y, z) once the axes are the patient's, mm."""
    x, y, z = (float(grid.spacing[a]) for a in axes)
    # A flipped axis begins at its far end.
    x0, y0, z0 = (
        float(o) - (grid.size[a] - 1) * grid.spacing[a] * (sign < 0)
        for o, a, sign in zip(grid.origin, axes, signs, strict=True)
    )
    return (z, y, x), (x0, y0, z0)
