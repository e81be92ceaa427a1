"""From guided anchors to the boxes that the second stage looks at."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

from tqgd_jax.baselines.zhao.anchors import grids
from tqgd_jax.baselines.zhao.deltas import RPN_STDS, clip, decode
from tqgd_jax.baselines.zhao.guided import Guides
from tqgd_jax.baselines.zhao.matching import PADDING
from tqgd_jax.decode import nms

COUNT = 300
PER_LEVEL = {True: 2000, False: 1000}  # candidates, in training and in test
MIN_LOCATION = 0.01  # in test; training reads all cells
NMS_IOU = 0.7


def propose(
    guides: Guides,
    anchors: Float[Array, "b n 4"],
    size: tuple[int, int],
    *,
    train: bool,
) -> tuple[Float[Array, "b r 4"], Bool[Array, "b r"]]:
    """The best 300 boxes of all levels after suppression within each level.

    Args:
      guides: predictions.
      anchors: guided, one a cell.
      size: height and width of the image; boxes are cut off there.
      train: how many candidates, and whether cells of low location count.

    Returns:
      Boxes, best first, and which of them are none.
    """
    score = jax.nn.sigmoid(guides.score)
    if not train:
        placed = jax.nn.sigmoid(guides.location) >= MIN_LOCATION
        score = jnp.where(placed, score, -1.0)
    cells = [h * w for h, w in grids(size)]
    most = min(PER_LEVEL[train], max(cells))
    levels, start = [], 0
    for n in cells:
        best, index = lax.top_k(score[:, start : start + n], min(most, n))
        index = index[..., None] + start
        boxes = decode(
            jnp.take_along_axis(anchors, index, axis=1),
            jnp.take_along_axis(guides.delta, index, axis=1),
            RPN_STDS,
        )
        boxes = clip(boxes, size)
        best = jnp.where((boxes[..., 2:] > boxes[..., :2]).all(axis=-1), best, -1.0)
        padding = ((0, 0), (0, most - min(most, n)))
        boxes = jnp.pad(boxes, (*padding, (0, 0)))
        levels.append((boxes, jnp.pad(best, padding, constant_values=-1.0)))
        start += n

    # Levels as images of one batch. The best 300 of all are among the best 300 of each.
    boxes, best = (jnp.stack(x, axis=1) for x in zip(*levels, strict=True))
    b, count, k = best.shape
    survivors = nms(
        boxes.reshape(b * count, k, 4),
        best.reshape(b * count, k, 1),
        (best >= 0).astype(jnp.float32).reshape(b * count, k),
        min_score=0.0,
        iou=NMS_IOU,
        max_detections=COUNT,
    )
    valid = survivors.valid.reshape(b, -1)
    ranked = jnp.where(valid, survivors.scores.reshape(b, -1), -1.0)
    best, index = lax.top_k(ranked, COUNT)
    boxes = survivors.boxes.reshape(b, -1, 4)
    boxes = jnp.take_along_axis(boxes, index[..., None], axis=1)
    valid = best >= 0
    padding = jnp.array(PADDING, jnp.float32)[None, None, :]
    return jnp.where(valid[..., None], boxes, padding), valid
