"""Average precision by two rules: YOLOv5 v7.0's, which YOLO papers report, and COCO's.

Both read, at 101 recalls, the best precision at that recall or beyond. In a ranking only
the last hit of each run of hits matters: precision rises along a run and falls after it.
Beyond the recall that is reached COCO's precision is 0, YOLOv5's runs straight to
(1, 0).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.evaluation.statistics.weighted import (
    CumulativeCounts,
    Weights,
    by_rows,
    count_by_cluster,
)

RECALLS = np.linspace(0, 1, 101)


class Ranking(NamedTuple):
    """What the average precision of one class depends on.

    Attributes:
      true: true positives up to the end of each run of hits, best confidences first.
      false: false positives likewise.
      all_false: false positives of each cluster.
      boxes: ground-truth boxes of each cluster.
    """

    true: CumulativeCounts
    false: CumulativeCounts
    all_false: Float[np.ndarray, "c"]
    boxes: Float[np.ndarray, "c"]


Rule = Callable[[Ranking, Weights], Float[np.ndarray, "b"]]


def rank(
    hit: Bool[np.ndarray, "k"],
    false: Bool[np.ndarray, "k"],
    cluster: Integer[np.ndarray, "k"],
    boxes: Float[np.ndarray, "c"],
) -> Ranking:
    """Reduces detections, most confident first; what is neither hit nor false is left out.

    Args:
      hit: true positives.
      false: false positives.
      cluster: of each detection.
      boxes: ground-truth boxes of each cluster.
    """
    judged = hit | false
    hit, cluster, clusters = hit[judged], cluster[judged], len(boxes)
    ends = hit & ~np.append(hit[1:], False)
    # The run a detection is in, or for a false positive the next one.
    run = np.cumsum(ends) - ends
    runs = int(ends.sum())
    return Ranking(
        CumulativeCounts(cluster[hit], run[hit], clusters, runs),
        CumulativeCounts(cluster[~hit], run[~hit], clusters, runs),
        count_by_cluster(cluster[~hit], clusters),
        boxes,
    )


def areas(ranking: Ranking, weights: Weights, rule: Rule) -> Float[np.ndarray, "b"]:
    """Average precision for each row of weights; NaN where no box is left."""
    values = by_rows(lambda w: rule(ranking, w), weights, len(ranking.true))
    return np.where(weights @ ranking.boxes > 0, values, np.nan)


def yolo(ranking: Ranking, weights: Weights) -> Float[np.ndarray, "b"]:
    """YOLOv5 v7.0's: envelope through (0, 1), linear at 101 recalls, trapezoid.

    0 without detections. A perfect detector has 0.995: the curve falls to 0 at recall 1,
    over half a step.
    """
    true, precision = _at_ends(ranking, weights)
    boxes = np.maximum(weights @ ranking.boxes, 1)
    hits = true[:, -1] if true.shape[1] else np.zeros(len(weights))
    last = hits / np.maximum(hits + weights @ ranking.all_false, 1)
    index = _search(true / boxes[:, None], "right")
    values = np.take_along_axis(precision, index, axis=1)
    # With all boxes found only recall 1 is beyond, and the line ends there in 0.
    slope = last / np.maximum(1 - hits / boxes, 1e-12)
    beyond = index == true.shape[1]
    values = np.where(beyond, slope[:, None] * (1 - RECALLS), values)
    return (values.sum(axis=1) - (values[:, 0] + values[:, -1]) / 2) / 100


def coco(ranking: Ranking, weights: Weights) -> Float[np.ndarray, "b"]:
    """COCO's: the mean at 101 recalls of the best precision at that recall or more."""
    true, precision = _at_ends(ranking, weights)
    boxes = np.maximum(weights @ ranking.boxes, 1)
    index = _search(true / boxes[:, None], "left")
    return np.take_along_axis(precision, index, axis=1).mean(axis=1)


def _at_ends(
    ranking: Ranking, weights: Weights
) -> tuple[Float[np.ndarray, "b r"], Float[np.ndarray, "b r+1"]]:
    """Hits up to the end of each run; the best precision from there on, then a 0."""
    true, detected = ranking.true(weights), ranking.false(weights)
    detected += true
    # Runs of weight 0 may come before everything else: 0 of 0.
    np.divide(true, np.maximum(detected, 1, out=detected), out=detected)
    precision = np.zeros((len(weights), true.shape[1] + 1))
    np.maximum.accumulate(detected[:, ::-1], axis=1, out=precision[:, -2::-1])
    return true, precision


def _search(
    recall: Float[np.ndarray, "b r"], side: str
) -> Integer[np.ndarray, "b 101"]:
    """Per row the first run to end above ("right") or at ("left") each of `RECALLS`."""
    index = np.empty((len(recall), len(RECALLS)), np.intp)
    for row, values in enumerate(recall):
        index[row] = values.searchsorted(RECALLS, side)
    return index


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
    """Recall and precision of the curve under which AP by YOLOv5's rule is the area.

    The curve starts at (0, 1), ends at (1, 0), and precision never rises with recall.
    """
    precision, recall = precision_recall(hit, boxes)
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[1.0], precision, [0.0]])
    return recall, np.maximum.accumulate(precision[::-1])[::-1]
