"""Csv files: one rule by which all are read and written.

UTF-8, with or without a byte order mark; commas, semicolons or tabs, as the header has
them: values may hold commas, decimal ones too. Errors name FILE:LINE.
"""

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from tqgd_jax.io.text import read_text

MAX_BYTES = 2**28
DELIMITERS = ",;\t"
BOX = ("x0", "y0", "x1", "y1")  # pixel edges, x1 and y1 exclusive


class Table(NamedTuple):
    """Rows by column, each with its line, and the columns."""

    rows: list[tuple[int, dict[str, str]]]
    columns: list[str]


def read_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines and rows as they stand, the header first; rows of empty cells are left out.

    Raises ValueError for a file that is not there, not UTF-8 or no csv.
    """
    file = io.StringIO(read_text(path, MAX_BYTES), newline="")
    delimiter = max(DELIMITERS, key=file.readline().count)
    file.seek(0)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(
            f"{path}:{reader.line_num}: no csv ({error}); save it as CSV UTF-8"
        ) from error


def read_table(path: Path, needs: Sequence[str] = (), rule: str = "") -> Table:
    """A whole csv, without blanks around names and values.

    A row that ends early has empty values. Raises ValueError as `read_cells` and
    `require`, and for a value beyond the last column.
    """
    lines = read_cells(path)
    columns = [name.strip() for name in next(lines, (1, []))[1]]
    require(path, columns, needs, rule)
    rows, count = [], len(columns)
    for line, cells in lines:
        values = [cell.strip() for cell in cells]
        if any(values[count:]):
            raise ValueError(
                f"{path}:{line}: more values than columns; put names with commas in "
                "quotes"
            )
        rows.append((line, dict(zip_longest(columns, values[:count], fillvalue=""))))
    return Table(rows, columns)


def require(
    path: Path,
    columns: Sequence[str],
    needs: Collection[str],
    rule: str = "",
    known: Collection[str] = (),
) -> None:
    """Raises ValueError for a column of `needs` that is missing, or one there twice.

    Args:
      path: for the message.
      columns: of the table.
      needs: what it must have.
      rule: ends the message: what such a file is like.
      known: further columns that must not be there twice.
    """
    if missing := [name for name in needs if name not in columns]:
        raise ValueError(
            f"{path}:1: no column {', '.join(missing)}; there are: "
            f"{', '.join(columns) or 'none'}" + (f". {rule}" if rule else "")
        )
    for name in (*needs, *known):
        if columns.count(name) > 1:
            raise ValueError(f"{path}:1: two columns are called {name!r}; remove one")


def box(place: str, row: Mapping[str, str]) -> tuple[float, float, float, float]:
    """The values of `BOX`, px. Raises ValueError for one that encloses nothing."""
    cells = [row[name] for name in BOX]
    try:
        x0, y0, x1, y1 = map(float, cells)
    except ValueError as error:
        raise ValueError(
            f"{place}: {cells} is no box; x0,y0,x1,y1 are pixels, with a decimal point"
        ) from error
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        raise ValueError(
            f"{place}: box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) is empty or not finite; "
            "x0 < x1 and y0 < y1 in pixels: exchange corners that stand the other way "
            "round"
        )
    return x0, y0, x1, y1


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Writes a csv, RFC 4180."""
    with path.open("w", newline="", encoding="utf-8") as file:
        # Python quotes a name that holds "\r" only when lines end with one.
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows(rows)
