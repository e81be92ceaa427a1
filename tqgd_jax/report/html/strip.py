"""The first pictures of the page: some slices around what was found, missed or alarmed."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tqgd_jax.report.html.gallery import (
    OUTCOMES,
    GalleryImage,
    SelectedSlice,
    drawn,
    gallery_images,
    outcome,
)

MOST = 6  # pictures
LEAST_SIDE = 96  # px of a cut-out: a lesion of 6 px is seen, and where it lies
AROUND = 6  # times the longer side of its box
TURNS = ("hit", "missed", "false alarm")
UNJUDGED = ("box", "detection")
WORDS = {"hit": "found", "missed": "missed", "false alarm": "false alarm"}
WORDS |= {"box": "labelled", "detection": "detected"}


class Glimpse(NamedTuple):
    """A cut-out of a slice.

    Attributes:
      picture: as in the gallery.
      slice: number of the whole slice in the gallery.
      kind: class in css of the outcome in its middle.
      words: what that is.
    """

    picture: GalleryImage
    slice: int
    kind: str
    words: str


def glimpses(
    slices: Sequence[SelectedSlice],
    lesions: Sequence[Mapping[str, Any]],
    edges: Sequence[float],
    threshold: float | None,
) -> list[Glimpse]:
    """Up to `MOST` of the gallery's slices: hits, misses and false alarms in turn.

    Of a slice the part around one outcome is shown. Their numbers say nothing of how
    often each happens. Arguments as those of `gallery_images`.
    """
    left: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for k, one in enumerate(slices):
        first: dict[str, Mapping[str, Any]] = {}
        for row in (lesions[i] for i in one.rows):
            if drawn(row, threshold):
                first.setdefault(outcome(row), row)
        for kind, row in first.items():
            left.setdefault(kind, []).append((k, row))
    turns = [kind for kind in TURNS if left.get(kind)]
    turns = turns or [kind for kind in UNJUDGED if left.get(kind)]
    made, used = [], set()
    while len(made) < MOST and any(left[kind] for kind in turns):
        for kind in turns:
            while left[kind]:
                k, row = left[kind].pop(0)
                if k not in used and len(made) < MOST:
                    used.add(k)
                    made.append((kind, k, row))
                    break
    made.sort(key=lambda one: turns.index(one[0]))
    cut_outs = []
    for kind, k, row in made:
        part, rows = _cut_out(slices[k], row, lesions)
        if kind in UNJUDGED:
            part = part._replace(rows=_best(rows))
        (picture,) = gallery_images([part], rows, edges, threshold)
        cut_outs.append(Glimpse(picture, k, OUTCOMES[kind][0], WORDS[kind]))
    return cut_outs


def _best(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """All labels, and as many of the most confident detections."""
    labels = [k for k, row in enumerate(rows) if row["kind"] == "box"]
    others = sorted(
        set(range(len(rows))) - {*labels}, key=lambda k: -float(rows[k]["score"])
    )
    return [*labels, *others[: max(1, len(labels))]]


def _cut_out(
    one: SelectedSlice, centre: Mapping[str, Any], lesions: Sequence[Mapping[str, Any]]
) -> tuple[SelectedSlice, list[dict[str, Any]]]:
    """The square around a box, and what lies in it, in its own px."""
    h, w = one.pixels.shape
    x0, y0, x1, y1 = (float(centre[key]) for key in ("x0", "y0", "x1", "y1"))
    side = int(min(max(LEAST_SIDE, AROUND * max(x1 - x0, y1 - y0)), h, w))
    left = round(min(max((x0 + x1 - side) / 2, 0), w - side))
    top = round(min(max((y0 + y1 - side) / 2, 0), h - side))
    rows = []
    for row in (lesions[i] for i in one.rows):
        moved = {"x0": float(row["x0"]) - left, "x1": float(row["x1"]) - left}
        moved |= {"y0": float(row["y0"]) - top, "y1": float(row["y1"]) - top}
        inside = (
            max(moved["x0"], moved["y0"]) < side and min(moved["x1"], moved["y1"]) > 0
        )
        if inside:
            rows.append({**row, **moved})
    pixels = one.pixels[top : top + side, left : left + side]
    return one._replace(pixels=pixels, rows=range(len(rows))), rows
