"""The operating point chosen on the very images that are judged, and what it gains."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.evaluation.matching.average_precision import precision_recall
from tqgd_jax.evaluation.matching.matches import HALF
from tqgd_jax.evaluation.measures import at_threshold
from tqgd_jax.evaluation.statistics.by_patient import ByPatient
from tqgd_jax.evaluation.statistics.weighted import (
    CumulativeCounts,
    Weights,
    by_rows,
    mean,
    ratio,
)

NAMES = ("threshold", "precision", "recall", "f1", "gain")
KEYS = tuple(f"optimistic.{name}" for name in NAMES)
POINTS = 1000  # confidences at which YOLOv5's curves are read
SMOOTHING = 101  # samples of the box filter over its F1 curve: a tenth


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


def figures(
    of: ByPatient, weights: Weights, keys: Collection[str]
) -> dict[str, Float[np.ndarray, "b"]]:
    """Those of `KEYS` that are asked for.

    The threshold is the confidence of highest F1 at IoU 0.5, mean over the classes with
    ground truth, by exact counts; each row of weights chooses its own. The gain is that
    of F1 over the frozen threshold's, so never below 0.
    """
    if not set(KEYS) & set(keys):
        return {}
    confidences, classes = _prepared(of)
    best = by_rows(lambda w: _best(confidences, classes, w), weights, len(confidences))
    gain = best[3] - at_threshold.at_threshold(of, weights)["f1"]
    values = zip(KEYS, (*best, gain), strict=True)
    return {key: value for key, value in values if key in keys}


def yolo_point(of: ByPatient) -> Point:
    """The best point as YOLOv5 prints it: interpolated and smoothed, on these images."""
    classes, marks = [], of.matches.yolo
    for c in range(len(of.matches.classes)):
        rows = of.matches.ranked(c)
        hit, false = marks.hit[rows, HALF], marks.false[rows, HALF]
        rows, hit = rows[hit | false], hit[hit | false]
        boxes = int(of.matches.boxes_of(c).sum())
        classes.append(Ranked(of.matches.dets.score[rows], hit, boxes))
    return best_point(classes)


class Class(NamedTuple):
    """One class: true and false positives from each confidence up, boxes by cluster."""

    true: CumulativeCounts
    false: CumulativeCounts
    boxes: Float[np.ndarray, "c"]


def _prepared(of: ByPatient) -> tuple[Float[np.ndarray, "s"], Sequence[Class]]:
    """Confidences of the hits, falling: between them F1 only sinks. And each class."""
    dets, marks = of.matches.dets, of.matches.yolo
    hit, false = marks.hit[:, HALF], marks.false[:, HALF]
    confidences = np.unique(dets.score[hit])[::-1]
    place = np.searchsorted(-confidences, -dets.score)
    owner = of.owner[dets.image]

    def events(chosen: np.ndarray) -> CumulativeCounts:
        where = owner[chosen], place[chosen]
        return CumulativeCounts(*where, of.clusters, len(confidences))

    return confidences, [
        Class(
            events(hit & (dets.label == c)),
            events(false & (dets.label == c)),
            of.of_boxes(of.matches.boxes_of(c)),
        )
        for c in range(len(of.matches.classes))
    ]


def _best(
    confidences: Float[np.ndarray, "s"], classes: Sequence[Class], weights: Weights
) -> Float[np.ndarray, "4 b"]:
    """Threshold, precision, recall and F1; NaN where nothing is found."""
    if not len(confidences):
        return np.full((4, len(weights)), np.nan)
    rows = []
    for c in classes:
        true, false = c.true(weights), c.false(weights)
        count = np.broadcast_to((weights @ c.boxes)[:, None], true.shape)
        judged = np.where(count > 0, 1.0, np.nan)
        f1 = judged * ratio(2 * true, true + false + count)
        rows.append((judged * ratio(true, true + false), ratio(true, count), f1))
    precision, recall, f1 = (mean(np.array(k)) for k in zip(*rows, strict=True))
    chosen = np.nan_to_num(f1).argmax(axis=1)
    at = np.arange(len(weights)), chosen
    best = np.array([confidences[chosen], precision[at], recall[at], f1[at]])
    return np.where(best[3] > 0, best, np.nan)


def best_point(classes: Sequence[Ranked]) -> Point:
    """The point of highest smoothed F1 on these very detections (YOLOv5 v7.0 rule).

    Precision and recall are interpolated at 1,000 confidences from 0 to 1, or over those
    that occur where a detector gives others; F1 is averaged over the classes with
    ground truth and smoothed; the figures stand at its maximum. Read on the set that is
    judged, they are optimistic. All None when nothing is found at all.
    """
    labelled = [c for c in classes if c.boxes]
    if not any(c.hit.any() for c in labelled):
        return Point(None, None, None, None)
    scores = np.concatenate([c.scores for c in labelled])
    grid = np.linspace(min(0.0, scores.min()), max(1.0, scores.max()), POINTS)
    precision, recall = np.stack([_curves(c, grid) for c in labelled], axis=1)
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
