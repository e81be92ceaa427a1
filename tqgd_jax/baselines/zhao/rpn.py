"""Targets and losses of shapes, scores and deltas of the first stage, one image a time.

Each gives a sum over sampled cells, and how many cells those are.
"""

from functools import reduce
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from tqgd_jax.baselines.zhao.anchors import nine
from tqgd_jax.baselines.zhao.deltas import RPN_STDS, encode
from tqgd_jax.baselines.zhao.losses import bounded_iou, smooth_l1
from tqgd_jax.baselines.zhao.matching import Labels, Match, match, sample
from tqgd_jax.boxes import pairwise_iou
from tqgd_jax.losses import bce

POSITIVE_IOU, NEGATIVE_IOU, AT_LEAST = 0.7, 0.3, 0.3
SAMPLED, MAX_POSITIVE = 256, 128


def match_cells(iou: Float[Array, "n m"], labels: Labels) -> Match:
    """The rule of shapes and scores alike."""
    return match(
        iou,
        labels.valid,
        positive=POSITIVE_IOU,
        negative=NEGATIVE_IOU,
        at_least=AT_LEAST,
    )


def best_of_nine(
    squares: Float[Array, "n 4"], boxes: Float[Array, "m 4"]
) -> Float[Array, "n m"]:
    """IoU of a cell and a box: that of the best of its approximate anchors."""
    return reduce(jnp.maximum, (pairwise_iou(a, boxes) for a in nine(squares)))


class Cells(NamedTuple):
    """Sampled cells of an image, and the label of each that is positive.

    Attributes:
      at: index of the cell.
      positive: it has a label.
      valid: False for rows to spare.
      boxes: of the labels, network px.
    """

    at: Int[Array, "*b s"]
    positive: Bool[Array, "*b s"]
    valid: Bool[Array, "*b s"]
    boxes: Float[Array, "*b s 4"]


def sample_cells(key: Array, iou: Float[Array, "n m"], labels: Labels) -> Cells:
    """Draws cells of an image, given the IoU of each with each label."""
    m = match_cells(iou, labels)
    s = sample(key, m.positive, m.negative, size=SAMPLED, max_positive=MAX_POSITIVE)
    return Cells(*s, labels.boxes[m.label[s.at]])


def shape_terms(
    anchors: Float[Array, "n 4"], cells: Cells
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Bounded IoU of guided anchors and their labels (Wang et al., section 3.5).

    Args:
      anchors: guided, with their gradient.
      cells: sampled by the squares.
    """
    loss = bounded_iou(anchors[cells.at], cells.boxes)
    loss = jnp.where(cells.positive[:, None], loss, 0.0)
    return jnp.sum(loss), jnp.sum(cells.valid, dtype=jnp.float32)


def score_terms(
    anchors: Float[Array, "n 4"],
    score: Float[Array, "n"],
    delta: Float[Array, "n 4"],
    cells: Cells,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Cross-entropy of scores and smooth L1 of deltas, on guided anchors.

    Args:
      anchors: guided, constants here.
      score: logits.
      delta: predictions.
      cells: sampled by the anchors.
    """
    entropy = bce(score[cells.at], cells.positive.astype(jnp.float32))
    positive = cells.positive[:, None]
    # An anchor without an area is never positive, and has no finite delta.
    wanted = encode(lax.stop_gradient(anchors)[cells.at], cells.boxes, RPN_STDS)
    away = smooth_l1(delta[cells.at] - jnp.where(positive, wanted, 0.0), beta=1.0)
    return (
        jnp.sum(jnp.where(cells.valid, entropy, 0.0)),
        jnp.sum(jnp.where(positive, away, 0.0)),
        jnp.sum(cells.valid, dtype=jnp.float32),
    )
