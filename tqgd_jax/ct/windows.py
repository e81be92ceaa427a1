"""Crop windows once the parts are known: only those of training follow the labels.

Elsewhere a labelled box that the window cuts or leaves out keeps its size and place, so
that it counts as missed unless it is found. docs/design/0010-heart-crop.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.config import Crop
from tqgd_jax.ct import crop
from tqgd_jax.overlap import beyond
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Record, Sample, Window

PAD = 4  # px kept free around a box for which a window is widened
FOLLOWED = {"train": {"train"}, "all": {"train", "val", "test"}, "none": set()}
DISCLAIMER = (
    "the crops of validation and test were widened around the labelled boxes "
    "(data.crop.widen=all), so no lesion was lost to the heart crop"
)


def between(
    windows: Int[np.ndarray, "z 4"],
    boxes: Sequence[Float[np.ndarray, "_ 4"]],
    *,
    rules: Crop,
    shape: tuple[int, int],
) -> list[tuple[Window, Window]]:
    """Of each slice its window, and the widest that any split shows.

    Args:
      windows: of a scan's slices, or of one image, around the heart.
      boxes: labelled boxes of each slice, px of the whole slice.
      rules: the settings.
      shape: height and width of a slice, px.
    """
    every = np.ones(len(windows), bool)
    wide = crop.widened(windows, boxes, every, per=rules.per, shape=shape, pad=PAD)
    return [*zip(_tuples(windows), _tuples(wide), strict=True)]


def _tuples(windows: Int[np.ndarray, "z 4"]) -> list[Window]:
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in windows.tolist()]


def fitted(
    records: Sequence[Record],
    parts: Sequence[str],
    names: Sequence[str],
    file: Path,
    *,
    rules: Crop,
) -> tuple[list[Window], list[Problem]]:
    """Windows of a scan's slices, or of one image, and what they do to labelled boxes.

    Args:
      records: of each slice.
      parts: of each slice; empty where it is in none.
      names: of each slice, for messages.
      file: that the slices are from, for messages.
      rules: the settings.
    """
    if all(record.window == record.widest for record in records):
        return [record.window for record in records], []
    windows = np.array([record.window for record in records])
    boxes, shape = [record.boxes for record in records], records[0].header[:2]
    chosen = np.array([part in FOLLOWED[rules.widen] for part in parts], bool)
    counts = np.array(
        [
            [which.sum() for which in beyond(of, tuple(window.tolist()))]
            for of, window in zip(boxes, windows, strict=True)
        ],
        int,
    ).reshape(-1, 2)
    problems = []
    for kind, here in (
        ("crop_widened", chosen),
        ("crop_cut", ~chosen & np.array([bool(part) for part in parts])),
    ):
        if counts[here].any():
            hit = np.flatnonzero(here & counts.any(axis=1)).tolist()
            where = f" ({', '.join(names[k] for k in hit)})"
            problems.append(Problem(file, 0, kind, _told(kind, counts[here]) + where))
    fit = crop.widened(windows, boxes, chosen, per=rules.per, shape=shape, pad=PAD)
    return _tuples(fit), problems


def _told(kind: str, counts: Int[np.ndarray, "_ 2"]) -> str:
    cut, outside = counts.sum(axis=0).tolist()
    if kind == "crop_widened":
        return f"the crop would have cut {cut + outside} labelled boxes and was widened"
    return f"the crop cuts {cut} and leaves out {outside} labelled boxes"


def notes(parts: Mapping[str, Sequence[Sample]]) -> list[str]:
    """What each part loses to the crop, as far as it does."""
    lines = []
    for part, samples in parts.items():
        sizes = [(i.header.width, i.header.height) for i in samples]
        each = [
            beyond(i.boxes, (0, 0, *s)) for i, s in zip(samples, sizes, strict=True)
        ]
        cut, outside = (sum(int(e[k].sum()) for e in each) for k in (0, 1))
        if cut or outside:
            lines.append(
                f"{part}: the crop cuts {cut} and leaves out {outside} of "
                f"{sum(len(i.boxes) for i in samples)} labelled boxes"
            )
    return lines


def disclaimer(split: str, rules: Crop, cropped: bool) -> str:
    """What every result must say: of the split, and of the crop if there is one."""
    return "; ".join(
        filter(None, [split, DISCLAIMER * (cropped and rules.widen == "all")])
    )
