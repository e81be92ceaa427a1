"""Bilinear reading of a map at any place, as gathers of whole rows of channels."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


def read(
    rows: Float[Array, "k c"],
    y: Float[Array, "*n"],
    x: Float[Array, "*n"],
    *,
    height: Int[Array, "*#n"],
    width: Int[Array, "*#n"],
    first: Int[Array, "*#n"],
    every: int = 1,
) -> Float[Array, "*n c"]:
    """Values between the four pixels around each place; pixels outside count as 0.

    Args:
      rows: channels of the pixels of one or many maps, each in row-major order.
      y: row, in pixels; whole numbers are pixel centres.
      x: column.
      height: of the map that is read.
      width: of the map that is read.
      first: where the map begins in `rows`.
      every: distance in `rows` from one of its pixels to the next.

    Returns:
      float32, whatever `rows` are.
    """
    # Farther out is 0 too, and fits an int32.
    y = jnp.clip(y, -2.0, height.astype(y.dtype) + 1)
    x = jnp.clip(x, -2.0, width.astype(x.dtype) + 1)
    top, left = jnp.floor(y), jnp.floor(x)
    total = jnp.zeros((*y.shape, rows.shape[-1]), jnp.float32)
    for i in (0, 1):
        for j in (0, 1):
            row, column = top.astype(jnp.int32) + i, left.astype(jnp.int32) + j
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            part_y = y - top if i else 1 - (y - top)
            part_x = x - left if j else 1 - (x - left)
            weight = jnp.where(inside, part_y * part_x, 0.0)
            pixel = jnp.clip(row, 0, height - 1) * width + jnp.clip(
                column, 0, width - 1
            )
            at = rows.at[first + pixel * every].get(mode="promise_in_bounds")
            total += weight[..., None] * at.astype(jnp.float32)
    return total
