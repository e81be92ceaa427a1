"""Weak labels of the arteries' regions, made of their lesions."""

import math

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from tqgd_jax.structures.batch import Arr


def squared_distance(mask: Bool[Array, "b h w"], reach: int) -> Float[Array, "b h w"]:
    """To the nearest pixel of the mask, px^2; at least reach^2 where none is in reach.

    Two passes: the nearest in the column, then over columns. Exact up to `reach` px.
    """
    far = jnp.float32(2 * reach**2 + 1)
    return _nearest(_nearest(jnp.where(mask, 0.0, far), reach, 1), reach, 2)


def _nearest(
    squared: Float[Array, "b h w"], reach: int, axis: int
) -> Float[Array, "b h w"]:
    """Minimum over shifts d along the axis of the shifted map plus d^2."""
    size = squared.shape[axis]
    pads = [(0, 0, 0)] * 3
    pads[axis] = (reach, reach, 0)
    around = lax.pad(squared, jnp.float32(jnp.inf), pads)
    nearest = squared
    for d in range(-reach, reach + 1):
        at = lax.slice_in_dim(around, reach + d, reach + d + size, axis=axis)
        nearest = jnp.minimum(nearest, at + d * d)
    return nearest


def region_labels(
    lesion: Int[Arr, "b h w"], arteries: int, radius: float
) -> Int[Array, "b h w"]:
    """1 + the artery whose lesion is nearest, within a disk of `radius` px; else 0.

    Of arteries at the same distance the first counts. The published regions were drawn
    by hand and are not public; these stand in for them.

    Args:
      lesion: 0 none, 1 + artery.
      arteries: their number.
      radius: of the disk around each pixel of a lesion, px.
    """
    reach = math.ceil(radius)
    squared = jnp.stack(
        [
            squared_distance(jnp.asarray(lesion == artery), reach)
            for artery in range(1, arteries + 1)
        ]
    )
    nearest = jnp.argmin(squared, axis=0).astype(jnp.int32) + 1
    return jnp.where(squared.min(axis=0) <= radius**2, nearest, 0)
