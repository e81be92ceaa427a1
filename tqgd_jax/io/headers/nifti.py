"""NIfTI-1 headers: .nii and .nii.gz. nifti1.h."""

import gzip
import logging
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from tqgd_jax.io.headers.claim import MAX_HEADER, RESAVE, UNITS, Claim

logger = logging.getLogger("tqgd_jax")

NIFTI = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
NIFTI |= {1024: "i8", 1280: "u8"}
UNITS_OF_NIFTI = {0: "mm", 1: "m", 2: "mm", 3: "um"}


def nifti(path: Path) -> Claim:
    """Of a .nii or .nii.gz file. ValueError names the file and the field."""
    compressed = path.name.lower().endswith(".nii.gz")
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            head = file.read(352)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: not gzip, or damaged: {error}. Copy it again"
        ) from error
    if len(head) < 352:
        raise ValueError(
            f"{path}: {len(head)} bytes, a NIfTI header has 352; copy it again"
        )
    order = next((o for o in "<>" if struct.unpack_from(o + "i", head)[0] == 348), "")
    if not order or head[344:348] != b"n+1\0":
        raise ValueError(
            f"{path}: not a NIfTI-1 file in one piece (it begins with {head[:4]!r}); "
            f"NIfTI-2 and pairs of .hdr and .img are not read; {RESAVE}"
        )
    rank, *dims = struct.unpack_from(order + "8h", head, 40)
    (code,) = struct.unpack_from(order + "h", head, 70)
    spacing = struct.unpack_from(order + "3f", head, 80)
    offset, slope, intercept = struct.unpack_from(order + "3f", head, 108)
    if not 1 <= rank <= 7:
        raise ValueError(f"{path}: {rank} dimensions; a scan is 3-D")
    if code not in NIFTI:
        raise ValueError(f"{path}: NIfTI data type {code} is not read; use 4 (int16)")
    if not (352 <= offset <= MAX_HEADER and offset == int(offset)):
        raise ValueError(f"{path}: pixels at byte {offset}, not 352; {RESAVE}")
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise ValueError(
            f"{path}: scl_slope {slope}, scl_inter {intercept}: no numbers; {RESAVE}"
        )
    _check_affine(path, head, order, spacing)
    if struct.unpack_from(order + "2h", head, 252) == (0, 0):
        logger.warning(
            "%s: neither qform nor sform: left and right, head and feet are guesses",
            path,
        )
    size, dtype, start = tuple(dims[:rank]), np.dtype(order + NIFTI[code]), int(offset)
    unit = head[123] & 7  # nifti1.h: the rest is the unit of time
    if unit not in UNITS_OF_NIFTI:
        raise ValueError(
            f"{path}: xyzt_units {head[123]} is no unit of length; use 2 (mm)"
        )
    mm = UNITS[UNITS_OF_NIFTI[unit]]  # SimpleITK converts them itself
    claim = Claim(size, tuple(mm * s for s in spacing), dtype, path, start, compressed)
    if slope != 0:  # nifti1.h: with a slope of 0 the intercept is not used
        claim = claim._replace(scale=(slope, intercept))
    return claim._replace(offset=0, skip=start) if compressed else claim


def _check_affine(
    path: Path, head: bytes, order: str, spacing: tuple[float, ...]
) -> None:
    """The affine (sform), where there is one, has the spacing of pixdim."""
    (code,) = struct.unpack_from(order + "h", head, 254)
    if code <= 0 or min(spacing) <= 0:
        return
    rows = np.array(struct.unpack_from(order + "12f", head, 280)).reshape(3, 4)
    steps = np.linalg.norm(rows[:, :3], axis=0)
    if not np.allclose(steps, spacing, rtol=0.01, atol=0):
        raise ValueError(
            f"{path}: two spacings: {spacing} mm (pixdim) and {tuple(steps.tolist())} mm "
            "(sform); correct the one that is wrong"
        )
