"""What travels between the parts: batches, targets and detections.

Dimension letters: b images, t tiles (4 for mosaic, else 1), m padded boxes of a tile, n
boxes, h w pixels, c channels, a anchors.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Integer

from tqgd_jax.config import LEVELS

# Host code hands NumPy arrays over, device code JAX arrays; both have one shape.
Arr = Array | np.ndarray

T = TypeVar("T")

Pyramid = tuple[Array, ...]  # maps of P2, P3, P4, P5: strides 4, 8, 16, 32, NHWC


class Batch(NamedTuple):
    """Images as they are stored, grouped for mosaic. No pixel has been changed.

    Attributes:
      image: uint8, uint16 or int16 (HU), padded at the bottom and right with zeros.
      size: height and width of each image inside its padding, px.
      boxes: (x0, y0, x1, y1) in px of the stored image, pixel edges, x1 exclusive.
      labels: class index of each box.
      valid: False for padding rows of `boxes` and `labels`.
      index: number of each image in its split; -1 marks a padding image, which only
        evaluation has.
    """

    image: Integer[Arr, "b t h w c"]
    size: Int[Arr, "b t 2"]
    boxes: Float[Arr, "b t m 4"]
    labels: Int[Arr, "b t m"]
    valid: Bool[Arr, "b t m"]
    index: Int[Arr, "b t"]  # pyright: ignore[reportIncompatibleMethodOverride]


class Targets(NamedTuple):
    """Ground truth in network pixels, (x0, y0, x1, y1); padding rows are not `valid`."""

    boxes: Float[Arr, "b n 4"]
    labels: Int[Arr, "b n"]
    valid: Bool[Arr, "b n"]


class Views(NamedTuple):
    """What a network sees of a batch, and what it is to answer.

    Attributes:
      image: network input, in [0, 1].
      targets: boxes in network pixels.
      lesion: for segmentation, of each pixel 0, or 1 + the class of the lesion there.
    """

    image: Float[Arr, "b s s c"]
    targets: Targets
    lesion: Int[Arr, "b s s"] | None = None


class ProbabilityMaps(NamedTuple):
    """What a segmentation answers for each pixel.

    Attributes:
      probability: of lesion.
      label: class index, should there be a lesion.
    """

    probability: Float[Arr, "b h w"]
    label: Int[Arr, "b h w"]


class Detections(NamedTuple):
    """Boxes (x0, y0, x1, y1), best score first; padding rows are not `valid`."""

    boxes: Float[Arr, "b n 4"]
    scores: Float[Arr, "b n"]
    labels: Int[Arr, "b n"]
    valid: Bool[Arr, "b n"]


def by_level(values: Iterable[T]) -> dict[int, T]:
    """What belongs to P2, P3, P4 and P5, by the number of the level."""
    return dict(zip(LEVELS, values, strict=True))
