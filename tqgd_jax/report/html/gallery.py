"""Slices of the page: the picture, what is there, and what the detector said."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image as Picture

from tqgd_jax.evaluation.measures import size_strata

# Characters of base64 in one page; a reader must be able to open it and to mail it.
BUDGET = 7_000_000
# Outcome in lesions.csv, and the kind of what was not judged for want of a threshold:
# what it is called in css, filters and captions. In the order of drawing, so that errors
# lie on top.
OUTCOMES = {
    "ignored": ("ignored", "ignored region"),
    "box": ("found", "ground truth, not judged"),
    "detection": ("detected", "detection, not judged"),
    "found": ("found", "ground truth, found"),
    "hit": ("hit", "hit"),
    "false alarm": ("false-alarm", "false alarm"),
    "missed": ("missed", "missed"),
}


class SelectedSlice(NamedTuple):
    """A slice to show.

    Attributes:
      image: name of the image.
      patient, scan, fold: as in lesions.csv; empty when unknown.
      z: number of the slice.
      pixels: windowed, 0 black and 1 white.
      rows: indices of the image's boxes and detections in lesions.csv.
    """

    image: str
    patient: str
    scan: str
    z: int | None
    fold: str
    pixels: Float[np.ndarray, "h w"]
    rows: Sequence[int]


class Mark(NamedTuple):
    """An outline on a slice: classes in css, place in percent of the picture, label."""

    kind: str
    left: float
    top: float
    width: float
    height: float
    label: str
    title: str


class GalleryImage(NamedTuple):
    """A slice as the template draws it.

    Attributes:
      selected: the slice.
      png: its picture, base64.
      width, height: of the picture, px.
      marks: outlines on it.
      caption: how many of each outcome there are.
      tokens: "outcome:stratum" of each, for the filters.
    """

    selected: SelectedSlice
    png: str
    width: int
    height: int
    marks: list[Mark]
    caption: str
    tokens: str


def gallery_images(
    slices: Sequence[SelectedSlice],
    lesions: Sequence[Mapping[str, Any]],
    edges: Sequence[float],
    threshold: float | None,
    budget: float = BUDGET,
) -> list[GalleryImage]:
    """The slices in their order, as many as the budget of characters holds.

    Args:
      slices: the selected ones.
      lesions: rows of lesions.csv.
      edges: of the size strata, box area in px.
      threshold: detections below it are not drawn where lesions.csv does not say which
        count; None: all are.
      budget: characters of base64 in all.
    """
    made, used = [], 0
    for one in slices:
        png = _png(one.pixels)
        used += len(png)
        if used > budget:
            break
        made.append(_slide(one, png, lesions, edges, threshold))
    return made


def stratum(row: Mapping[str, Any], edges: Sequence[float]) -> int:
    """Number of the size stratum of a row's box."""
    area = float(row["width"]) * float(row["height"])
    return int(size_strata.stratum(np.array(area), edges))


def drawn(row: Mapping[str, Any], threshold: float | None) -> bool:
    """Whether a row is a box, or a detection that counts."""
    if row.get("use") == "curve":
        return False  # of a segmentation; what counts is cut at a level of its own
    if row["kind"] == "box" or str(row["above"]) == "1":
        return True
    if str(row["above"]) == "0":
        return False
    return threshold is None or float(row["score"]) >= threshold


def outcome(row: Mapping[str, Any]) -> str:
    """Outcome at IoU 0.5 under its name in `OUTCOMES`, else empty."""
    name = str(row["outcome"] or row["kind"])
    return name if name in OUTCOMES else ""


def caption(counts: Mapping[str, int]) -> str:
    """How many of each outcome a slice has: `1 hit, 0 missed, 2 false alarms`."""
    if unjudged := [f"{counts[k]} {k}" for k in ("box", "detection") if counts.get(k)]:
        return f"not judged: {', '.join(unjudged)}"
    hit, alarm = counts["hit"], counts["false alarm"]
    return (
        f"{hit} hit{'s' * (hit != 1)}, {counts['missed']} missed, "
        f"{alarm} false alarm{'s' * (alarm != 1)}"
    )


def _slide(
    one: SelectedSlice,
    png: str,
    lesions: Sequence[Mapping[str, Any]],
    edges: Sequence[float],
    threshold: float | None,
) -> GalleryImage:
    h, w = one.pixels.shape
    rows = [lesions[k] for k in one.rows if drawn(lesions[k], threshold)]
    rows = [row for row in rows if outcome(row)]
    rows.sort(key=lambda row: list(OUTCOMES).index(outcome(row)))
    counts = Counter(map(outcome, rows))
    tokens = {}
    for row in rows:
        kind = outcome(row)
        # A hit has the size of the box it found, which stands in a row of its own.
        kind = {"found": "hit", "missed": "missed", "false alarm": kind}.get(kind)
        if kind:
            tokens[f"{kind.replace(' ', '-')}:{stratum(row, edges)}"] = None
    marks = [_mark(row, h, w) for row in rows]
    return GalleryImage(one, png, w, h, marks, caption(counts), " ".join(tokens))


def _mark(row: Mapping[str, Any], h: int, w: int) -> Mark:
    x0, y0, x1, y1 = (float(row[key]) for key in ("x0", "y0", "x1", "y1"))
    kind, title = OUTCOMES[outcome(row)]
    label = {"missed": "missed", "ignored": "ignored"}.get(kind, "")
    if row["kind"] == "detection":
        label = f"{float(row['score']):.2f}"
    title = f"{title}, {x1 - x0:g} x {y1 - y0:g} px at x {x0:g}, y {y0:g}"
    # What lies beyond the picture is marked at its edge.
    x0, x1 = (min(max(x, 0.0), w) for x in (x0, x1))
    y0, y1 = (min(max(y, 0.0), h) for y in (y0, y1))
    # Labels stand above and flush right, unless the picture's edge would cut them, or
    # another's score of the same place is there.
    left, top, right, bottom = 100 * x0 / w, 100 * y0 / h, 100 * x1 / w, 100 * y1 / h
    if top < 10 or (kind == "missed" and bottom < 90):
        kind += " low"
    if right < 20:
        kind += " left"
    place = (round(p, 4) for p in (left, top, right - left, bottom - top))
    return Mark(kind, *place, label=label, title=title)


def _png(pixels: Float[np.ndarray, "h w"]) -> str:
    grey = np.round(np.clip(np.nan_to_num(pixels), 0, 1) * 255).astype(np.uint8)
    held = io.BytesIO()
    Picture.fromarray(grey).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()
