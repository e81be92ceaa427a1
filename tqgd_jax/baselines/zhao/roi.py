"""The second stage: what is in a proposal, and where exactly."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from tqgd_jax.baselines.zhao.deltas import ROI_STDS, clip, decode, encode
from tqgd_jax.baselines.zhao.matching import Labels, match, sample
from tqgd_jax.baselines.zhao.roi_align import roi_align
from tqgd_jax.boxes import pairwise_iou
from tqgd_jax.config import Eval
from tqgd_jax.decode import nms
from tqgd_jax.nn.blocks import Mode
from tqgd_jax.structures.batch import Detections, Pyramid

POSITIVE_IOU = 0.6
SAMPLED, MAX_POSITIVE = 256, 64


class RoiHead(nn.Module):
    """7x7 bins of a box through two dense layers to classes and class-wise deltas.

    Returns logits, the background last, and (dx, dy, dw, dh) for each class, float32.
    """

    hidden: int
    num_classes: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, levels: Pyramid, boxes: Float[Array, "b r 4"]
    ) -> tuple[Float[Array, "b r k"], Float[Array, "b r c 4"]]:
        def dense(features, name, dtype=self.mode.dtype):
            return nn.Dense(
                features, dtype=dtype, precision=self.mode.products, name=name
            )

        b, r = boxes.shape[:2]
        x = roi_align(levels, boxes).reshape(b, r, -1)
        x = nn.relu(dense(self.hidden, "fc1")(x))
        x = nn.relu(dense(self.hidden, "fc2")(x)).astype(jnp.float32)
        logits = dense(self.num_classes + 1, "cls", "float32")(x)
        deltas = dense(4 * self.num_classes, "box", "float32")(x)
        return logits, deltas.reshape(b, r, self.num_classes, 4)


class Regions(NamedTuple):
    """Sampled boxes of an image, and what is to be answered of them.

    Attributes:
      boxes: network px.
      classes: indices; the number of classes is the background.
      deltas: from the boxes to their labels; of those that are positive.
      valid: False for rows to spare.
    """

    boxes: Float[Array, "*b s 4"]
    classes: Int[Array, "*b s"]
    deltas: Float[Array, "*b s 4"]
    valid: Bool[Array, "*b s"]


def roi_targets(
    key: Array,
    proposals: Float[Array, "r 4"],
    proposed: Bool[Array, "r"],
    labels: Labels,
    num_classes: int,
) -> Regions:
    """Draws boxes of an image.

    Labels are proposals too, so that a first stage that finds nothing yet does not keep
    the second from learning. A box with IoU 0.6 is its label's; the others are
    background.

    Args:
      key: of the sample.
      proposals: of the first stage.
      proposed: False for padding.
      labels: of the image.
      num_classes: the index of the background.
    """
    boxes = jnp.concatenate([proposals, labels.boxes])
    real = jnp.concatenate([proposed, labels.valid])
    iou = pairwise_iou(boxes, labels.boxes)
    m = match(iou, labels.valid, positive=POSITIVE_IOU, negative=POSITIVE_IOU)
    s = sample(
        key,
        m.positive & real,
        m.negative & real,
        size=SAMPLED,
        max_positive=MAX_POSITIVE,
    )
    boxes, label = boxes[s.at], m.label[s.at]
    classes = jnp.where(s.positive, labels.classes[label], num_classes)
    deltas = encode(boxes, labels.boxes[label], ROI_STDS)
    return Regions(boxes, classes, deltas, s.valid)


def roi_terms(
    logits: Float[Array, "s k"],
    deltas: Float[Array, "s c 4"],
    regions: Regions,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Sums of cross-entropy and of L1 over the samples of an image, and their number."""
    _, classes, wanted, valid = regions
    every = jax.nn.log_softmax(logits)
    entropy = -jnp.take_along_axis(every, classes[:, None], axis=1)[:, 0]
    num_classes = deltas.shape[1]
    own = jnp.minimum(classes, num_classes - 1)[:, None, None]
    own = jnp.take_along_axis(deltas, own, axis=1)[:, 0]
    positive = valid & (classes < num_classes)
    l1 = jnp.where(positive[:, None], jnp.abs(own - wanted), 0.0)
    count = jnp.sum(valid, dtype=jnp.float32)
    return jnp.sum(jnp.where(valid, entropy, 0.0)), jnp.sum(l1), count


def detections(
    proposals: Float[Array, "b r 4"],
    proposed: Bool[Array, "b r"],
    logits: Float[Array, "b r k"],
    deltas: Float[Array, "b r c 4"],
    size: tuple[int, int],
    cfg: Eval,
) -> Detections:
    """Class-wise boxes, cut off at the edges of the image, after suppression by class."""
    b, r, c = deltas.shape[:3]
    boxes = clip(
        decode(jnp.broadcast_to(proposals[:, :, None], deltas.shape), deltas, ROI_STDS),
        size,
    )
    scores = jnp.where(proposed[..., None], jax.nn.softmax(logits)[..., :c], 0.0)
    # A candidate of its own for each class, because its box is another.
    own = scores[..., None] * jnp.eye(c)[None, None]
    return nms(
        boxes.reshape(b, r * c, 4),
        own.reshape(b, r * c, c),
        jnp.ones((b, r * c)),
        min_score=cfg.min_score,
        iou=cfg.nms_iou,
        max_detections=cfg.max_detections,
    )
