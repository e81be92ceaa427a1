"""Which detections find a lesion: the matching of YOLOv5 v7.0.

It differs from COCO's: there a detection whose best box is taken may have the next best
one, here it becomes a false positive.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.metrics.image import Image
from tqgd_jax.metrics.iou import box_iou

# .50, .55, ... .95, each the double nearest to it: an IoU of 3/5 reaches .6.
THRESHOLDS = np.arange(50, 100, 5) / 100


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
      thresholds: of IoU.
    """
    n, k = iou.shape
    hit = np.zeros((k, len(thresholds)), bool)
    if n == 0 or k == 0:
        return hit
    iou = np.where(labels[:, None] == det_labels[None, :], iou, -1.0)
    chosen, best = iou.argmax(axis=0), iou.max(axis=0)
    for t, threshold in enumerate(thresholds):
        candidates = np.flatnonzero(best >= threshold)
        _, first = np.unique(chosen[candidates], return_index=True)
        hit[candidates[first], t] = True
    return hit


def match_image(
    image: Image, thresholds: Float[np.ndarray, "t"] = THRESHOLDS
) -> Bool[np.ndarray, "k t"]:
    """`match` for the detections of one image, in the order in which they stand."""
    order = np.argsort(-image.det_scores, kind="stable")
    iou = box_iou(image.boxes, image.det_boxes[order])
    hit = np.zeros((len(order), len(thresholds)), bool)
    hit[order] = match(iou, image.labels, image.det_labels[order], thresholds)
    return hit


def found(image: Image, threshold: float, iou: float = 0.5) -> Bool[np.ndarray, "n"]:
    """Ground-truth boxes that a detection of at least `threshold` confidence finds."""
    keep = image.det_scores >= threshold
    overlap = box_iou(image.boxes, image.det_boxes[keep])
    same = image.labels[:, None] == image.det_labels[keep][None, :]
    overlap = np.where(same, overlap, -1.0)
    if not overlap.size:
        return np.zeros(len(image.boxes), bool)
    chosen = overlap.argmax(axis=0)[overlap.max(axis=0) >= iou]
    return np.isin(np.arange(len(image.boxes)), chosen)
