"""Which detections find a lesion: the matching of YOLOv5 v7.0.

It differs from COCO's: there a detection whose best box is taken may have the next best
one, here it becomes a false positive.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.overlap import box_iou
from tqgd_jax.structures.image import Image

# .50, .55, ... .95, each the double nearest to it: an IoU of 3/5 reaches .6.
THRESHOLDS = np.arange(50, 100, 5) / 100
# Before them two at which a tiny box may be a pixel or two off.
ALL_THRESHOLDS = np.concatenate([[0.1, 0.3], THRESHOLDS])


def place(iou: float) -> int:
    """Index of an IoU in `ALL_THRESHOLDS`."""
    return ALL_THRESHOLDS.tolist().index(iou)


class Matched(NamedTuple):
    """Detections of one image, in the order in which they stand.

    Attributes:
      hit: true positives at each IoU threshold.
      ignored: neither true nor false: on an ignored box.
      box: index of the box that a hit has found, at whatever threshold; -1 where no box
        overlaps.
    """

    hit: Bool[np.ndarray, "k t"]
    ignored: Bool[np.ndarray, "k t"]
    box: Integer[np.ndarray, "k"]


def match(
    iou: Float[np.ndarray, "n k"],
    labels: Integer[np.ndarray, "n"],
    det_labels: Integer[np.ndarray, "k"],
    thresholds: Float[np.ndarray, "t"] = THRESHOLDS,
) -> Bool[np.ndarray, "k t"]:
    """True positives at each IoU threshold (YOLOv5 v7.0 rule).

    A detection chooses, among the boxes of its class, the one with the highest IoU
    (equal IoUs: the first box), and needs IoU >= threshold. Of the detections that
    chose one box the most confident is the true positive, whatever the others' IoU; all
    others are false positives. So leaving out detections below some confidence changes
    nothing for those above it.

    Args:
      iou: of boxes and detections; detections in order of falling confidence.
      labels: classes of the boxes.
      det_labels: classes of the detections.
      thresholds: of IoU, rising.
    """
    n, k = iou.shape
    hit = np.zeros((k, len(thresholds)), bool)
    if n == 0 or k == 0:
        return hit
    iou = np.where(labels[:, None] == det_labels[None, :], iou, -1.0)
    chosen = iou.argmax(axis=0)
    level = np.searchsorted(thresholds, iou.max(axis=0), "right")  # how many it reaches
    # Of those that chose one box, each takes the thresholds that none before it reached.
    order = np.argsort(chosen, kind="stable")
    level, start = level[order], chosen[order] * (len(thresholds) + 1)
    highest = np.maximum.accumulate(start + level)
    taken = np.maximum(np.append(0, highest[:-1]) - start, 0)
    t = np.arange(len(thresholds))
    hit[order] = (taken[:, None] <= t) & (t < level[:, None])
    return hit


def matches(image: Image, thresholds: Float[np.ndarray, "t"]) -> Matched:
    """`match` for the detections of one image, with what they have found.

    A detection that finds nothing is ignored when its intersection with an ignored box
    of its class, divided by its own area, reaches the threshold (COCO's measure).
    """
    order = np.argsort(-image.det_scores, kind="stable")
    real = np.flatnonzero(image.counting)
    iou = box_iou(image.boxes, image.det_boxes, ~image.counting)
    labels, det_labels = image.labels[real], image.det_labels
    hit = np.zeros((len(order), len(thresholds)), bool)
    hit[order] = match(iou[real][:, order], labels, det_labels[order], thresholds)
    iou = np.where(image.labels[:, None] == det_labels[None, :], iou, 0.0)
    box = np.full(len(order), -1)
    if len(real) and len(order):
        near = iou[real]
        box = np.where(near.max(axis=0) > 0, real[near.argmax(axis=0)], -1)
    inside = iou[~image.counting].max(axis=0, initial=0.0)
    return Matched(hit, ~hit & (inside[:, None] >= thresholds), box)
