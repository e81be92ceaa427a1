"""Box formats and the IoU family.

Boxes are in pixels or grid cells, y growing downwards. `EPS` is an area in that unit,
so coordinates scaled to [0, 1] would be too small for it.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

EPS = 1e-7  # YOLOv5 v7.0; keeps 0/0 of two empty boxes at 0


def cxcywh_to_xyxy(boxes: Float[Array, "*n 4"]) -> Float[Array, "*n 4"]:
    """Centre and size to corners (x0, y0, x1, y1)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def pairwise_iou(a: Float[Array, "n 4"], b: Float[Array, "k 4"]) -> Float[Array, "n k"]:
    """IoU of every pair of boxes (x0, y0, x1, y1); 0 where both are empty."""
    low = jnp.maximum(a[:, None, :2], b[None, :, :2])
    high = jnp.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = jnp.maximum(high - low, 0).prod(axis=-1)
    area_a = (a[:, 2:] - a[:, :2]).prod(axis=-1)
    area_b = (b[:, 2:] - b[:, :2]).prod(axis=-1)
    union = area_a[:, None] + area_b[None, :] - inter
    return inter / jnp.where(union > 0, union, 1)


def giou_xyxy(a: Float[Array, "*n 4"], b: Float[Array, "*n 4"]) -> Float[Array, "*n"]:
    """Generalized IoU of boxes paired by row, in (-1, 1].

    Finite for empty boxes too, with a finite gradient, so padding rows may be masked
    afterwards. Rezatofighi et al., CVPR 2019, Algorithm 1.
    """
    inter, union = _overlap(a, b)
    width, height = _enclosing(a, b)
    hull = width * height + EPS
    return inter / union - (hull - union) / hull


def ciou_xyxy(a: Float[Array, "*n 4"], b: Float[Array, "*n 4"]) -> Float[Array, "*n"]:
    """Complete IoU of boxes paired by row: overlap, centre distance, aspect ratio.

    The weight of the aspect term carries no gradient. Finite for empty boxes, with a
    finite gradient. Zheng et al., AAAI 2020, Eqs. 8-11.
    """
    inter, union = _overlap(a, b)
    iou = inter / union
    width, height = _enclosing(a, b)
    shift = b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]  # twice the distance
    rho2 = jnp.sum(shift * shift, axis=-1) / 4
    v = 4 / math.pi**2 * (_angle(b) - _angle(a)) ** 2
    alpha = jax.lax.stop_gradient(v / (v - iou + (1 + EPS)))
    return iou - (rho2 / (width * width + height * height + EPS) + alpha * v)


def _overlap(a: Array, b: Array) -> tuple[Array, Array]:
    """Areas of the intersection and, with `EPS`, of the union."""
    inter = jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2])
    inter = jnp.prod(jnp.maximum(inter, 0), axis=-1)
    return inter, _area(a) + _area(b) - inter + EPS


def _area(box: Array) -> Array:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def _enclosing(a: Array, b: Array) -> tuple[Array, Array]:
    """Width and height of the smallest box around both."""
    size = jnp.maximum(a[..., 2:], b[..., 2:]) - jnp.minimum(a[..., :2], b[..., :2])
    return size[..., 0], size[..., 1]


def _angle(box: Array) -> Array:
    """The diagonal's angle, atan(w / h); a flat box counts as `EPS` high."""
    height = jnp.maximum(box[..., 3] - box[..., 1], EPS)
    return jnp.arctan((box[..., 2] - box[..., 0]) / height)
