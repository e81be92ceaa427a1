"""Heart boxes in a csv: a row for each slice (scan,z,x0,y0,x1,y1) or image (image,x0,...).

Scans are named like their files, without suffix; z is the slice, 0 lowest; boxes are in
pixel edges, x1 and y1 exclusive. They may come from `find_heart`, from a trained model
(`tqgd hearts`) or be drawn by hand.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

BoxRow = tuple[str, int, float, float, float, float]  # scan, slice, x0, y0, x1, y1
BOX = ("x0", "y0", "x1", "y1")
HEADER = ("scan", "z", *BOX)
IMAGES = ("image", *BOX)


def read_boxes(path: Path, scan: str, slices: int) -> Float[np.ndarray, "z 4"]:
    """Heart boxes of one scan from a csv with the header scan,z,x0,y0,x1,y1.

    Slices without a row get NaN.

    Raises:
      ValueError: naming the line, for a missing column, a number that is none, a slice
        outside the scan or named twice, an empty box; or when no row names the scan or
        the file is not UTF-8.
    """
    boxes = np.full((slices, 4), np.nan)
    seen: dict[int, int] = {}
    named: set[str] = set()
    for line, row in _rows(path, HEADER):
        named.add(row["scan"])
        if row["scan"] == scan:
            z, box = _slice(f"{path}:{line}", row, slices)
            if z in seen:
                raise ValueError(
                    f"{path}:{line}: slice {z} of {scan} stands in line {seen[z]} "
                    "already; a slice has one heart"
                )
            seen[z], boxes[z] = line, box
    if np.isnan(boxes).all():
        raise ValueError(
            f"{path}: no row of scan {scan!r}; it has {len(named)} scans, such as "
            f"{', '.join(sorted(map(str, named))[:3]) or 'none'}. Scans are named like "
            "their files, without suffix"
        )
    return boxes


def scans(path: Path) -> set[str]:
    """The scans that a csv of heart boxes names."""
    return {row["scan"] or "" for _, row in _rows(path, HEADER)}  # None: a short row


def read_image_boxes(
    path: Path, find: Callable[[str], str | None]
) -> tuple[dict[str, list[float]], list[str]]:
    """Heart box by image, and what the file calls images that are none of the set's.

    Args:
      path: csv with the header image,x0,y0,x1,y1.
      find: name of an image by what the csv calls it, see `layout.finder`.

    Raises:
      ValueError: as `read_boxes`; or when the file names no image of the set.
    """
    boxes: dict[str, list[float]] = {}
    seen: dict[str, int] = {}
    others = []
    for line, row in _rows(path, IMAGES):
        name, box = find(row["image"] or ""), _box(f"{path}:{line}", row)
        if name is None:
            others.append(f"{row['image']}")
        elif name in seen:
            raise ValueError(
                f"{path}:{line}: image {name!r} stands in line {seen[name]} already; an "
                "image has one heart"
            )
        else:
            seen[name], boxes[name] = line, box
    if not boxes:
        raise ValueError(
            f"{path}: names no image of this set; it has {len(others)} others, such as "
            f"{', '.join(others[:3]) or 'none'}. Images are named like their files, with "
            "their folders where names are there twice"
        )
    return boxes, others


def _rows(path: Path, header: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a csv that has the columns of `header`, with their lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [c for c in header if c not in (reader.fieldnames or [])]
            if missing:
                raise ValueError(
                    f"{path}:1: no column {', '.join(missing)}; a file of heart boxes "
                    f"begins with {','.join(HEADER)}, or of images {','.join(IMAGES)}"
                )
            try:
                for row in reader:
                    yield reader.line_num, row
            except csv.Error as error:
                text = f"{path}:{reader.line_num}: no csv: {error}"
                raise ValueError(text) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 ({error.reason}); save it as CSV UTF-8"
        ) from error


def write_boxes(
    path: Path,
    rows: Iterable[tuple[str | float, ...]],
    header: Sequence[str] = HEADER,
) -> None:
    """Writes rows that are read again, whole or not at all; a NaN box is left out."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for row in rows:
                *place, x0, y0, x1, y1 = row
                box = [round(float(v), 3) for v in (x0, y0, x1, y1)]
                if not np.isnan(box).all():
                    writer.writerow([*place, *box])
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _slice(place: str, row: dict[str, str], slices: int) -> tuple[int, list[float]]:
    try:
        z = int(row["z"])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: {row['z']!r} is no slice; z is a whole number"
        ) from error
    if not 0 <= z < slices:
        raise ValueError(f"{place}: slice {z}, but the scan has 0 to {slices - 1}")
    return z, _box(place, row)


def _box(place: str, row: dict[str, str]) -> list[float]:
    try:
        box = [float(row[c]) for c in BOX]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: {[row[c] for c in BOX]} is no box; x0,y0,x1,y1 are pixels"
        ) from error
    if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(
            f"{place}: box {box} is empty or not finite; x0 < x1 and y0 < y1 in pixels"
        )
    return box
