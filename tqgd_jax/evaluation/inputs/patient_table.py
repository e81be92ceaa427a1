"""A csv that says whose each image is: patients, scans, folds and their thresholds.

Its header has `patient` and either `image` (file_name or id) or `scan`; it may have
`scan`, `z`, `scanner`, `fold`, `dz_mm`, `dy_mm`, `dx_mm` and `threshold`. Commas,
semicolons or tabs; UTF-8.
"""

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqgd_jax.structures.image import Image, Place

SPACING = ("dz_mm", "dy_mm", "dx_mm")
KNOWN = ("patient", "image", "scan", "z", "scanner", "fold", *SPACING, "threshold")
DELIMITERS = ",;\t"
LARGEST = 2.0**53  # whole numbers stay whole
LISTED = 5  # missing images that a message names


class Row(NamedTuple):
    """A line: what it says of its image or scan; empty or None where nothing."""

    line: int
    place: Place
    threshold: float | None


class Table(NamedTuple):
    """The file.

    Attributes:
      path: for messages.
      by: "image" or "scan", what `rows` are found by.
      rows: by that name.
      note: what was not read.
    """

    path: Path
    by: str
    rows: dict[str, Row]
    note: str


def read(path: Path) -> Table:
    """Reads the csv. Raises ValueError naming file and line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            # the header alone decides: values may hold commas, decimal ones too
            delimiter = max(DELIMITERS, key=header.count)
            return _table(path, csv.reader(file, delimiter=delimiter, strict=True))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 ({error.reason}); save it as CSV UTF-8"
        ) from error


def apply(
    images: Sequence[Image], table: Table, ids: Sequence[int | str] = ()
) -> tuple[list[Image], list[float] | None]:
    """The images with their places, and their thresholds when the table has them.

    Args:
      images: all of them must be found.
      table: no line may be left over.
      ids: of the images, by which a line may name them too.
    """
    path = table.path
    found, used = [], {}
    names = {image.name for image in images}
    by_id = dict(zip(map(str, ids), images, strict=True)) if ids else {}
    alias = {i.name: key for key, i in by_id.items() if key not in names}
    for image in images:
        if table.by == "scan":
            key = image.place.scan
        else:
            key = image.name
            other = alias.get(image.name)
            if key in table.rows and other in table.rows:
                raise ValueError(
                    f"{path}:{table.rows[other].line}: the image {other} is "
                    f"{image.name!r} of line {table.rows[key].line}; name it once"
                )
            key = other if key not in table.rows and other in table.rows else key
        if row := table.rows.get(key):
            used[key] = row
        found.append(row)
    _all_found(images, found, table)
    if left := [key for key in table.rows if key not in used]:
        raise ValueError(
            f"{path}:{table.rows[left[0]].line}: the ground truth has no {table.by} "
            f"{left[0]!r} ({len(left)} such lines); remove them, or correct the name"
        )
    placed = [
        image._replace(place=_over(image.place, row.place))
        for image, row in zip(images, found, strict=True)
    ]
    limits = [row.threshold for row in found if row.threshold is not None]
    return placed, limits if limits else None


def _all_found(
    images: Sequence[Image], found: Sequence[Row | None], table: Table
) -> None:
    missing = [i for i, row in zip(images, found, strict=True) if row is None]
    if not missing:
        return
    first = ", ".join(
        f"{i.name!r} (scan {i.place.scan!r})" if table.by == "scan" else repr(i.name)
        for i in missing[:LISTED]
    )
    hint = "name images in a column 'image', or give images a 'scan'"
    hint = hint if table.by == "scan" else "names are file_name or id, with the suffix"
    raise ValueError(
        f"{table.path}: no line for {len(missing)} of {len(images)} images: {first}; "
        f"each needs a patient ({hint})"
    )


def _over(old: Place, new: Place) -> Place:
    """`old` with what `new` knows."""
    known = {k: v for k, v in new._asdict().items() if v not in ("", None)}
    return old._replace(**known)


def _table(path: Path, lines: Any) -> Table:
    try:
        rows = [(lines.line_num, row) for row in lines if any(c.strip() for c in row)]
    except csv.Error as error:
        raise ValueError(f"{path}:{lines.line_num}: not csv: {error}") from error
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    by = "image" if "image" in header else "scan"
    if "patient" not in header or by not in header:
        raise ValueError(
            f"{path}:1: the header must have 'patient' and either 'image' or 'scan', "
            f"it has {', '.join(header) or 'nothing'}"
        )
    if twice := [name for name in header if name in KNOWN and header.count(name) > 1]:
        raise ValueError(f"{path}:1: two columns are called {twice[0]!r}; remove one")
    if 0 < sum(name in header for name in SPACING) < len(SPACING):
        raise ValueError(
            f"{path}:1: a spacing has three columns, {', '.join(SPACING)}; add those "
            "that are missing, or leave all out"
        )
    if len(rows) == 1:
        raise ValueError(f"{path}: no line below the header")
    found: dict[str, Row] = {}
    for line, cells in rows[1:]:
        where = f"{path}:{line}"
        if len(cells) != len(header):
            raise ValueError(
                f"{where}: {len(cells)} cells, the header has {len(header)}; put names "
                "with commas in quotes"
            )
        said = {k: v.strip() for k, v in zip(header, cells, strict=True) if k in KNOWN}
        for name in ("patient", by):
            if not said[name]:
                raise ValueError(f"{where}: no {name}; every line needs one")
        if (key := said[by]) in found:
            raise ValueError(
                f"{where}: the {by} {key!r} stands in line {found[key].line} already"
            )
        found[key] = _row(line, where, said)
    unset = [row.line for row in found.values() if row.threshold is None]
    if 0 < len(unset) < len(found):
        raise ValueError(
            f"{path}:{unset[0]}: no threshold, and other lines have one; give all of "
            "them one, or none"
        )
    extra = ", ".join(name for name in header if name not in KNOWN)
    note = f"columns of {path.name} that are not read: {extra}" if extra else ""
    return Table(path, by, found, note)


def _row(line: int, where: str, said: dict[str, str]) -> Row:
    cells = [said.get(name, "") for name in SPACING]
    spacing = None
    if any(cells):
        dz, dy, dx = (
            _number(where, name, cell, float, "a positive number of mm", 0.0)
            for name, cell in zip(SPACING, cells, strict=True)
        )
        spacing = (dz, dy, dx)
    z, limit = said.get("z", ""), said.get("threshold", "")
    place = Place(
        patient=said["patient"],
        scan=said.get("scan", ""),
        z=int(_number(where, "z", z, int, "a whole number")) if z else None,
        spacing=spacing,
        scanner=said.get("scanner", ""),
        fold=said.get("fold", ""),
    )
    threshold = _number(where, "threshold", limit, float, "a number") if limit else None
    return Row(line, place, threshold)


def _number(
    where: str,
    name: str,
    cell: str,
    kind: Callable[[str], float],
    rule: str,
    above: float = -LARGEST,
) -> float:
    try:
        value = kind(cell)
    except ValueError:
        value = math.nan
    if not above < value <= LARGEST:
        raise ValueError(
            f"{where}: {name} must be {rule} with a decimal point, got {cell!r}"
        )
    return value
