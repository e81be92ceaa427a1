"""Precision, recall and F1 at one confidence: a frozen one, or the set's own best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.evaluation.matching.average_precision import precision_recall

POINTS = 1000  # confidences at which the curves are read
SMOOTHING = 101  # samples of the box filter over the F1 curve (YOLOv5: a tenth)


class Ranked(NamedTuple):
    """Detections of one class that are true or false, most confident first.

    Attributes:
      scores: their confidences.
      hit: true positives at IoU 0.5.
      boxes: ground-truth boxes of the class.
    """

    scores: Float[np.ndarray, "k"]
    hit: Bool[np.ndarray, "k"]
    boxes: int


class Point(NamedTuple):
    """Means over classes; None where a figure has no value."""

    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float | None


class Counts(NamedTuple):
    """Exact numbers at a threshold: found boxes, false alarms, missed boxes."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float | None:
        """None when nothing was detected."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """None when there is nothing to find."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        """None when there is neither ground truth nor a detection."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else None


def at_threshold(ranked: Ranked, threshold: float) -> Counts:
    """Counts of one class over the detections with confidence >= `threshold`."""
    hit = ranked.hit[ranked.scores >= threshold]
    true = int(hit.sum())
    return Counts(tp=true, fp=len(hit) - true, fn=ranked.boxes - true)


def best_point(classes: Sequence[Ranked]) -> Point:
    """The point of highest smoothed F1 on these very detections (YOLOv5 v7.0 rule).

    Precision and recall are interpolated at 1,000 confidences from 0 to 1, or over those
    that occur where a detector gives others; F1 is averaged over the classes with
    ground truth and smoothed; the figures stand at its maximum. Read on the set that is
    judged, they are optimistic. All None when nothing is found at all.
    """
    there = [c for c in classes if c.boxes]
    if not any(c.hit.any() for c in there):
        return Point(None, None, None, None)
    scores = np.concatenate([c.scores for c in there])
    grid = np.linspace(min(0.0, scores.min()), max(1.0, scores.max()), POINTS)
    precision, recall = np.stack([_curves(c, grid) for c in there], axis=1)
    f1 = 2 * precision * recall / (precision + recall + 1e-16)
    means = [curve.mean(axis=0) for curve in (precision, recall, f1)]
    best = int(_smooth(means[2]).argmax())
    return Point(*(float(m[best]) for m in means), threshold=float(grid[best]))


def _curves(
    ranked: Ranked, confidences: Float[np.ndarray, "p"]
) -> Float[np.ndarray, "2 p"]:
    """Precision and recall at `confidences`; (1, 0) above the highest score."""
    if len(ranked.scores) == 0:
        return np.zeros((2, len(confidences)))
    precision, recall = precision_recall(ranked.hit, ranked.boxes)
    at, scores = -confidences, -ranked.scores  # np.interp wants rising abscissae
    return np.stack(
        [
            np.interp(at, scores, precision, left=1),
            np.interp(at, scores, recall, left=0),
        ]
    )


def _smooth(curve: Float[np.ndarray, "p"]) -> Float[np.ndarray, "p"]:
    """Box filter; the ends are continued by their own values."""
    padded = np.pad(curve, SMOOTHING // 2, mode="edge")
    return np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), mode="valid")
