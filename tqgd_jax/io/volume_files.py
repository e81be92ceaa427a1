"""MetaImage, NRRD and NIfTI files: pixels as their header claims them, and their place.

`headers` says what a header claims. Here the claim is held against the limits and
the payload, and NumPy reads the pixels, so nothing else is ever read as pixels. SimpleITK
reads the place from the header alone; where it finds another size or spacing, the header
is ambiguous.
"""

import contextlib
import math
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int16, Shaped, UInt8

from tqgd_jax.io.headers.claim import RESAVE, Claim
from tqgd_jax.io.headers.meta import meta
from tqgd_jax.io.headers.nifti import nifti
from tqgd_jax.io.headers.nrrd import nrrd

if TYPE_CHECKING:
    import SimpleITK as sitk

IMAGE_IO = {
    ".mhd": "MetaImageIO",
    ".mha": "MetaImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
}
MAX_VOXELS = 2**28  # 512 MiB of int16; a chest CT at 0.5 mm has half of it
MAX_BYTES = 2**30  # of pixels in the file's own type


class Grid(NamedTuple):
    """Where voxels lie, in the order of the file: x fastest.

    `direction` is ITK's: row-major 3x3, its columns the axes in LPS.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]


def suffix(path: Path) -> str:
    """The suffix of a volume file in lower case, "" for any other file."""
    name = path.name.lower()
    return next((s for s in sorted(IMAGE_IO) if name.endswith(s)), "")


def read(path: Path, *, mask: bool = False) -> tuple[Shaped[np.ndarray, "_ _ _"], Grid]:
    """Pixels in the file's own order and type, [z, y, x], and their grid."""
    claim = _claim(path, mask)
    values = _pixels(path, claim)
    with _as_named(path, claim) as header:
        return values, _grid(path, header, claim)


def decoded(reader: "sitk.ImageFileReader", path: Path) -> Shaped[np.ndarray, "_ _ _"]:
    """The pixels of the file whose name the reader has; `path` is for messages."""
    import SimpleITK as sitk

    try:
        return sitk.GetArrayFromImage(reader.Execute())
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"{path}: cannot be decoded: {_reason(error)}") from error


def to_int16(
    values: Shaped[np.ndarray, "z y x"], path: Path
) -> Int16[np.ndarray, "z y x"]:
    """Rounds to whole HU. Raises ValueError when a value is not finite or too large."""
    return _whole(values, path, np.dtype(np.int16))


def to_uint8(
    values: Shaped[np.ndarray, "z y x"], path: Path
) -> UInt8[np.ndarray, "z y x"]:
    """Labels; raises ValueError when one is not a whole number in 0..255."""
    for z, part in enumerate(values):
        if part.dtype.kind == "f" and not (part == np.rint(part)).all():
            raise ValueError(
                f"{path}: slice {z} holds values that are no whole numbers; a mask has "
                "labels. Was it resampled with interpolation? Use nearest neighbour"
            )
    return _whole(values, path, np.dtype(np.uint8))


def _whole(
    values: Shaped[np.ndarray, "z y x"], path: Path, dtype: np.dtype
) -> Shaped[np.ndarray, "z y x"]:
    if values.dtype == dtype:
        return values
    out, limit = np.empty(values.shape, dtype), np.iinfo(dtype)
    for z, part in enumerate(values):  # by slice: a copy in float would be large
        if not np.isfinite(part).all():
            raise ValueError(
                f"{path}: NaN or infinity in slice {z}; replace it, for instance by "
                "-1024 HU, where nothing was measured"
            )
        low, high = np.rint(part.min()), np.rint(part.max())
        if low < limit.min or high > limit.max:
            raise ValueError(
                f"{path}: slice {z} holds {low:g}..{high:g}, but {dtype} holds "
                f"{limit.min}..{limit.max}; HU lie in -1024..3071 and labels in 0..255. "
                "Was a rescale slope or intercept lost?"
            )
        out[z] = np.rint(part)
    return out


def _reason(error: BaseException) -> str:
    """The last line of what SimpleITK says, or the kind of error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return re.sub(r"\(0x[0-9a-f]+\)", "", lines[-1].removeprefix("ITK ERROR: "))


def _claim(path: Path, mask: bool) -> Claim:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check its name and folder")
    kind = IMAGE_IO.get(suffix(path))
    if kind is None:
        raise ValueError(
            f"{path}: not a volume; there are: {', '.join(IMAGE_IO)} and folders of "
            "DICOM files. Of DICOM give the folder"
        )
    parse = {"MetaImageIO": meta, "NrrdImageIO": nrrd, "NiftiImageIO": nifti}[kind]
    claim = parse(path)
    _check(path, claim, mask)
    return claim


@contextlib.contextmanager
def _as_named(path: Path, claim: Claim) -> Iterator[Path]:
    """A header beside which the payload has the name that it says."""
    if claim.named in ("", claim.payload.name):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder, f"header{suffix(path)}")
        header.symlink_to(path.absolute())
        Path(folder, claim.named).symlink_to(claim.payload.absolute())
        yield header


def _grid(path: Path, header: Path, claim: Claim) -> Grid:
    """Where the voxels lie, mm, as SimpleITK reads the header."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(header))
    reader.SetImageIO(IMAGE_IO[suffix(path)])
    try:
        reader.ReadImageInformation()
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"{path}: header cannot be read: {_reason(error)}") from error
    if reader.GetSize() != claim.size or reader.GetNumberOfComponents() != 1:
        raise ValueError(  # e.g. a field given twice: two parsers, two readings
            f"{path}: ambiguous header: {claim.size} or {reader.GetSize()} voxels; "
            f"{RESAVE}"
        )
    spacing, origin = (
        tuple(claim.mm * v for v in of)
        for of in (reader.GetSpacing(), reader.GetOrigin())
    )
    grid = Grid(reader.GetSize(), spacing, origin, reader.GetDirection())
    numbers = (*grid.spacing, *grid.origin, *grid.direction)
    if not all(map(math.isfinite, numbers)) or min(grid.spacing) <= 0:
        raise ValueError(
            f"{path}: spacing {grid.spacing}, origin {grid.origin}, direction "
            f"{grid.direction} must be finite and the spacing above 0; {RESAVE}"
        )
    if not np.allclose(spacing, claim.spacing, rtol=0.01, atol=0):
        raise ValueError(
            f"{path}: ambiguous header: a spacing of {claim.spacing} or {spacing} mm; "
            f"{RESAVE}"
        )
    return grid


def _check(path: Path, claim: Claim, mask: bool) -> None:
    size = claim.size
    if len(size) != 3:
        hint = "This is one slice" if len(size) < 3 else "Save each frame by itself"
        if len(size) > 3 and max(size[3:]) == 1:
            hint = "Its last axis has one entry: save it without that axis"
        raise ValueError(
            f"{path}: {len(size)}-D image of size {size}; a scan is 3-D. {hint}"
        )
    if min(size) < 1 or math.prod(size) > MAX_VOXELS:
        raise ValueError(
            f"{path}: claims {' x '.join(map(str, size))} voxels; 1 to {MAX_VOXELS} are "
            "read. Crop a larger scan, or replace a damaged file"
        )
    if math.prod(size) * claim.dtype.itemsize > MAX_BYTES:
        raise ValueError(
            f"{path}: {math.prod(size)} voxels of {claim.dtype.name} exceed {MAX_BYTES} "
            "bytes; save it as int16"
        )
    if not all(s > 0 and math.isfinite(s) for s in claim.spacing):
        raise ValueError(
            f"{path}: spacing {claim.spacing} mm must be finite and above 0; take it "
            "from the original scan"
        )
    if claim.dtype.itemsize == 1 and not mask:
        raise ValueError(
            f"{path}: 8-bit image ({claim.dtype.name}); a scan needs HU, at least -1024 to "
            "3071, as int16. Is it a mask, or windowed for display?"
        )
    if claim.dtype.kind in "iu" and claim.dtype.itemsize == 8 and not mask:
        raise ValueError(
            f"{path}: 64-bit image ({claim.dtype.name}), read as a mask only; of a scan, "
            "save it as MET_SHORT, short or int16"
        )


def _pixels(path: Path, claim: Claim) -> Shaped[np.ndarray, "_ _ _"]:
    """What the payload holds, [z, y, x], exactly as much as the header claims."""
    expected = claim.skip + math.prod(claim.size) * claim.dtype.itemsize
    at_hand = claim.payload.stat().st_size - claim.offset
    held, why = at_hand, ""
    content = np.empty(expected, np.uint8)
    with claim.payload.open("rb") as file:
        file.seek(claim.offset)
        if claim.compressed:
            if claim.length is not None and claim.length != at_hand:
                raise ValueError(
                    f"{path}: says {claim.length} compressed bytes, "
                    f"{claim.payload.name} holds {at_hand}; copy it again"
                )
            try:
                held = 0
                for block in inflate(file):
                    start, held = held, held + len(block)
                    if held > expected:  # it may be a bomb
                        break
                    content[start:held] = np.frombuffer(block, np.uint8)
            except (zlib.error, EOFError) as error:
                why = f" ({error})"
        elif held == expected:
            held = file.readinto(content.data)
    if held != expected or why:
        state = "truncated" if held < expected else "oversized"
        if held == expected:
            state = "damaged"
        more = "at least " if claim.compressed and held > expected else ""
        raise ValueError(
            f"{path}: {state} pixels{why}: {claim.payload.name} holds {more}{held} "
            f"bytes, the header claims {expected} for {claim.size} of "
            f"{claim.dtype.name}. Copy it again, or correct the header"
        )
    stored = np.frombuffer(content, claim.dtype, offset=claim.skip)
    values = stored.astype(claim.dtype.newbyteorder("="), copy=False)
    if claim.scale != (1.0, 0.0):
        slope, intercept = claim.scale
        # whole numbers of 16 bits are exact in float32, and a scan is large
        wide = np.float32 if values.itemsize <= 2 else np.float64
        values = values.astype(wide) * wide(slope) + wide(intercept)
    return values.reshape(claim.size[::-1])


def inflate(file: BinaryIO) -> Iterator[bytes]:
    """What zlib or gzip data (all members) inflate to, a few MiB at a time."""
    stream, data = zlib.decompressobj(47), file.read(2**18)
    while data:
        yield stream.decompress(data, 2**22)
        data = stream.unconsumed_tail
        if stream.eof:
            data = (stream.unused_data or file.read(2**18)).lstrip(b"\0")
            if data:
                stream = zlib.decompressobj(47)
        elif not data:
            data = file.read(2**18)
    if not stream.eof:
        raise EOFError("the compressed data end too early")
