"""NRRD headers: .nrrd and .nhdr. teem.sourceforge.net/nrrd/format."""

import logging
import math
import re
from pathlib import Path

import numpy as np

from tqgd_jax.io.headers.claim import (
    RESAVE,
    Claim,
    add,
    beside,
    lines,
    numbers,
    required,
    unit,
)

logger = logging.getLogger("tqgd_jax")

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
# Of a field: Teem writes a longer one over the end of its stack.
MAX_LINE = 1000


def nrrd(path: Path) -> Claim:
    """Of a .nrrd or .nhdr file. ValueError names the file and the field."""
    fields, start = {}, 0
    for line, end in lines(path):
        if end < 16 and not fields:
            if not re.fullmatch(r"NRRD000[1-5]", line):
                raise ValueError(f"{path}: not NRRD, it begins with {line[:8]!r}")
            continue
        if not line:
            start = end
            break
        if len(line) > MAX_LINE:
            raise ValueError(
                f"{path}: NRRD header line {line[:40]!r} has {len(line)} letters, at "
                f"most {MAX_LINE} are read; {RESAVE}"
            )
        name, colon, value = line.partition(":")
        if not line.startswith("#") and not value.startswith("="):
            if not colon:
                raise ValueError(f"{path}: NRRD header line {line[:40]!r} has no colon")
            add(path, fields, name.strip().lower().replace(" ", ""), value.strip())
    rank = numbers(path, fields, "dimension", int)
    size = numbers(path, fields, "sizes", int)
    if rank != (len(size),):
        raise ValueError(f"{path}: dimension {rank} but {len(size)} sizes; {RESAVE}")
    field = "spaceunits" if "spacedirections" in fields else "units"
    texts = re.findall(r'"[^"]*"', fields.get(field, ""))
    mm = unit(path, "space units", *(texts or [fields.get(field, "")]))
    spacing = tuple(mm * s for s in _nrrd_spacing(path, fields))
    if len(spacing) != len(size) and len(size) == 3:
        raise ValueError(f"{path}: 3 sizes but {len(spacing)} spacings; {RESAVE}")
    if fields.get("space", "").lower() not in SPACES:
        logger.warning("%s: no patient orientation in the header; LPS is assumed", path)
    element = required(path, fields, "type").lower()
    dtype = next((t for t, names in NRRD.items() if element in names.split(", ")), None)
    if dtype is None:
        raise ValueError(f"{path}: type {element!r} is not read; save it as short")
    encoding = required(path, fields, "encoding").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise ValueError(
            f"{path}: encoding {encoding!r}; only raw and gzip are read; {RESAVE}"
        )
    if old := fields.get("oldmin") or fields.get("oldmax"):
        raise ValueError(
            f"{path}: old min or old max is {old}: its values were quantized, so they are "
            "no HU; take the original scan"
        )
    for field in ("lineskip", "byteskip"):
        if fields.get(field, "0") != "0":
            raise ValueError(
                f"{path}: {field} {fields[field]}; only 0 is read; {RESAVE}"
            )
    name = fields.get("datafile")
    if name is None and (path.name.lower().endswith(".nhdr") or not start):
        raise ValueError(f"{path}: neither a data file nor pixels; {RESAVE}")
    endian = required(path, fields, "endian", "little" * (dtype[1] == "1")).lower()
    if endian not in ("little", "big"):
        raise ValueError(f"{path}: endian {endian!r} is little or big; {RESAVE}")
    kind = np.dtype((">" if endian == "big" else "<") + dtype)
    compressed = encoding != "raw"
    if name is None:
        return Claim(size, spacing, kind, path, start, compressed, mm=mm)
    payload = beside(path, name)
    return Claim(size, spacing, kind, payload, 0, compressed, named=name, mm=mm)


def _nrrd_spacing(path: Path, fields: dict[str, str]) -> tuple[float, ...]:
    if "spacedirections" not in fields:
        return numbers(path, fields, "spacings", float)
    vectors = re.findall(r"\(([^()]*)\)", fields["spacedirections"])
    parts = [{"space directions": vector.replace(",", " ")} for vector in vectors]
    return tuple(
        math.hypot(*numbers(path, part, "space directions", float)) for part in parts
    )
