"""Precision, recall and F1 at one confidence: a frozen one, or the set's own best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.metrics.weighted import Before, Weights, by_rows, tally

CONFIDENCES = np.linspace(0, 1, 1000)
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


class Scored(NamedTuple):
    """What the best point of one class depends on.

    Attributes:
      scores: of all detections that are true or false, most confident first.
      true: true positives after as many detections as `steps` says.
      false: false positives likewise.
      steps: numbers of detections at which the curves are read.
      boxes: ground-truth boxes of each cluster.
      detections: of each cluster.
    """

    scores: Float[np.ndarray, "k"]
    true: Before
    false: Before
    steps: Integer[np.ndarray, "s"]
    boxes: Float[np.ndarray, "c"]
    detections: Float[np.ndarray, "c"]


def scored(
    ranked: Ranked, cluster: Integer[np.ndarray, "k"], boxes: Float[np.ndarray, "c"]
) -> Scored:
    """Prepares one class; `cluster` is that of each detection, `boxes` of each cluster."""
    after = _after(ranked.scores)
    steps = np.unique(np.concatenate([after, after + 1]))
    clusters, hit = len(boxes), ranked.hit
    # Detection k counts once k + 1 are read.
    place = np.searchsorted(steps, np.arange(1, len(hit) + 1))
    true = Before(cluster[hit], place[hit], clusters, len(steps))
    false = Before(cluster[~hit], place[~hit], clusters, len(steps))
    dets = tally(cluster, clusters)
    return Scored(ranked.scores, true, false, steps, boxes, dets)


def best_point(classes: Sequence[Ranked]) -> Point:
    """The point of highest smoothed F1 on these very detections (YOLOv5 v7.0 rule).

    Precision and recall are interpolated at 1,000 confidences, F1 is averaged over the
    classes with ground truth and smoothed; the figures stand at its maximum. Read on
    the set that is judged, they are optimistic. All None when nothing is found at all.
    """
    every = [
        scored(c, np.zeros(len(c.scores), int), np.array([c.boxes], float))
        for c in classes
    ]
    best = best_points(every, np.ones((1, 1)))[:, 0]
    return Point(*(None if np.isnan(value) else float(value) for value in best))


def best_points(
    classes: Sequence[Scored], weights: Weights
) -> Float[np.ndarray, "4 b"]:
    """Precision, recall, F1 and threshold of `best_point` for each row of weights.

    The curves are read between the confidences of the whole set, also of detections
    that a row leaves out: those add nothing to the curves' heights.
    """
    return by_rows(lambda w: _best_points(classes, w), weights, len(CONFIDENCES))


def _best_points(
    classes: Sequence[Scored], weights: Weights
) -> Float[np.ndarray, "4 b"]:
    rows = len(weights)
    precision, recall, f1 = np.zeros((3, rows, len(CONFIDENCES)))
    there, found = np.zeros(rows), np.zeros(rows)
    for c in classes:
        judged = (weights @ c.boxes > 0).astype(np.float64)
        p, r = _curves(c, weights)
        found += judged * (r.max(axis=1) > 0)
        p *= judged[:, None]
        precision += p
        recall += r  # 0 where no box is left
        f1 += 2 * p * r / (p + r + 1e-16)
        there += judged
    best = _smooth(f1).argmax(axis=1)
    chosen = [k[np.arange(rows), best] for k in (precision, recall, f1)]
    means = np.array(chosen) / np.maximum(there, 1)
    return np.where(found > 0, np.vstack([means, CONFIDENCES[best]]), np.nan)


def _after(scores: Float[np.ndarray, "k"]) -> Integer[np.ndarray, "1000"]:
    """How many detections are at least as confident as each of `CONFIDENCES`."""
    return np.searchsorted(-scores, -CONFIDENCES, "right")


def _curves(
    of: Scored, weights: Weights
) -> tuple[Float[np.ndarray, "b 1000"], Float[np.ndarray, "b 1000"]]:
    """Precision and recall at `CONFIDENCES`; (1, 0) above the highest score."""
    if len(of.scores) == 0:
        none = np.zeros((len(weights), len(CONFIDENCES)))
        return none, none.copy()
    true, false = of.true(weights), of.false(weights)
    said = true + false
    # Nothing said is not wrong, unless nothing is ever said.
    precision = np.divide(true, said, out=np.ones(true.shape), where=said > 0)
    precision *= (weights @ of.detections > 0)[:, None]
    recall = true / np.maximum(weights @ of.boxes, 1)[:, None]
    after = _after(of.scores)
    low = np.searchsorted(of.steps, after)
    high = np.minimum(low + 1, len(of.steps) - 1)
    share = np.zeros(len(CONFIDENCES))
    inside = (after > 0) & (after < len(of.scores))
    upper, lower = of.scores[after[inside] - 1], of.scores[after[inside]]
    share[inside] = (upper - CONFIDENCES[inside]) / (upper - lower)
    return _between(precision, low, high, share), _between(recall, low, high, share)


def _between(
    curve: Float[np.ndarray, "b s"],
    low: Integer[np.ndarray, "p"],
    high: Integer[np.ndarray, "p"],
    share: Float[np.ndarray, "p"],
) -> Float[np.ndarray, "b p"]:
    """Interpolates between two columns of each row."""
    start, end = np.take(curve, low, axis=1), np.take(curve, high, axis=1)
    end -= start
    end *= share
    start += end
    return start


def _smooth(curves: Float[np.ndarray, "b p"]) -> Float[np.ndarray, "b p"]:
    """Box filter along each row; the ends are continued by their own values."""
    wide = np.pad(curves, ((0, 0), (SMOOTHING // 2,) * 2), mode="edge")
    box = np.full(SMOOTHING, 1 / SMOOTHING)
    return np.array([np.convolve(row, box, mode="valid") for row in wide])
