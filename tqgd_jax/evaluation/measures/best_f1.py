"""The operating point chosen on the very images that are judged, and what it gains."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.matching.matches import HALF
from tqgd_jax.evaluation.measures import at_threshold
from tqgd_jax.evaluation.measures.operating_point import Point, Ranked, best_point
from tqgd_jax.evaluation.statistics.by_patient import View
from tqgd_jax.evaluation.statistics.weighted import (
    Before,
    Weights,
    by_rows,
    mean,
    ratio,
)

NAMES = ("threshold", "precision", "recall", "f1", "gain")
KEYS = tuple(f"optimistic.{name}" for name in NAMES)


def figures(
    of: View, weights: Weights, keys: Collection[str]
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


def yolo_point(of: View) -> Point:
    """The best point as YOLOv5 prints it: interpolated and smoothed, on these images."""
    return best_point([_ranked(of, c) for c in range(len(of.cohort.classes))])


class Class(NamedTuple):
    """One class: true and false positives from each confidence up, boxes by cluster."""

    true: Before
    false: Before
    boxes: Float[np.ndarray, "c"]


def _prepared(of: View) -> tuple[Float[np.ndarray, "s"], Sequence[Class]]:
    """Confidences of the hits, falling: between them F1 only sinks. And each class."""
    dets, boxes = of.cohort.dets, of.cohort.boxes
    hit, false = dets.yolo.hit[:, HALF], dets.yolo.false[:, HALF]
    confidences = np.unique(dets.score[hit])[::-1]
    place = np.searchsorted(-confidences, -dets.score)
    owner = of.owner[dets.image]

    def events(chosen: np.ndarray) -> Before:
        where = owner[chosen], place[chosen]
        return Before(*where, of.clusters, len(confidences))

    return confidences, [
        Class(
            events(hit & (dets.label == c)),
            events(false & (dets.label == c)),
            of.of_boxes(boxes.counting & (boxes.label == c)),
        )
        for c in range(len(of.cohort.classes))
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


def _ranked(of: View, label: int) -> Ranked:
    dets, boxes = of.cohort.dets, of.cohort.boxes
    mine = of.cohort.order[dets.label[of.cohort.order] == label]
    hit, false = dets.yolo.hit[mine, HALF], dets.yolo.false[mine, HALF]
    kept = hit | false
    there = boxes.counting & (boxes.label == label)
    return Ranked(dets.score[mine[kept]], hit[kept], int(there.sum()))
