"""MetaImage headers: .mhd and .mha. itk.org/Wiki/MetaIO."""

import math
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

META = {"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4"}
META |= {"UINT": "u4", "FLOAT": "f4", "DOUBLE": "f8"}
META |= {"LONG_LONG": "i8", "ULONG_LONG": "u8"}


def meta(path: Path) -> Claim:
    """Of a .mhd or .mha file. ValueError names the file and the field."""
    fields, start = {}, 0
    for line, end in lines(path):
        name, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise ValueError(
                f"{path}: not a MetaImage header: {line[:40]!r} is no 'name = value'"
            )
        if equals:
            add(path, fields, name.strip(), value.strip())
        if name.strip() == "ElementDataFile":
            start = end
            break
    name = required(path, fields, "ElementDataFile")
    rank = numbers(path, fields, "NDims", int)
    size = numbers(path, fields, "DimSize", int)
    spacing = numbers(path, fields, "ElementSpacing", float)
    if len(size) != len(spacing) or rank != (len(size),):
        raise ValueError(
            f"{path}: NDims = {fields['NDims']}, but DimSize has {len(size)} and "
            f"ElementSpacing {len(spacing)} numbers; {RESAVE}"
        )
    for field, only in (
        ("ElementNumberOfChannels", "1"),
        ("HeaderSize", "0"),
        ("BinaryData", "True"),
        # MetaIO's own readers leave these two out
        ("ElementToIntensityFunctionSlope", "1"),
        ("ElementToIntensityFunctionOffset", "0"),
    ):
        if fields.get(field, only).lower() not in (only.lower(), f"{only}.0"):
            raise ValueError(
                f"{path}: {field} = {fields[field]}; only {only} is read; {RESAVE}"
            )
    _check_place(path, fields)
    mm = unit(path, "DistanceUnits", fields.get("DistanceUnits", "mm"))
    spacing = tuple(mm * s for s in spacing)
    orders = {
        fields[name].lower()[:1] in ("t", "1")
        for name in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
        if name in fields
    }
    if len(orders) > 1:
        raise ValueError(
            f"{path}: BinaryDataByteOrderMSB and ElementByteOrderMSB say two orders of "
            f"bytes; {RESAVE}"
        )
    element = required(path, fields, "ElementType")
    if element.removeprefix("MET_") not in META:
        raise ValueError(
            f"{path}: ElementType = {element} is not read; save it as MET_SHORT"
        )
    inside = name in ("LOCAL", "Local", "local")
    compressed = fields.get("CompressedData", "False").lower()[:1] in ("t", "1")
    length = None
    if compressed and "CompressedDataSize" in fields:
        (length,) = numbers(path, fields, "CompressedDataSize", int)[:1] or (0,)
    order = ">" if True in orders else "<"
    dtype = np.dtype(order + META[element.removeprefix("MET_")])
    if inside:
        return Claim(size, spacing, dtype, path, start, compressed, length, mm=mm)
    payload = beside(path, name)
    return Claim(
        *(size, spacing, dtype, payload, 0, compressed, length), named=name, mm=mm
    )


ORIGINS = ("Offset", "Position", "Origin")
TURNS = ("TransformMatrix", "Rotation", "Orientation")


def _check_place(path: Path, fields: dict[str, str]) -> None:
    """MetaIO reads an origin that is no number as 0, and the first of two, silently."""
    for names in (ORIGINS, TURNS):
        if len(two := [name for name in names if name in fields]) > 1:
            raise ValueError(
                f"{path}: {' and '.join(two)} mean one thing; remove one, or {RESAVE}"
            )
    for name in ORIGINS:
        origin = numbers(path, fields, name, float, "0 0 0")
        if len(origin) != 3 or not all(map(math.isfinite, origin)):
            raise ValueError(
                f"{path}: {name} = {fields[name]} must be 3 finite numbers; {RESAVE}"
            )
    for name in TURNS:
        rows = numbers(path, fields, name, float, "1 0 0 0 1 0 0 0 1")
        sound = len(rows) == 9 and max(map(abs, rows)) < 2
        matrix = np.array(rows).reshape(3, 3) if sound else np.zeros((3, 3))
        if not np.allclose(matrix @ matrix.T, np.eye(3), rtol=0, atol=1e-3):
            raise ValueError(
                f"{path}: {name} = {fields[name]} is no rotation: 9 numbers, in rows of "
                f"length 1 at right angles; {RESAVE}"
            )
