"""Where objects are: targets and loss of the location branch.

Wang et al., CVPR 2019, section 3.5; the order of writing is mmdetection's.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from tqgd_jax.baselines.zhao.anchors import STRIDES, grids
from tqgd_jax.baselines.zhao.matching import Labels
from tqgd_jax.losses import bce

CENTRE, NEAR = (2, 5), (1, 4)  # q of `_region`, as whole numbers
BACKGROUND = 0.1  # weight of a cell away from all boxes
CELLS = 200  # the sum over this many cells counts as one


def location_targets(
    labels: Labels, size: tuple[int, int], base_scale: float
) -> tuple[Bool[Array, "b n"], Float[Array, "b n"]]:
    """Target and weight of each cell.

    On the level of a box the fifth of it about its centre is positive, weight 1, the
    half of it about that is ignored, weight 0; where boxes meet, the later one counts.
    The half is ignored on the levels above and below too. All else is negative.

    Args:
      labels: of the batch.
      size: height and width of the image.
      base_scale: side of the squares, cells.

    Returns:
      Cells in the order of `guided.Guides`.
    """
    boxes, valid = labels.boxes, labels.valid
    side = jnp.sqrt(
        jnp.prod(jnp.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6), axis=-1)
    )
    octave = jnp.log2(side) - math.log2(base_scale * STRIDES[0]) + 0.5
    level = jnp.clip(jnp.floor(octave), 0, len(STRIDES) - 1).astype(jnp.int32)
    of_levels = [
        _of_level(boxes, jnp.where(valid, level - i, 9), stride, grid)
        for i, (stride, grid) in enumerate(zip(STRIDES, grids(size), strict=True))
    ]
    positive, weight = zip(*of_levels, strict=True)
    return jnp.concatenate(positive, axis=1), jnp.concatenate(weight, axis=1)


def _of_level(
    boxes: Float[Array, "b m 4"],
    distance: Int[Array, "b m"],
    stride: int,
    grid: tuple[int, int],
) -> tuple[Bool[Array, "b n"], Float[Array, "b n"]]:
    """Targets and weights of a level that is `distance` from that of each box."""
    here, adjacent = distance == 0, jnp.abs(distance) == 1
    centre, near = (_region(boxes, q, stride, grid) for q in (CENTRE, NEAR))
    centre, own = centre & here[..., None], (near | centre) & here[..., None]
    last = own.shape[1] - 1 - jnp.argmax(own[:, ::-1], axis=1)
    positive = jnp.take_along_axis(centre, last[:, None], axis=1)[:, 0]
    ignored = own.any(axis=1) | (near & adjacent[..., None]).any(axis=1)
    return positive, jnp.where(positive, 1.0, jnp.where(ignored, 0.0, BACKGROUND))


def _region(
    boxes: Float[Array, "b m 4"],
    q: tuple[int, int],
    stride: int,
    grid: tuple[int, int],
) -> Bool[Array, "b m n"]:
    """Cells of a box without the part q on each side; both ends rounded, half to even.

    Ends often lie at a half. As quotients of exact numbers they are rounded alike
    however XLA fuses this.
    """
    part, whole = q
    low, high = boxes[..., :2], boxes[..., 2:]
    limit = jnp.array([grid[1], grid[0]], jnp.float32)[None, None, :]

    def end(near: Array, far: Array) -> Array:
        cell = ((whole - part) * near + part * far) / (whole * stride)
        return jnp.clip(jnp.rint(cell), 0.0, limit)

    first, last = end(low, high), end(high, low)

    def between(axis: int) -> Array:
        at = jnp.arange(grid[1 - axis], dtype=jnp.float32)[None, None, :]
        return (at >= first[..., axis, None]) & (at <= last[..., axis, None])

    cells = between(1)[..., :, None] & between(0)[..., None, :]
    return cells.reshape(*cells.shape[:2], -1)


def focal(logits: Float[Array, "*n"], targets: Bool[Array, "*n"]) -> Float[Array, "*n"]:
    """Sigmoid focal loss, alpha 0.25, gamma 2 (Lin et al., ICCV 2017, Eq. 5)."""
    p = jax.nn.sigmoid(logits)
    weight = jnp.where(targets, 0.25 * (1 - p) ** 2, 0.75 * p**2)
    return weight * bce(logits, targets.astype(jnp.float32))


def location_loss(
    logits: Float[Array, "b n"],
    positive: Bool[Array, "b n"],
    weight: Float[Array, "b n"],
) -> Float[Array, ""]:
    """Sum over all cells, divided by images times cells / 200."""
    return jnp.sum(weight * focal(logits, positive)) / (logits.size / CELLS)
