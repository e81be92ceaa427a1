"""Heart boxes in a csv: one row `scan,z,x0,y0,x1,y1` for each slice with a heart.

Scans are named like their files, without suffix; z is the slice, 0 lowest; boxes are in
pixel edges, x1 and y1 exclusive. They may come from `find_heart`, from a trained model
(`python -m tqgd_jax.heart`) or be drawn by hand.
"""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

BoxRow = tuple[str, int, float, float, float, float]  # scan, slice, x0, y0, x1, y1
HEADER = ["scan", "z", "x0", "y0", "x1", "y1"]


def read_boxes(path: Path, scan: str, slices: int) -> Float[np.ndarray, "z 4"]:
    """Heart boxes of one scan from a csv with the header scan,z,x0,y0,x1,y1.

    Slices without a row get NaN.

    Raises:
      ValueError: naming the line, for a missing column, a number that is none, a slice
        outside the scan or named twice, an empty box; or when no row names the scan or
        the file is not UTF-8.
    """
    try:
        boxes, named = _read(path, scan, slices)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 ({error.reason}); save it as CSV UTF-8"
        ) from error
    if np.isnan(boxes).all():
        raise ValueError(
            f"{path}: no row of scan {scan!r}; it has {len(named)} scans, such as "
            f"{', '.join(sorted(map(str, named))[:3]) or 'none'}. Scans are named like "
            "their files, without suffix"
        )
    return boxes


def _read(
    path: Path, scan: str, slices: int
) -> tuple[Float[np.ndarray, "z 4"], set[str]]:
    """Boxes of one scan, and the names of all."""
    boxes = np.full((slices, 4), np.nan)
    seen: dict[int, int] = {}
    named: set[str] = set()
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        missing = [c for c in HEADER if c not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(
                f"{path}:1: no column {', '.join(missing)}; a file of heart boxes "
                f"begins with {','.join(HEADER)}"
            )
        try:
            for row in reader:
                named.add(row["scan"])
                if row["scan"] == scan:
                    z, box = _row(f"{path}:{reader.line_num}", row, slices)
                    if z in seen:
                        raise ValueError(
                            f"{path}:{reader.line_num}: slice {z} of {scan} stands in "
                            f"line {seen[z]} already; a slice has one heart"
                        )
                    seen[z], boxes[z] = reader.line_num, box
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: no csv: {error}") from error
    return boxes, named


def write_boxes(path: Path, rows: Iterable[BoxRow]) -> None:
    """Writes rows that `read_boxes` reads, whole or not at all; a NaN box is left out."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for scan, z, *box in rows:
                if not np.isnan(box).all():
                    writer.writerow([scan, int(z), *(round(float(v), 3) for v in box)])
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _row(place: str, row: dict[str, str], slices: int) -> tuple[int, list[float]]:
    try:
        z, box = int(row["z"]), [float(row[c]) for c in HEADER[2:]]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: {[row[c] for c in HEADER[1:]]} is no slice and box; z is a whole "
            "number, x0,y0,x1,y1 are pixels"
        ) from error
    if not 0 <= z < slices:
        raise ValueError(f"{place}: slice {z}, but the scan has 0 to {slices - 1}")
    if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(
            f"{place}: box {box} is empty or not finite; x0 < x1 and y0 < y1 in pixels"
        )
    return z, box
