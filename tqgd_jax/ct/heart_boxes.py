"""Heart boxes in a csv: a row for each slice (scan,z,x0,y0,x1,y1) or image (image,x0,...).

Scans are named like their files, without suffix; z is the slice, 0 lowest; boxes are in
pixel edges, x1 and y1 exclusive. They may come from `find_heart`, from a trained model
(`tqgd hearts`) or be drawn by hand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tqgd_jax.io import atomic
from tqgd_jax.io.tables import BOX, box, read_table, write_table

Rows = list[tuple[int, dict[str, str]]]  # of a scan, with their lines
HEADER = ("scan", "z", *BOX)
IMAGES = ("image", *BOX)
RULE = f"Heart boxes have {','.join(HEADER)}, or of images {','.join(IMAGES)}"


def read_boxes(path: Path, scan: str, slices: int) -> Float[np.ndarray, "z 4"]:
    """Heart boxes of one scan from a csv: `boxes_of` of what `read_rows` reads."""
    return boxes_of(path, read_rows(path), scan, slices)


def read_rows(path: Path) -> dict[str, Rows]:
    """Rows of a csv with the header scan,z,x0,y0,x1,y1, and their lines, by scan.

    Raises ValueError for a missing column or a file that is no csv in UTF-8.
    """
    rows: dict[str, Rows] = {}
    for line, row in read_table(path, HEADER, RULE).rows:
        rows.setdefault(row["scan"], []).append((line, row))
    return rows


def boxes_of(
    path: Path, rows: Mapping[str, Rows], scan: str, slices: int
) -> Float[np.ndarray, "z 4"]:
    """Heart boxes of one scan; slices without a row get NaN.

    Raises ValueError naming the line, for a number that is none, a slice outside the
    scan or named twice, a box that is empty or in fractions; or when no row names the
    scan.
    """
    boxes = np.full((slices, 4), np.nan)
    seen: dict[int, int] = {}
    for line, row in rows.get(scan, ()):
        z = _slice(f"{path}:{line}", row["z"], slices)
        if z in seen:
            raise ValueError(
                f"{path}:{line}: slice {z} of {scan} stands in line {seen[z]} "
                "already; a slice has one heart"
            )
        seen[z], boxes[z] = line, _heart(f"{path}:{line}", row)
    if not seen:
        raise ValueError(
            f"{path}: no row of scan {scan!r}; it has {len(rows)} scans, such as "
            f"{', '.join(sorted(rows)[:3]) or 'none'}. Scans are named like "
            "their files, without suffix"
        )
    return boxes


def read_image_boxes(
    path: Path, find: Callable[[str], Sequence[str]]
) -> tuple[dict[str, list[float]], list[str]]:
    """Heart box by image, and what the file calls images that are none of the set's.

    Args:
      path: csv with the header image,x0,y0,x1,y1.
      find: the image that the csv means, if there is one; see `image_folder.finder`.

    Raises:
      ValueError: as `read_boxes`; or when the file names no image of the set.
    """
    boxes: dict[str, list[float]] = {}
    seen: dict[str, int] = {}
    others = []
    for line, row in read_table(path, IMAGES, RULE).rows:
        names, heart = find(row["image"]), _heart(f"{path}:{line}", row)
        if not names:
            others.append(row["image"])
        for name in names:
            if name in seen:
                raise ValueError(
                    f"{path}:{line}: image {name!r} stands in line {seen[name]} already; "
                    "an image has one heart"
                )
            seen[name], boxes[name] = line, [*heart]
    if not boxes:
        raise ValueError(
            f"{path}: names no image of this set; it has {len(others)} others, such as "
            f"{', '.join(others[:3]) or 'none'}. Images are named like their files, with "
            "their folders where names are there twice"
        )
    return boxes, others


def write_boxes(
    path: Path, rows: Iterable[tuple[str | float, ...]], header: Sequence[str] = HEADER
) -> None:
    """Writes rows that are read again, whole or not at all; a NaN box is left out."""
    hearts = (
        (*row[:-4], *(round(float(v), 3) for v in row[-4:]))
        for row in rows
        if not np.isnan(np.array(row[-4:], float)).all()
    )
    with atomic.file(path) as partial:
        write_table(partial, header, hearts)


def _heart(place: str, row: Mapping[str, str]) -> tuple[float, float, float, float]:
    heart = box(place, row)
    if min(heart) >= 0 and max(heart) <= 1:  # no heart lies in the first pixel
        raise ValueError(
            f"{place}: heart box {heart} is in fractions of the image, boxes are in "
            "pixels; multiply x0 and x1 by the width, y0 and y1 by the height"
        )
    return heart


def _slice(place: str, text: str, slices: int) -> int:
    try:
        z = int(text)
    except ValueError as error:
        raise ValueError(
            f"{place}: {text!r} is no slice; z is a whole number"
        ) from error
    if not 0 <= z < slices:
        raise ValueError(f"{place}: slice {z}, but the scan has 0 to {slices - 1}")
    return z
