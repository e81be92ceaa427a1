"""What one look at a data set finds: everything but the pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.image import Lesion

Window = tuple[int, int, int, int]  # (x0, y0, x1, y1), px, x1 and y1 exclusive


class Header(NamedTuple):
    """Size, channels and depth of an image as `read_image` will give it."""

    height: int
    width: int
    channels: int
    dtype: str


class SliceInfo(NamedTuple):
    """Where a slice of a CT scan comes from.

    Attributes:
      scan: name of the scan.
      scanner: what is known of it; may be empty.
      z: number of the slice, from the feet up.
      spacing: (dz, dy, dx) mm.
      crop: (x0, y0, x1, y1), the part of the whole slice that is the image, px.
      beyond_mm: how far it lies below or above the heart that was found; else 0.
    """

    scan: str
    scanner: str
    z: int
    spacing: tuple[float, float, float]
    crop: Window
    beyond_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class Record:
    """One image or slice before it is split: all that any part of any split needs.

    Attributes:
      header: of the whole image.
      boxes: that `data.bad_labels` keeps, px of the whole image.
      labels: class index of each box.
      window: (x0, y0, x1, y1) around the heart, whatever the labels, px of the whole
        image; all of it where nothing crops.
      widest: the window that cuts no labelled box. A split shows one between the two.
      pixels: reads a window that `widest` holds.
      place: of CT: number of the slice from the feet up, (dz, dy, dx) mm, and how far it
        lies beyond the heart, mm.
      lesions: of CT: what is known of each box.
      parts: of a set with masks: which pixels of each box are its lesion, row by row,
        one box after the other (`data.masks`).
    """

    header: Header
    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    window: Window
    widest: Window
    pixels: Callable[[Window], np.ndarray]
    place: tuple[int, tuple[float, float, float], float] | None = None
    lesions: tuple[Lesion, ...] = ()
    parts: Bool[np.ndarray, " p"] | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One image or slice, and the boxes that `data.bad_labels` keeps.

    `pixels` reads it as `header` says; `path` is for messages. `slice` and `lesions`
    (one for each box) are those of CT; `crop` of images by a heart box: the part of the
    whole image, (x0, y0, x1, y1), px; `parts` as in `Record`.
    """

    path: Path
    name: str
    patient: str
    header: Header
    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    pixels: Callable[[], np.ndarray]
    slice: SliceInfo | None = None
    lesions: tuple[Lesion, ...] = ()
    crop: Window | None = None
    parts: Bool[np.ndarray, " p"] | None = None


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """A data set.

    Attributes:
      root, format: folder and format.
      mode: where the parts come from, such as "csv", "folds" or "ratio".
      seeded: whether the seed had a say in them.
      disclaimer: what every result on this split must say; empty for an honest one.
      classes: names by index.
      parts: by "train", "val" and "test".
      problems: faults, and what is only worth knowing.
      fold: (fold, folds) where the test part is one of several; else None.
      capacity: images that could train, whichever part the fold and the seed gave them.
    """

    root: Path
    format: str
    mode: str
    seeded: bool
    classes: tuple[str, ...]
    parts: dict[str, list[Sample]]
    problems: list[Problem]
    disclaimer: str = ""
    notes: list[str] = field(default_factory=list)
    fold: tuple[int, int] | None = None
    capacity: int = 0
