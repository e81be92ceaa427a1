"""A csv that says whose each image is: patients, scans, folds and their thresholds.

Its header has `patient` and either `image` (file_name or id) or `scan`; it may have
`scan`, `z`, `scanner`, `fold`, `dz_mm`, `dy_mm`, `dx_mm` and `threshold`. Commas,
semicolons or tabs; UTF-8.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.io.tables import read_table, require
from tqgd_jax.structures.image import Image, Place

SPACING = ("dz_mm", "dy_mm", "dx_mm")
KNOWN = ("patient", "image", "scan", "z", "scanner", "fold", *SPACING, "threshold")
RULE = "A file of patients has patient and either image or scan"
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
    lines, columns = read_table(path)
    columns = [name.lower() for name in columns]
    by = "image" if "image" in columns else "scan"
    require(path, columns, ("patient", by), RULE, KNOWN)
    if 0 < sum(name in columns for name in SPACING) < len(SPACING):
        raise ValueError(
            f"{path}:1: a spacing has three columns, {', '.join(SPACING)}; add those "
            "that are missing, or leave all out"
        )
    if not lines:
        raise ValueError(f"{path}: no line below the header")
    rows: dict[str, Row] = {}
    for line, values in lines:
        where, cells = f"{path}:{line}", {k.lower(): v for k, v in values.items()}
        for name in ("patient", by):
            if not cells[name]:
                raise ValueError(f"{where}: no {name}; every line needs one")
        if (key := cells[by]) in rows:
            raise ValueError(
                f"{where}: the {by} {key!r} stands in line {rows[key].line} already"
            )
        rows[key] = _row(line, where, cells)
    unset = [row.line for row in rows.values() if row.threshold is None]
    if 0 < len(unset) < len(rows):
        raise ValueError(
            f"{path}:{unset[0]}: no threshold, and other lines have one; give all of "
            "them one, or none"
        )
    extra = ", ".join(name for name in columns if name not in KNOWN)
    note = f"columns of {path.name} that are not read: {extra}" if extra else ""
    return Table(path, by, rows, note)


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
    rows, used = [], {}
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
        rows.append(row)
    _all_found(images, rows, table)
    if left := [key for key in table.rows if key not in used]:
        raise ValueError(
            f"{path}:{table.rows[left[0]].line}: the ground truth has no {table.by} "
            f"{left[0]!r} ({len(left)} such lines); remove them, or correct the name"
        )
    placed = [
        image._replace(place=_over(image.place, row.place))
        for image, row in zip(images, rows, strict=True)
    ]
    limits = [row.threshold for row in rows if row.threshold is not None]
    return placed, limits if limits else None


def _all_found(
    images: Sequence[Image], rows: Sequence[Row | None], table: Table
) -> None:
    missing = [i for i, row in zip(images, rows, strict=True) if row is None]
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


def _row(line: int, where: str, cells: dict[str, str]) -> Row:
    sides = [cells.get(name, "") for name in SPACING]
    spacing = None
    if any(sides):
        dz, dy, dx = (
            _number(where, name, cell, float, "a positive number of mm", 0.0)
            for name, cell in zip(SPACING, sides, strict=True)
        )
        spacing = (dz, dy, dx)
    z, limit = cells.get("z", ""), cells.get("threshold", "")
    place = Place(
        patient=cells["patient"],
        scan=cells.get("scan", ""),
        z=int(_number(where, "z", z, int, "a whole number")) if z else None,
        spacing=spacing,
        scanner=cells.get("scanner", ""),
        fold=cells.get("fold", ""),
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
