"""Weighted box fusion: the boxes of several detectors as one set.

Solovyev, Wang, Gabruseva, Image and Vision Computing 107, 2021, section 3.
docs/design/0034-predict.md.
"""

from collections.abc import Sequence

import numpy as np

from tqgd_jax.overlap import box_iou
from tqgd_jax.predictor import Boxes

IOU = 0.55  # the paper's: from which a box joins a cluster


def fused(detections: Sequence[Boxes], iou: float = IOU) -> Boxes:
    """Boxes of one image that several detectors found, the best first.

    A cluster's box is the mean of its members by their scores. Its score is the mean of
    theirs, times the share of detectors that it has members for: min(members,
    detectors) / detectors.

    Args:
      detections: of each detector, all that it says of the image: what only one of
        them is sure of loses.
      iou: above which a box belongs to a cluster's box; that of the largest overlap,
        and only one of its class.
    """
    boxes = np.concatenate([of.boxes for of in detections]).astype(np.float64)
    scores = np.concatenate([of.scores for of in detections]).astype(np.float64)
    labels = np.concatenate([of.labels for of in detections])
    n = len(scores)
    means, sums = np.zeros((n, 4)), np.zeros(n)
    weighted, members = np.zeros((n, 4)), np.zeros(n, int)
    kind = np.full(n, -1)
    k = 0
    for i in np.argsort(-scores, kind="stable"):
        overlap = box_iou(boxes[i : i + 1], means[:k])[0]
        overlap[kind[:k] != labels[i]] = 0.0
        best = int(overlap.argmax()) if k else 0
        if not k or overlap[best] <= iou:
            best, k = k, k + 1
        kind[best] = labels[i]
        weighted[best] += scores[i] * boxes[i]
        sums[best] += scores[i]
        members[best] += 1
        means[best] = weighted[best] / sums[best]
    number = len(detections)
    score = sums[:k] / members[:k] * np.minimum(members[:k], number) / number
    order = np.argsort(-score, kind="stable")
    dtype = detections[0].boxes.dtype
    return Boxes(
        means[:k][order].astype(dtype),
        score[order].astype(detections[0].scores.dtype),
        kind[:k][order].astype(labels.dtype),
    )
