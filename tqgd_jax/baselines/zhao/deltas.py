"""From a box to another: shift in its sides and log ratio of sides (R-CNN)."""

import math

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.boxes import cxcywh_to_xyxy

Stds = tuple[float, float, float, float]

RPN_STDS: Stds = (0.07, 0.07, 0.11, 0.11)
ROI_STDS: Stds = (0.05, 0.05, 0.1, 0.1)
LIMIT = math.log(1000 / 16)  # of |log ratio|, whatever is predicted


def centre_size(
    boxes: Float[Array, "*n 4"],
) -> tuple[Float[Array, "*n 2"], Float[Array, "*n 2"]]:
    """Centre (x, y) and size (w, h) of boxes (x0, y0, x1, y1)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def encode(
    boxes: Float[Array, "*n 4"], targets: Float[Array, "*n 4"], stds: Stds
) -> Float[Array, "*n 4"]:
    """(dx / w, dy / h, log w' / w, log h' / h), each divided by its `stds`."""
    centre, size = centre_size(boxes)
    target_centre, target_size = centre_size(targets)
    shift = (target_centre - centre) / size
    return jnp.concatenate([shift, jnp.log(target_size / size)], axis=-1) / _along_last(
        stds, boxes
    )


def decode(
    boxes: Float[Array, "*n 4"],
    deltas: Float[Array, "*n 4"],
    stds: Stds,
    limit: float = LIMIT,
) -> Float[Array, "*n 4"]:
    """The boxes that `encode` gives these deltas for.

    Args:
      boxes: (x0, y0, x1, y1).
      deltas: predictions.
      stds: what `encode` divided by.
      limit: |log ratio| of sides is clipped to it after the multiplication by `stds`.
    """
    centre, size = centre_size(boxes)
    deltas = deltas * _along_last(stds, boxes)
    ratio = jnp.exp(jnp.clip(deltas[..., 2:], -limit, limit))
    moved = centre + deltas[..., :2] * size
    return cxcywh_to_xyxy(jnp.concatenate([moved, size * ratio], axis=-1))


def _along_last(values: Stds, like: Array) -> Array:
    return jnp.array(values, jnp.float32).reshape((1,) * (like.ndim - 1) + (4,))


def clip(boxes: Float[Array, "*n 4"], size: tuple[int, int]) -> Float[Array, "*n 4"]:
    """Boxes cut off at the edges of an image of height and width."""
    high = jnp.array([size[1], size[0]] * 2, boxes.dtype)
    return jnp.clip(boxes, 0.0, high.reshape((1,) * (boxes.ndim - 1) + (4,)))
