"""Which candidate boxes answer for which label, and which of them are sampled."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from tqgd_jax.structures.batch import Targets

PADDING = (0.0, 0.0, 1.0, 1.0)  # a box whose sides have a logarithm


# Squares on either side of a label often fit it equally. Fused differently, XLA rounds
# their IoU differently.
TIE = 1e-5


class Labels(NamedTuple):
    """Ground truth as `Targets`, of one image or of a batch, ready for arithmetic."""

    boxes: Float[Array, "*b m 4"]
    classes: Int[Array, "*b m"]
    valid: Bool[Array, "*b m"]


def prepared(targets: Targets) -> Labels:
    """The targets in float32, with unit boxes as padding and at least one row."""
    boxes, classes, valid = map(jnp.asarray, targets)
    padding = jnp.array(PADDING, jnp.float32)[None, None, :]
    boxes = jnp.where(valid[..., None], boxes.astype(jnp.float32), padding)
    if not boxes.shape[1]:
        b = len(boxes)
        boxes = jnp.broadcast_to(padding, (b, 1, 4))
        classes, valid = jnp.zeros((b, 1), jnp.int32), jnp.zeros((b, 1), bool)
    return Labels(boxes, classes, valid)


class Match(NamedTuple):
    """Of each candidate box.

    Attributes:
      label: which it answers for, where it is positive.
      positive: it answers for one.
      negative: it answers that there is nothing; neither is ignored.
    """

    label: Int[Array, "n"]
    positive: Bool[Array, "n"]
    negative: Bool[Array, "n"]


def match(
    iou: Float[Array, "n m"],
    valid: Bool[Array, "m"],
    *,
    positive: float,
    negative: float,
    at_least: float | None = None,
) -> Match:
    """Faster R-CNN's rule (Ren et al., 2015, section 3.1.2).

    Args:
      iou: of candidates and labels, float32.
      valid: False for padding labels.
      positive: a candidate whose best IoU reaches it belongs to that label.
      negative: one whose best IoU is below it is negative.
      at_least: all candidates that attain the maximum of a label, to rounding, belong
        to it, if that is so high; of several such labels to the last.
    """
    iou = jnp.where(valid[None, :], iou, -1.0)
    best, index = iou.max(axis=1), jnp.argmax(iou, axis=1)
    is_positive = best >= positive
    if at_least is not None:
        top = iou.max(axis=0)
        attains = (iou >= top[None, :] - TIE) & (top >= at_least)[None, :]
        last = attains.shape[1] - 1 - jnp.argmax(attains[:, ::-1], axis=1)
        rescued = attains.any(axis=1)
        index = jnp.where(rescued, last, index)
        is_positive |= rescued
    return Match(index, is_positive, (best < negative) & ~is_positive)


class Sample(NamedTuple):
    """Candidates by number, positive ones first; rows to spare are not `valid`."""

    at: Int[Array, "s"]
    positive: Bool[Array, "s"]
    valid: Bool[Array, "s"]


def sample(
    key: Array,
    positive: Bool[Array, "n"],
    negative: Bool[Array, "n"],
    *,
    size: int = 256,
    max_positive: int,
) -> Sample:
    """Draws at most `max_positive` positives, then negatives until there are `size`."""
    n = len(positive)
    size, max_positive = min(size, n), min(max_positive, n)
    lot = jax.random.uniform(key, (n,))
    drawn, index = lax.top_k(jnp.where(positive, lot, -1.0), max_positive)
    taken = jnp.zeros(n, bool).at[index].set(drawn >= 0)
    order = jnp.where(taken, 1 + lot, jnp.where(negative, lot, -1.0))
    drawn, index = lax.top_k(order, size)
    return Sample(index, taken[index], drawn >= 0)
