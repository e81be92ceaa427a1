"""Squares, one a cell; anchors of guided shape; the nine that targets are measured by.

Boxes are (x0, y0, x1, y1) in network px, cells ordered as in `guided.Guides`.
"""

import math

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.zhao.deltas import Stds, decode
from tqgd_jax.boxes import cxcywh_to_xyxy

STRIDES = (4, 8, 16, 32, 64)  # network px a cell, P2 to P6
SHAPE_STDS: Stds = (0.14, 0.14, 0.14, 0.14)
SHAPE_LIMIT = math.log(1e6)  # of |log| of a side against the square's

# Width and height of the nine, as multiples of the square's side: three octave scales,
# three ratios of height to width.
NINE = tuple(
    (2 ** (k / 3) / math.sqrt(ratio), 2 ** (k / 3) * math.sqrt(ratio))
    for k in range(3)
    for ratio in (0.5, 1.0, 2.0)
)


def grids(size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Rows and columns of cells of each level, for an image of height and width."""
    return tuple((-(-size[0] // s), -(-size[1] // s)) for s in STRIDES)


def squares(size: tuple[int, int], base_scale: float) -> Float[Array, "n 4"]:
    """One square a cell: side base_scale * stride, centre (column, row) * stride.

    Centres stand on the corners of cells, not half a cell in, as in mmdetection.
    """
    boxes = []
    for (h, w), stride in zip(grids(size), STRIDES, strict=True):
        y, x = jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij")
        centre = jnp.stack([x, y], axis=-1).reshape(-1, 2).astype(jnp.float32) * stride
        side = jnp.full((h * w, 2), base_scale * stride, jnp.float32)
        boxes.append(cxcywh_to_xyxy(jnp.concatenate([centre, side], axis=-1)))
    return jnp.concatenate(boxes)


def guided(
    square: Float[Array, "n 4"], shape: Float[Array, "*b n 2"]
) -> Float[Array, "*b n 4"]:
    """Anchors about the centres of the squares: width side * exp(0.14 dw), height alike.

    Args:
      square: see `squares`.
      shape: predictions dw, dh.
    """
    still = jnp.concatenate([jnp.zeros_like(shape), shape], axis=-1)
    square = jnp.broadcast_to(square, still.shape)
    return decode(square, still, SHAPE_STDS, limit=SHAPE_LIMIT)


def nine(square: Float[Array, "n 4"]) -> tuple[Float[Array, "n 4"], ...]:
    """The approximate anchors of each square, nine arrays (Wang et al., section 3.5)."""
    centre = (square[:, :2] + square[:, 2:]) / 2
    side = square[:, 2:] - square[:, :2]
    sizes = (side * jnp.array(factors, jnp.float32)[None, :] for factors in NINE)
    return tuple(cxcywh_to_xyxy(jnp.concatenate([centre, s], axis=-1)) for s in sizes)
