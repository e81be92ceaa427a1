"""What one look at a data set finds: everything but the pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.data.annotations import Problem
from tqgd_jax.data.images import Header


class SliceInfo(NamedTuple):
    """Where a slice of a CT scan comes from.

    Attributes:
      scan: name of the scan.
      scanner: what is known of it; may be empty.
      z: number of the slice, from the feet up.
      spacing: (dz, dy, dx) mm.
      crop: (x0, y0, x1, y1), the part of the whole slice that is the image, px.
    """

    scan: str
    scanner: str
    z: int
    spacing: tuple[float, float, float]
    crop: tuple[int, int, int, int]


class Lesion(NamedTuple):
    """What is known of a box beyond its place; empty or 0 where nothing is.

    Attributes:
      artery: "LAD", "LCX" or "RCA", or the value in the mask.
      lesion: number of the 3-D lesion in its scan, from 1.
      hu_max: HU.
      area_px, area_mm2: of the lesion's pixels in the slice.
    """

    artery: str
    lesion: int
    hu_max: int
    area_px: int
    area_mm2: float


@dataclass(frozen=True, eq=False)
class Item:
    """One image or slice, and the boxes that `data.bad_labels` keeps.

    `pixels` reads it as `header` says; `path` is for messages. `slice` and `lesions`
    (one for each box) are those of CT.
    """

    path: Path
    name: str
    group: str
    header: Header
    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    pixels: Callable[[], np.ndarray]
    slice: SliceInfo | None = None
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True, eq=False)
class Scan:
    """A data set.

    Attributes:
      root, format: folder and format.
      mode: where the parts come from, such as "csv", "folds" or "ratio".
      seeded: whether the seed had a say in them.
      stamp: what every result on this split must say; empty for an honest one.
      classes: names by index.
      parts: by "train", "val" and "test".
      problems: faults, and what is only worth knowing.
    """

    root: Path
    format: str
    mode: str
    seeded: bool
    classes: tuple[str, ...]
    parts: dict[str, list[Item]]
    problems: list[Problem]
    stamp: str = ""
    notes: list[str] = field(default_factory=list)
