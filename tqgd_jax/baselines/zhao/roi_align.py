"""RoIAlign, aligned form (He et al., ICCV 2017, section 3), of boxes on any level."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from tqgd_jax.baselines.zhao.bilinear import read

SAMPLES = 2  # a bin and side
LARGE = 56  # px: boxes of twice this side and more are read on P3, of four times on P4


def level_of(boxes: Float[Array, "*n 4"], count: int) -> Int[Array, "*n"]:
    """Which of the levels a box is read on, 0 the finest: floor(log2(sqrt(area) / 56)).

    Args:
      boxes: (x0, y0, x1, y1), network px.
      count: of the levels; the result is cut to those that there are.
    """
    area = jnp.maximum((boxes[..., 2:] - boxes[..., :2]).prod(axis=-1), 1e-6)
    level = jnp.floor(jnp.log2(jnp.sqrt(area) / LARGE)).astype(jnp.int32)
    return jnp.clip(level, 0, count - 1)


def roi_align(
    levels: tuple[Array, ...],
    boxes: Float[Array, "b r 4"],
    *,
    bins: int = 7,
    stride: int = 4,
) -> Float[Array, "b r k k c"]:
    """Mean of 2x2 bilinear samples in each bin of each box, float32.

    A box is read on the level of `level_of`. Pixel centres lie at half pixels. A sample
    more than a pixel outside is 0; else it is moved to the nearest pixel inside.

    Args:
      levels: maps of equal channels, finest first, each half the one before.
      boxes: (x0, y0, x1, y1), network px.
      bins: k, of a side.
      stride: network px a pixel of the finest level.
    """
    b, r = boxes.shape[:2]
    boxes = boxes.astype(jnp.float32)
    shapes = [level.shape[1:3] for level in levels]
    cells = [h * w for h, w in shapes]
    rows = jnp.concatenate([x.reshape(b, -1, x.shape[-1]) for x in levels], axis=1)
    rows = rows.reshape(-1, rows.shape[-1]).astype(jnp.float32)  # sums of gradients too

    level = level_of(boxes, len(levels))[..., None, None]
    height = jnp.array([h for h, _ in shapes])[level]
    width = jnp.array([w for _, w in shapes])[level]
    bottom, right = (n.astype(jnp.float32) - 1 for n in (height, width))
    first = jnp.array([sum(cells[:i]) for i in range(len(cells))])[level]
    first += jnp.arange(b)[:, None, None, None] * sum(cells)

    place = boxes / (stride * 2.0 ** level[..., 0].astype(jnp.float32)) - 0.5
    side = (place[..., 2:] - place[..., :2]) / bins

    @jax.checkpoint
    def add(total: Array, part: Array) -> tuple[Array, None]:
        at = jnp.arange(bins, dtype=jnp.float32)[None, None, :]
        y, x = (
            place[..., axis, None] + (at + part[1 - axis]) * side[..., axis, None]
            for axis in (1, 0)
        )
        y, x = jnp.broadcast_arrays(y[..., :, None], x[..., None, :])
        inside = (y >= -1) & (y <= bottom + 1) & (x >= -1) & (x <= right + 1)
        value = read(
            rows,
            jnp.clip(y, 0.0, bottom),
            jnp.clip(x, 0.0, right),
            height=height,
            width=width,
            first=first,
        )
        return total + jnp.where(inside[..., None], value, 0.0), None

    ticks = (jnp.arange(SAMPLES, dtype=jnp.float32) + 0.5) / SAMPLES
    parts = jnp.stack(jnp.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    zero = jnp.zeros((b, r, bins, bins, rows.shape[-1]), jnp.float32)
    total, _ = lax.scan(add, zero, parts)
    return total / SAMPLES**2
