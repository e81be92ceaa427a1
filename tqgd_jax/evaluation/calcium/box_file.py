"""Boxes of one scan in a csv: a row `z,x0,y0,x1,y1` for each box in a slice.

z is the number of the slice, 0 lowest, or where it lies: `mm:604.0`. Boxes are in
pixel edges of the whole slice, x1 and y1 exclusive. Commas, semicolons or tabs; UTF-8.
"""

import math
from pathlib import Path

from tqgd_jax.evaluation.calcium.boxes import Row
from tqgd_jax.io.tables import BOX, box, read_table

HEADER = ("z", *BOX)


def read_rows(
    path: Path, shape: tuple[int, int, int], z_origin: float, dz: float
) -> list[Row]:
    """Boxes of a csv with the header z,x0,y0,x1,y1; other columns are left alone.

    Args:
      path: the csv.
      shape: of the scan, [z, y, x].
      z_origin: mm, of slice 0; z grows to the head.
      dz: mm between slices.

    Raises:
      ValueError: naming file and line, for a missing column, what is no number, corners
        in the wrong order, a box or slice outside the scan, or a position that is not
        within half a slice of one; and for a file that is not there or no csv.
    """
    rows = []
    for line, row in read_table(path, HEADER, f"Boxes have {','.join(HEADER)}").rows:
        place = f"{path}:{line}"
        z = _slice(place, row["z"], shape[0], z_origin, dz)
        rows.append((z, *_box(place, row, shape)))
    return rows


def _slice(place: str, text: str, slices: int, z_origin: float, dz: float) -> int:
    by_mm = text.startswith("mm:")
    try:
        at = (float(text[3:]) - z_origin) / dz if by_mm else int(text)
    except ValueError as error:
        raise ValueError(
            f"{place}: z {text!r} is neither a slice, such as 12, nor a position, such "
            "as mm:604.0"
        ) from error
    if not by_mm and not 0 <= at < slices:
        raise ValueError(
            f"{place}: slice {at}, but the scan has 0 to {slices - 1}; a position is "
            f"written mm:{at}"
        )
    if not math.isfinite(at) or abs(at - round(at)) > 0.5 - 1e-6:
        why = "is no position" if not math.isfinite(at) else "is midway between slices"
        raise ValueError(
            f"{place}: {text} {why}; slice k of this scan lies at {z_origin:g} + "
            f"k x {dz:g} mm"
        )
    if not 0 <= round(at) < slices:
        raise ValueError(
            f"{place}: {text} lies outside the scan, whose slices reach from "
            f"{z_origin:g} to {z_origin + (slices - 1) * dz:g} mm, half a slice "
            f"({dz / 2:g} mm) added at both ends"
        )
    return round(at)


def _box(
    place: str, row: dict[str, str], shape: tuple[int, int, int]
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box(place, row)
    height, width = shape[1:]
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise ValueError(
            f"{place}: box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) reaches out of the slice, "
            f"which is {width} x {height} px; boxes are in pixels of the whole slice, "
            "not of a crop"
        )
    return x0, y0, x1, y1
