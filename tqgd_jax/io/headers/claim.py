"""What a header claims: its fields, its payload, its unit of length.

A header may claim anything and name any file, so the few fields that decide what is
read, and how much, are parsed before any library sees the file: size, type, spacing,
payload.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAX_HEADER = 2**16  # bytes of header text; real ones have less than 2 kB
UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001, "μm": 0.001}
RESAVE = "save it again with 3D Slicer or SimpleITK"


class Claim(NamedTuple):
    """What the header says about the pixels, and where they are.

    Attributes:
      size: x fastest.
      spacing: mm.
      dtype: with the order of its bytes.
      payload, offset: the file of the pixels, and the first byte of them.
      compressed: zlib or gzip.
      length: of the compressed payload, where the header says it.
      skip: inflated bytes before the pixels.
      named: what the header calls the payload, where it is another file.
      mm: of one unit of length in what SimpleITK makes of the header.
      scale: slope and intercept that make values of the stored ones.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    dtype: np.dtype
    payload: Path
    offset: int
    compressed: bool
    length: int | None = None
    skip: int = 0
    named: str = ""
    mm: float = 1.0
    scale: tuple[float, float] = (1.0, 0.0)


def beside(path: Path, name: str) -> Path:
    """The payload `name` in the folder of its header.

    A file renamed together with its header, to lower case say, is found all the same.
    """
    payload = path.parent / name
    wrong = name in ("", ".", "..") or len(name) > 200  # file systems end at 255
    if wrong or re.search(r"[/\\%\0]|^LIST", name):
        raise ValueError(
            f"{path}: pixels in {name[:200]!r}; only one file in the same folder is "
            "read, no path, list or pattern (what begins with LIST is a list). Put it "
            f"beside the header under another name, or {RESAVE}"
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


def numbers(
    path: Path, fields: dict[str, str], field: str, kind: type, given: str = ""
) -> tuple:
    """The numbers of a field, or of `given`."""
    text = required(path, fields, field, given)
    try:
        return tuple(kind(part) for part in text.split())
    except ValueError as error:
        raise ValueError(
            f"{path}: {field} = {text!r} are no numbers; {RESAVE}"
        ) from error


def lines(path: Path) -> Iterator[tuple[str, int]]:
    """Header lines and where each ends; stops at MAX_HEADER bytes."""
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    end = 0
    while end < len(head):
        start, end = end, head.find(b"\n", end) + 1
        if end == 0:
            end = len(head)
        line = head[start:end].rstrip(b"\r\n")
        try:  # SimpleITK writes names as they are on the disk, in UTF-8
            yield line.decode("utf-8"), end
        except UnicodeDecodeError:
            yield line.decode("latin-1"), end


def required(path: Path, fields: dict[str, str], name: str, given: str = "") -> str:
    """The text of a field, or `given`."""
    if name not in fields and not given:
        raise ValueError(f"{path}: header has no {name!r}; {RESAVE}")
    return fields.get(name, given)


def add(path: Path, fields: dict[str, str], name: str, value: str) -> None:
    """Keeps a field; no field may be there twice."""
    if name in fields:
        raise ValueError(f"{path}: header has {name!r} twice; {RESAVE}")
    fields[name] = value


def unit(path: Path, field: str, *names: str) -> float:
    """Millimetres of the one unit of length that all names mean; none means mm."""
    units = {name.strip('" ') for name in names} - {"", "???"} or {"mm"}
    if len(units) > 1 or not units <= UNITS.keys():
        raise ValueError(
            f"{path}: {field} {', '.join(sorted(units))}; lengths are read in one of "
            f"{', '.join(UNITS)}; {RESAVE}"
        )
    return UNITS[units.pop()]
