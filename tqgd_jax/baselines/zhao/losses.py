"""Losses of boxes: smooth L1, bounded IoU."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.zhao.deltas import centre_size


def smooth_l1(difference: Float[Array, "*n"], beta: float) -> Float[Array, "*n"]:
    """d^2 / (2 beta) below beta, |d| - beta / 2 above (Girshick, ICCV 2015, Eq. 3)."""
    d = jnp.abs(difference)
    return jnp.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def bounded_iou(
    boxes: Float[Array, "*n 4"], targets: Float[Array, "*n 4"]
) -> Float[Array, "*n 4"]:
    """1 - IoU if one of x, y, w, h alone were wrong, through smooth L1 of beta 0.2.

    Targets are constants. Tychsen-Smith and Petersson, CVPR 2018, section 4.

    Args:
      boxes: (x0, y0, x1, y1).
      targets: boxes paired by row; both with an area.
    """
    eps = 1e-3  # px
    centre, size = centre_size(boxes)
    target_centre, target_size = centre_size(targets)
    shift = 2 * jnp.abs(target_centre - centre)
    places = jnp.maximum((target_size - shift) / (target_size + shift + eps), 0)
    sides = jnp.minimum(target_size / (size + eps), size / (target_size + eps))
    return smooth_l1(1 - jnp.concatenate([places, sides], axis=-1), beta=0.2)
