"""What the headers of MetaImage, NRRD and NIfTI files claim, and which claims are refused.

A header may claim anything and name any file, so the few fields that decide what is
read, and how much, are parsed here first: size, type, spacing, payload. MetaImage:
itk.org/Wiki/MetaIO; NRRD: teem.sourceforge.net/nrrd/format; NIfTI-1: nifti1.h.
"""

import gzip
import logging
import math
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

logger = logging.getLogger("tqgd_jax")

MAX_HEADER = 2**16  # bytes of header text; real ones have less than 2 kB
MAX_LINE = (
    1000  # of a field of NRRD: Teem writes a longer one over the end of its stack
)
META = {"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4"}
META |= {"UINT": "u4", "FLOAT": "f4", "DOUBLE": "f8"}
META |= {"LONG_LONG": "i8", "ULONG_LONG": "u8"}
NIFTI = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
NIFTI |= {1024: "i8", 1280: "u8"}
NRRD = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, "
    "signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
SPACES = ("left-posterior-superior", "lps", "right-anterior-superior", "ras")
SPACES += ("left-anterior-superior", "las")  # NRRD's, as far as ITK knows them
RESAVE = "save it again with 3D Slicer or SimpleITK"


class Claim(NamedTuple):
    """What the header says about the pixels, and where they are."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    dtype: np.dtype
    payload: Path
    offset: int
    compressed: bool
    length: int | None = None  # of the compressed payload, where the header says it
    skip: int = 0  # inflated bytes before the pixels
    named: str = ""  # what the header calls the payload, where it is another file


def _beside(path: Path, name: str) -> Path:
    """The payload `name` in the folder of its header.

    A file renamed together with its header, to lower case say, is found all the same.
    """
    payload = path.parent / name
    wrong = name in ("", ".", "..") or len(name) > 200  # file systems end at 255
    if wrong or re.search(r"[/\\%\0]|^LIST\b", name):
        raise ValueError(
            f"{path}: pixels in {name[:200]!r}; only one file in the same folder is "
            f"read, no path, list or pattern. Put it beside the header, or {RESAVE}"
        )
    if not payload.is_file():
        others = [f for f in path.parent.iterdir() if f.name.lower() == name.lower()]
        if len(others) != 1 or not others[0].is_file():
            raise ValueError(
                f"{path}: pixels in {name!r}, and there is no such file"
                + (f" but {sorted(f.name for f in others)}" if others else "")
                + "; copy it there"
            )
        payload = others[0]
    if payload.resolve().parent != path.parent.resolve():
        raise ValueError(
            f"{path}: {payload.name!r} is a link to {payload.resolve()}, outside the "
            "header's folder; copy the file there"
        )
    return payload


def _numbers(
    path: Path, fields: dict[str, str], field: str, kind: type, given: str = ""
) -> tuple:
    text = _field(path, fields, field, given)
    try:
        return tuple(kind(part) for part in text.split())
    except ValueError as error:
        raise ValueError(
            f"{path}: {field} = {text!r} are no numbers; {RESAVE}"
        ) from error


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Header lines and where each ends; stops at MAX_HEADER bytes."""
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    end = 0
    while end < len(head):
        start, end = end, head.find(b"\n", end) + 1
        if end == 0:
            end = len(head)
        yield head[start:end].decode("latin-1").rstrip("\r\n"), end


def _field(path: Path, fields: dict[str, str], name: str, given: str = "") -> str:
    if name not in fields and not given:
        raise ValueError(f"{path}: header has no {name!r}; {RESAVE}")
    return fields.get(name, given)


def _add(path: Path, fields: dict[str, str], name: str, value: str) -> None:
    if name in fields:
        raise ValueError(f"{path}: header has {name!r} twice; {RESAVE}")
    fields[name] = value


def meta(path: Path) -> Claim:
    """Of a .mhd or .mha file. ValueError names the file and the field."""
    fields, start = {}, 0
    for line, end in _lines(path):
        name, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise ValueError(
                f"{path}: not a MetaImage header: {line[:40]!r} is no 'name = value'"
            )
        if equals:
            _add(path, fields, name.strip(), value.strip())
        if name.strip() == "ElementDataFile":
            start = end
            break
    name = _field(path, fields, "ElementDataFile")
    rank = _numbers(path, fields, "NDims", int)
    size = _numbers(path, fields, "DimSize", int)
    spacing = _numbers(path, fields, "ElementSpacing", float)
    if len(size) != len(spacing) or rank != (len(size),):
        raise ValueError(
            f"{path}: NDims = {fields['NDims']}, but DimSize has {len(size)} and "
            f"ElementSpacing {len(spacing)} numbers; {RESAVE}"
        )
    for field, only in (
        ("ElementNumberOfChannels", "1"),
        ("HeaderSize", "0"),
        ("BinaryData", "True"),
    ):
        if fields.get(field, only).lower() != only.lower():
            raise ValueError(
                f"{path}: {field} = {fields[field]}; only {only} is read; {RESAVE}"
            )
    _check_place(path, fields)
    element = _field(path, fields, "ElementType")
    if element.removeprefix("MET_") not in META:
        raise ValueError(
            f"{path}: ElementType = {element} is not read; save it as MET_SHORT"
        )
    inside = name in ("LOCAL", "Local", "local")
    compressed = fields.get("CompressedData", "False").lower() in ("true", "1")
    length = None
    if compressed and "CompressedDataSize" in fields:
        (length,) = _numbers(path, fields, "CompressedDataSize", int)[:1] or (0,)
    dtype = np.dtype(META[element.removeprefix("MET_")])
    if inside:
        return Claim(size, spacing, dtype, path, start, compressed, length)
    payload = _beside(path, name)
    return Claim(size, spacing, dtype, payload, 0, compressed, length, named=name)


def _check_place(path: Path, fields: dict[str, str]) -> None:
    """MetaIO reads an origin that is no number as 0, silently."""
    for name in ("Offset", "Position", "Origin"):
        origin = _numbers(path, fields, name, float, "0 0 0")
        if len(origin) != 3 or not all(map(math.isfinite, origin)):
            raise ValueError(
                f"{path}: {name} = {fields[name]} must be 3 finite numbers; {RESAVE}"
            )
    for name in ("TransformMatrix", "Rotation", "Orientation"):
        rows = _numbers(path, fields, name, float, "1 0 0 0 1 0 0 0 1")
        sound = len(rows) == 9 and max(map(abs, rows)) < 2
        matrix = np.array(rows).reshape(3, 3) if sound else np.zeros((3, 3))
        if not np.allclose(matrix @ matrix.T, np.eye(3), rtol=0, atol=1e-3):
            raise ValueError(
                f"{path}: {name} = {fields[name]} is no rotation: 9 numbers, in rows of "
                f"length 1 at right angles; {RESAVE}"
            )


def nrrd(path: Path) -> Claim:
    """Of a .nrrd or .nhdr file. ValueError names the file and the field."""
    fields, start = {}, 0
    for line, end in _lines(path):
        if end < 16 and not fields:
            if not re.fullmatch(r"NRRD000[1-5]", line):
                raise ValueError(f"{path}: not NRRD, it begins with {line[:8]!r}")
            continue
        if not line:
            start = end
            break
        name, colon, value = line.partition(":")
        if not line.startswith("#") and not value.startswith("="):
            if not colon:
                raise ValueError(f"{path}: NRRD header line {line[:40]!r} has no colon")
            if len(line) > MAX_LINE:
                raise ValueError(
                    f"{path}: NRRD header line {line[:40]!r} has {len(line)} letters, "
                    f"at most {MAX_LINE} are read; {RESAVE}"
                )
            _add(path, fields, name.strip().lower().replace(" ", ""), value.strip())
    rank = _numbers(path, fields, "dimension", int)
    size = _numbers(path, fields, "sizes", int)
    if rank != (len(size),):
        raise ValueError(f"{path}: dimension {rank} but {len(size)} sizes; {RESAVE}")
    spacing = _nrrd_spacing(path, fields)
    if len(spacing) != len(size) and len(size) == 3:
        raise ValueError(f"{path}: 3 sizes but {len(spacing)} spacings; {RESAVE}")
    if fields.get("space", "").lower() not in SPACES:
        logger.warning("%s: no patient orientation in the header; LPS is assumed", path)
    element = _field(path, fields, "type").lower()
    dtype = next((t for t, names in NRRD.items() if element in names.split(", ")), None)
    if dtype is None:
        raise ValueError(f"{path}: type {element!r} is not read; save it as short")
    encoding = _field(path, fields, "encoding").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise ValueError(
            f"{path}: encoding {encoding!r}; only raw and gzip are read; {RESAVE}"
        )
    for field in ("lineskip", "byteskip"):
        if fields.get(field, "0") != "0":
            raise ValueError(
                f"{path}: {field} {fields[field]}; only 0 is read; {RESAVE}"
            )
    name = fields.get("datafile")
    if name is None and (path.name.lower().endswith(".nhdr") or not start):
        raise ValueError(f"{path}: neither a data file nor pixels; {RESAVE}")
    compressed, kind = encoding != "raw", np.dtype(dtype)
    if name is None:
        return Claim(size, spacing, kind, path, start, compressed)
    payload = _beside(path, name)
    return Claim(size, spacing, kind, payload, 0, compressed, named=name)


def _nrrd_spacing(path: Path, fields: dict[str, str]) -> tuple[float, ...]:
    if "spacedirections" not in fields:
        return _numbers(path, fields, "spacings", float)
    vectors = re.findall(r"\(([^()]*)\)", fields["spacedirections"])
    parts = [{"space directions": vector.replace(",", " ")} for vector in vectors]
    return tuple(
        math.hypot(*_numbers(path, part, "space directions", float)) for part in parts
    )


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
    size, dtype, start = tuple(dims[:rank]), np.dtype(NIFTI[code]), int(offset)
    if compressed:
        return Claim(size, spacing, dtype, path, 0, True, skip=start)
    return Claim(size, spacing, dtype, path, start, False)


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
