"""What annotation files say: images, their boxes, and what is wrong with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Entry:
    """An image, its unique name, and its annotation file (COCO: with `key` in it)."""

    path: Path
    name: str
    label: Path | None
    key: str = ""


class Problem(NamedTuple):
    """Something wrong at `line` (0: the whole file) of `file`."""

    file: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.kind}: {self.text}"


@dataclass(frozen=True, eq=False)
class Annotation:
    """The boxes of one image as its file says them.

    Attributes:
      file: the annotation file; the image where it has none.
      boxes: (x0, y0, x1, y1), px of the image, pixel edges, x1 exclusive.
      names: class of each box.
      lines: line of `file` where each box stands.
      size: height and width that the file claims; None if it does not.
      relative: boxes are fractions of the image size (YOLO).
      rounding: unit of the last decimal of the file's numbers, in the unit of the boxes;
        0: exact.
      problems: met while reading.
    """

    file: Path
    boxes: Float[np.ndarray, "n 4"]
    names: tuple[str, ...]
    lines: tuple[int, ...]
    size: tuple[int, int] | None = None
    relative: bool = False
    rounding: float = 0.0
    problems: tuple[Problem, ...] = ()
