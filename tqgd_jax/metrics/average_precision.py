"""Average precision by the rule of YOLOv5 v7.0, which YOLO papers report."""

import numpy as np
from jaxtyping import Bool, Float

RULE = (
    "YOLOv5 v7.0: precision envelope through (0, 1), linear at 101 recalls, trapezoid; "
    "mean over classes with ground truth"
)


def precision_recall(
    hit: Bool[np.ndarray, "k"], boxes: int
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """Precision and recall after each detection.

    Args:
      hit: which detections are true positives, in order of falling confidence.
      boxes: ground-truth boxes, at least 1.
    """
    true = np.cumsum(hit, dtype=np.float64)
    return true / np.arange(1, len(hit) + 1), true / boxes


def envelope(
    hit: Bool[np.ndarray, "k"], boxes: int
) -> tuple[Float[np.ndarray, "e"], Float[np.ndarray, "e"]]:
    """Recall and precision of the curve under which AP is the area.

    The curve starts at (0, 1), ends at (1, 0), and precision never rises with recall.
    """
    precision, recall = precision_recall(hit, boxes)
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[1.0], precision, [0.0]])
    return recall, np.maximum.accumulate(precision[::-1])[::-1]


def average_precision(hit: Bool[np.ndarray, "k"], boxes: int) -> float:
    """Area under `envelope` at 101 recalls; 0 without detections.

    A perfect detector has 0.995: the curve falls to 0 at recall 1, over half a step.
    COCO's rule differs: no point (0, 1), and the mean of a step curve.
    """
    if len(hit) == 0:
        return 0.0
    grid = np.linspace(0, 1, 101)
    return float(np.trapezoid(np.interp(grid, *envelope(hit, boxes)), grid))
