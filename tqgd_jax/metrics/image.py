"""One image as the referee sees it: what is there and what a detector said."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer


class Image(NamedTuple):
    """Ground truth and detections of one image; either may be empty.

    Attributes:
      name: of the image, as reports print it.
      boxes: ground truth (x0, y0, x1, y1), native px, pixel edges, x1 exclusive.
      labels: class index of each box.
      det_boxes: detected boxes, in any order, in the same units.
      det_scores: confidence of each detection.
      det_labels: class index of each detection.
    """

    name: str
    boxes: Float[np.ndarray, "n 4"]
    labels: Integer[np.ndarray, "n"]
    det_boxes: Float[np.ndarray, "k 4"]
    det_scores: Float[np.ndarray, "k"]
    det_labels: Integer[np.ndarray, "k"]


def check(images: Sequence[Image], num_classes: int) -> None:
    """Refuses what no figure could be computed from.

    Raises:
      ValueError: naming the image, for arrays of unequal length, a class index outside
        [0, num_classes) or a number that is not finite.
    """
    for image in images:
        kinds = (
            ("boxes", image.boxes, image.labels, np.zeros(len(image.boxes))),
            ("det_boxes", image.det_boxes, image.det_labels, image.det_scores),
        )
        for kind, boxes, labels, scores in kinds:
            if boxes.shape != (len(labels), 4) or len(scores) != len(labels):
                raise ValueError(
                    f"{image.name}: {kind} {boxes.shape}, labels {labels.shape} and "
                    f"scores {scores.shape} must be [n, 4], [n] and [n]"
                )
            if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
                raise ValueError(
                    f"{image.name}: class indices of {kind} must be in "
                    f"[0, {num_classes}), got {labels.min()} to {labels.max()}"
                )
            if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
                raise ValueError(
                    f"{image.name}: {kind} or their scores hold NaN or infinity; "
                    "`decode.nms` never returns such a row as valid"
                )
