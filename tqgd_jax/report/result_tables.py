"""The csv files of a result: slices, lesions, patients. They are read back too.

Floats are written with all their digits, so what is read is what was judged. A text that
a spreadsheet would take for a formula has an apostrophe before it (`FORMULA`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tqgd_jax.evaluation.calcium_section import Row
from tqgd_jax.io import tables
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image, Lesion, Place

SLICES = (
    *("image", "patient", "scan", "scanner", "fold", "z", "dz_mm", "dy_mm", "dx_mm"),
    *("crop_x0", "crop_y0", "crop_x1", "crop_y1", "height", "width"),
    *("threshold", "boxes", "detections"),
)
LESIONS = (
    *("kind", "image", "patient", "scan", "fold", "z", "class"),
    *("x0", "y0", "x1", "y1", "width", "height"),
    *("slice_x0", "slice_y0", "slice_x1", "slice_y1"),
    *("area_px", "area_mm2", "artery", "lesion", "hu_max"),
    *("ignore", "iscrowd", "area"),
    *("use", "score", "above", "outcome", "outcome_centre", "matched"),
)
BOX, DETECTION = "box", "detection"
# With these a spreadsheet begins a formula, and we a text that has an apostrophe added.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def slice_rows(eval_set: EvaluationSet) -> list[Row]:
    """One row for each image, in the evaluation set's order; empty cells where unknown."""
    rows = []
    sizes = eval_set.sizes or [("", "")] * len(eval_set.images)
    for image, limit, (h, w) in zip(
        eval_set.images, eval_set.thresholds, sizes, strict=True
    ):
        place = image.place
        spacing = place.spacing or ("", "", "")
        crop = place.crop or ("", "", "", "")
        values = (
            *(image.name, place.patient, place.scan, place.scanner, place.fold),
            *("" if place.z is None else place.z, *spacing, *crop, h, w),
            *("" if limit is None else limit, len(image.boxes), len(image.det_boxes)),
        )
        rows.append(dict(zip(SLICES, values, strict=True)))
    return rows


def write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes some columns of rows."""
    cells = (
        # millions of cells: no call for each
        [
            f"'{v}" if v.__class__ is str and v[:1] in FORMULA else v
            for v in map(row.__getitem__, columns)
        ]
        for row in rows
    )
    tables.write_table(path, columns, cells)


def read(
    path: Path,
    columns: Sequence[str],
    wanted: Callable[[Sequence[str]], bool] = lambda _: True,
) -> Iterator[dict[str, str]]:
    """The rows of a csv, one by one.

    Args:
      path: of the csv.
      columns: that it must have.
      wanted: whether a row is, by its cells; most of lesions.csv may be far below the
        threshold.

    Raises:
      ValueError: when it is missing, has other columns, or is no csv any more.
    """
    lines = tables.read_cells(path)
    _, header = next(lines, (1, []))
    if header != list(columns):
        raise ValueError(
            f"{path}: the columns are {header}, a result of this version has "
            f"{list(columns)}; evaluate again"
        )
    for line, cells in lines:
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}:{line}: not {len(columns)} cells; the file was changed or cut: "
                "evaluate again"
            )
        if wanted(cells):
            yield {
                name: text.removeprefix("'")
                for name, text in zip(columns, cells, strict=True)
            }


def images(
    slices: Sequence[dict[str, str]],
    lesions: Iterable[dict[str, str]],
    classes: Sequence[str],
    path: Path,
) -> list[Image]:
    """The images of `slices.csv` with the boxes and detections of `lesions.csv`."""
    index = {name: i for i, name in enumerate(classes)}
    held: dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]]
    held = {row["image"]: ([], []) for row in slices}
    for number, row in enumerate(lesions, 2):
        if row["image"] not in held or row["class"] not in index:
            raise ValueError(
                f"{path}:{number}: image {row['image']!r} or class "
                f"{row['class']!r} is not of this result; evaluate again"
            )
        held[row["image"]][row["kind"] == DETECTION].append(row)
    try:
        return [_image(row, *held[row["image"]], index) for row in slices]
    except ValueError as error:
        raise ValueError(f"{path.parent}: {error}; evaluate again") from error


def _image(
    row: dict[str, str],
    boxes: list[dict[str, str]],
    dets: list[dict[str, str]],
    index: dict[str, int],
) -> Image:
    known = any(b[name] for b in boxes for name in Lesion._fields)
    return Image(
        name=row["image"],
        boxes=_corners(boxes),
        labels=np.array([index[b["class"]] for b in boxes], int),
        det_boxes=_corners(dets),
        det_scores=np.array([float(d["score"]) for d in dets]),
        det_labels=np.array([index[d["class"]] for d in dets], int),
        ignore=np.array([b["ignore"] == "1" for b in boxes], bool),
        place=_place(row),
        lesions=tuple(_lesion(b) for b in boxes) if known else (),
        iscrowd=np.array([b["iscrowd"] == "1" for b in boxes], bool),
        area=np.array([float(b["area"]) for b in boxes]),
    )


def _corners(rows: list[dict[str, str]]) -> np.ndarray:
    corners = [[float(row[k]) for k in tables.BOX] for row in rows]
    return np.array(corners).reshape(-1, 4)


def _place(row: dict[str, str]) -> Place:
    spacing = [row[k] for k in ("dz_mm", "dy_mm", "dx_mm")]
    crop = [row[k] for k in ("crop_x0", "crop_y0", "crop_x1", "crop_y1")]
    z, y, x = (float(v) if v else 0.0 for v in spacing)
    x0, y0, x1, y1 = (int(v) if v else 0 for v in crop)
    return Place(
        patient=row["patient"],
        scan=row["scan"],
        z=int(row["z"]) if row["z"] else None,
        spacing=(z, y, x) if all(spacing) else None,
        crop=(x0, y0, x1, y1) if all(crop) else None,
        scanner=row["scanner"],
        fold=row["fold"],
    )


def _lesion(row: dict[str, str]) -> Lesion:
    return Lesion(
        artery=row["artery"],
        lesion=int(row["lesion"] or 0),
        hu_max=int(row["hu_max"] or 0),
        area_px=int(row["area_px"] or 0),
        area_mm2=float(row["area_mm2"] or 0),
    )
