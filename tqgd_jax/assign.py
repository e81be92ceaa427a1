"""Which anchors and cells answer for which ground truth: the YOLOv5 v7.0 rule.

Every (cell, anchor, image, box) combination that could match stands in one dense array
with a mask, so shapes do not depend on the targets.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from tqgd_jax.structures.batch import Targets

# A box is also offered to the cells near its centre: own, left, top, right, bottom.
# Each is the cell that the box's centre falls into when moved by this much, (x, y).
OFFSETS = ((0.0, 0.0), (-0.5, 0.0), (0.0, -0.5), (0.5, 0.0), (0.0, 0.5))


class Candidates(NamedTuple):
    """Possible matches of a level; k counts `OFFSETS`, a anchors, n boxes of an image.

    Attributes:
      mask: which of them are matches.
      row, col: cell, inside the grid.
      xy: centre of the box relative to its cell, in cells, -0.5 to 1.5 where matched;
        the cell here is the one before it was moved inside the grid.
      wh: size of the box in cells, at least 0.
    """

    mask: Bool[Array, "k a b n"]
    row: Int[Array, "k b n"]
    col: Int[Array, "k b n"]
    xy: Float[Array, "k b n 2"]
    wh: Float[Array, "b n 2"]


def assign(
    targets: Targets,
    anchors: Float[Array, "a 2"],
    stride: int,
    grid: tuple[int, int],
    threshold: float,
) -> Candidates:
    """Matches of one level.

    A box matches an anchor when neither its width nor its height differs by `threshold`
    times or more; no IoU is asked. It then matches the cell of its centre and the
    neighbours left or right, above or below, whose edge is less than half a cell away,
    if they are on the grid. Boxes without an area never match.

    Args:
      targets: boxes in network pixels.
      anchors: width and height in network pixels.
      stride: pixels per cell.
      grid: rows and columns of cells.
      threshold: `Loss.anchor_threshold`.
    """
    boxes = jnp.where(targets.valid[..., None], targets.boxes, 0.0) / stride
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    wh = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    cells = jnp.array((grid[1], grid[0]), jnp.float32)  # (x, y), as the boxes

    # As products, so that a side of 0 is no division.
    side, anchor = wh[None], anchors[:, None, None, :] / stride
    fits = (side < threshold * anchor) & (anchor < threshold * side)
    fits = jnp.all(fits, axis=-1)

    to_end = cells[None, None, :] - centre
    before = (centre % 1 < 0.5) & (centre > 1)
    after = (to_end % 1 < 0.5) & (to_end > 1)
    own = jnp.ones_like(before[..., 0])
    near = jnp.stack(
        [own, before[..., 0], before[..., 1], after[..., 0], after[..., 1]]
    )

    cell = jnp.floor(centre[None] + jnp.array(OFFSETS)[:, None, None, :])
    inside = jnp.clip(cell, 0.0, cells[None, None, None, :] - 1).astype(jnp.int32)
    return Candidates(
        mask=near[:, None] & (fits & targets.valid[None])[None],
        row=inside[..., 1],
        col=inside[..., 0],
        xy=centre[None] - cell,
        wh=wh,
    )
