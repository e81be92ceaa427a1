"""Targets and losses of shapes, scores and deltas of the first stage, one image a time.

Each gives a sum over sampled cells, and how many cells those are.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

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


def shape_terms(
    key: Array,
    squares: Float[Array, "n 4"],
    anchors: Float[Array, "n 4"],
    labels: Labels,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Bounded IoU of guided anchors and their labels (Wang et al., section 3.5).

    Args:
      key: of the sample.
      squares: one a cell.
      anchors: guided, with their gradient.
      labels: of the image.
    """
    m = match_cells(best_of_nine(squares, labels.boxes), labels)
    s = sample(key, m.positive, m.negative, size=SAMPLED, max_positive=MAX_POSITIVE)
    loss = bounded_iou(anchors[s.at], labels.boxes[m.label[s.at]])
    loss = jnp.where(s.positive[:, None], loss, 0.0)
    return jnp.sum(loss), jnp.sum(s.valid, dtype=jnp.float32)


def score_terms(
    key: Array,
    anchors: Float[Array, "n 4"],
    score: Float[Array, "n"],
    delta: Float[Array, "n 4"],
    labels: Labels,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Cross-entropy of scores and smooth L1 of deltas, on guided anchors.

    Args:
      key: of the sample.
      anchors: guided, constants here.
      score: logits.
      delta: predictions.
      labels: of the image.
    """
    anchors = jax.lax.stop_gradient(anchors)
    m = match_cells(pairwise_iou(anchors, labels.boxes), labels)
    s = sample(key, m.positive, m.negative, size=SAMPLED, max_positive=MAX_POSITIVE)
    entropy = bce(score[s.at], s.positive.astype(jnp.float32))
    boxes = labels.boxes[m.label[s.at]]
    positive = s.positive[:, None]
    # An anchor without an area is never positive, and has no finite delta.
    wanted = jnp.where(positive, encode(anchors[s.at], boxes, RPN_STDS), 0.0)
    away = smooth_l1(delta[s.at] - wanted, beta=1.0)
    return (
        jnp.sum(jnp.where(s.valid, entropy, 0.0)),
        jnp.sum(jnp.where(positive, away, 0.0)),
        jnp.sum(s.valid, dtype=jnp.float32),
    )
