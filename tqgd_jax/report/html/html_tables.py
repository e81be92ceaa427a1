"""Tables of the page that come from the csv files: lesions and patients."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tqgd_jax.report.html.gallery import GalleryImage

# Rows of a page; with more, a browser gets slow. The csv holds all.
LIMIT = 3000
LESIONS = {
    "patient": "Patient",
    "scan": "Scan",
    "z": "Slice",
    "image": "Image",
    "kind": "Kind",
    "class": "Class",
    "box": "Box x0, y0 to x1, y1",
    "size": "Size, px",
    "area_mm2": "Area, mm²",
    "artery": "Artery",
    "lesion": "3-D lesion",
    "hu_max": "HU max",
    "score": "Score",
    "outcome": "Outcome, IoU 0.5",
    "outcome_centre": "Outcome, centre",
}
PATIENTS = {
    **{"patient": "Patient", "scan": "Scan", "scanner": "Scanner", "fold": "Fold"},
    "reference_agatston": "Agatston, reference",
    "predicted_agatston": "Agatston, predicted",
    "reference_category": "Category, reference",
    "predicted_category": "Category, predicted",
    "reference_volume_mm3": "Volume, reference, mm³",
    "predicted_volume_mm3": "Volume, predicted, mm³",
    "reference_mass_mg": "Mass, reference, mg",
    "predicted_mass_mg": "Mass, predicted, mg",
    "reference_lesions": "Lesions, reference",
    "predicted_lesions": "Lesions, predicted",
    "area_difference_px": "Bright px beside lesions",
    "volume_sensitivity": "Volume sensitivity",
    "volume_ppv": "Volume PPV",
}
ALWAYS = ("patient", "kind", "box", "size", "score", "outcome", "outcome_centre")


class Line(NamedTuple):
    """A row: number of its slice in the gallery or None; (text, what to sort by)."""

    image: int | None
    cells: list[tuple[str, str]]


class Lines(NamedTuple):
    """A table of boxes and detections; `summary` says which rows are here."""

    columns: list[str]
    rows: list[Line]
    summary: str


class Patients(NamedTuple):
    """The table of patients: (column, title); rows of (text, what to sort by)."""

    columns: list[tuple[str, str]]
    rows: list[list[tuple[str, str]]]
    left: int


def lesion_table(
    used: Sequence[Mapping[str, Any]],
    total: int,
    gallery: Sequence[GalleryImage],
    classes: Sequence[str],
) -> Lines:
    """All boxes, then the detections that count, most confident first, to `LIMIT`.

    Args:
      used: rows of lesions.csv that are boxes or detections that count.
      total: rows of lesions.csv.
      gallery: the gallery.
      classes: names; with one, no column says which.
    """
    boxes = [row for row in used if row["kind"] == "box"]
    dets = [row for row in used if row["kind"] != "box"]
    dets.sort(key=lambda row: -float(row["score"]))
    rows = [*boxes, *dets][:LIMIT]
    place = {image.selected.image: k for k, image in enumerate(gallery)}
    keys = [key for key in LESIONS if key in ALWAYS or any(_has(r, key) for r in rows)]
    if len(classes) < 2 and "class" in keys:
        keys.remove("class")
    if all(str(row["scan"]) in ("", str(row["patient"])) for row in rows):
        keys = [key for key in keys if key != "scan"]
    if any(_has(row, "z") for row in rows):
        keys = [key for key in keys if key != "image"]  # patient, scan and slice say it
    lines = [
        Line(place.get(row["image"]), [_cell(row, key) for key in keys]) for row in rows
    ]
    summary = f"{len(rows):,} of {total:,} rows"
    if len(rows) < len(used):
        summary += f" (the page holds no more than {LIMIT:,})"
    summary += ": labelled boxes, and the detections that are drawn."
    return Lines([LESIONS[key] for key in keys], lines, summary)


def patient_table(
    patients: Sequence[Mapping[str, Any]], results: Mapping[str, Any]
) -> Patients:
    """Rows of patients.csv as they are; of several conventions the one in use."""
    rows = list(patients)
    used = results["calcium"].get("convention")
    if used and rows and "convention" in rows[0]:
        rows = [row for row in rows if row["convention"] == used]
    present = list(rows[0]) if rows else []
    first = [key for key in PATIENTS if key in present]
    keys = [*first, *(key for key in present if key not in first)]
    keys = [key for key in keys if any(_has(row, key) for row in rows)]
    keys = [key for key in keys if key not in ("convention", "scheme")]  # said above
    columns = [
        (key, PATIENTS.get(key, key.replace("_", " ").capitalize())) for key in keys
    ]
    shown = [[_text(row[key], key) for key in keys] for row in rows[:LIMIT]]
    return Patients(columns, shown, len(rows) - len(shown))


def _has(row: Mapping[str, Any], key: str) -> bool:
    return str(row.get(key, "")) not in ("", "None", "nan")


def _cell(row: Mapping[str, Any], key: str) -> tuple[str, str]:
    """Text, and what to sort by where that is another."""
    if key == "patient":
        return str(row["patient"] or row["image"]), ""
    if key == "box":
        x0, y0, x1, y1 = (float(row[k]) for k in ("x0", "y0", "x1", "y1"))
        return f"{x0:.5g}, {y0:.5g} to {x1:.5g}, {y1:.5g}", f"{y0:.0f}"
    if key == "size":
        w, h = float(row["width"]), float(row["height"])
        return f"{w:.4g} x {h:.4g}", repr(w * h)
    if key in ("score", "area_mm2") and _has(row, key):
        digits = 3 if key == "score" else 1
        return f"{float(row[key]):.{digits}f}", str(row[key])
    return (str(row[key]) if _has(row, key) else ""), ""


def _text(value: object, key: str) -> tuple[str, str]:
    """A cell of patients.csv: scores with one decimal, ratios with three."""
    raw = "" if value is None else str(value)
    if raw == "nan":
        return "", ""
    try:
        number = float(raw)
    except ValueError:
        return raw, raw
    digits = 3 if key.endswith(("_sensitivity", "_ppv")) else 1
    whole = raw.lstrip("-").isdigit()
    return (raw if whole else f"{number:,.{digits}f}"), raw
