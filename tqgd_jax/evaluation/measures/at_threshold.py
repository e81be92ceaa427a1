"""Precision, recall, F1 and counts at the threshold that was frozen beforehand."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.evaluation.matching.yolo import place
from tqgd_jax.evaluation.statistics.by_patient import ByPatient
from tqgd_jax.evaluation.statistics.weighted import Weights, mean, ratio

CRITERIA = ("iou0.1", "iou0.3", "iou0.5", "centre")
NAMES = (
    *("precision", "recall", "f1", "tp", "fp", "fn", "fp_per_scan", "fp_per_slice"),
)
KEYS = tuple(f"point.{criterion}.{name}" for criterion in CRITERIA for name in NAMES)


def figures(
    of: ByPatient, weights: Weights, keys: Collection[str]
) -> dict[str, Float[np.ndarray, "b"]]:
    """Those of `KEYS` that are asked for."""
    result = {}
    for criterion in CRITERIA:
        wanted = [n for n in NAMES if f"point.{criterion}.{n}" in keys]
        values = at_threshold(of, weights, criterion) if wanted else {}
        result |= {f"point.{criterion}.{name}": values[name] for name in wanted}
    return result


def at_threshold(
    of: ByPatient,
    weights: Weights,
    criterion: str = "iou0.5",
    images: Bool[np.ndarray, "i"] | None = None,
    label: int | None = None,
) -> dict[str, Float[np.ndarray, "b"]]:
    """All of `NAMES`.

    Precision, recall and F1 are means over the classes with ground truth (for
    precision: and with detections), counts are sums over all classes. NaN where a
    patient who counts has an image without a threshold.

    Args:
      of: the matches and their clusters.
      weights: of the clusters.
      criterion: one of `CRITERIA`.
      images: that count; None: all.
      label: the only class to look at; None: all.
    """
    labels = range(len(of.matches.classes)) if label is None else [label]
    every = np.ones(len(of.owner), bool) if images is None else images
    counts = np.array([_counts(of, criterion, every, c) for c in labels])
    counts = counts.reshape(len(labels), 3, of.clusters)
    tp, fp, boxes = np.moveaxis(counts @ weights.T, 1, 0)  # class, row
    judged = np.where(boxes > 0, 1.0, np.nan)
    known = np.where(weights @ of.of_images(of.matches.blind & every) > 0, np.nan, 1.0)
    false = fp.sum(axis=0)
    values = {
        "precision": mean(judged * ratio(tp, tp + fp)),
        "recall": mean(ratio(tp, boxes)),
        "f1": mean(judged * ratio(2 * tp, tp + fp + boxes)),
        "tp": tp.sum(axis=0),
        "fp": false,
        "fn": (boxes - tp).sum(axis=0),
        "fp_per_scan": ratio(false, weights @ of.scans * of.scans_known),
        "fp_per_slice": ratio(false, weights @ of.slices),
    }
    return {name: known * value for name, value in values.items()}


def _counts(
    of: ByPatient, criterion: str, images: Bool[np.ndarray, "i"], label: int
) -> list[Float[np.ndarray, "c"]]:
    """Hits, false alarms and boxes of one class by cluster."""
    dets = of.matches.dets
    marks, t = of.matches.centre, 0
    if criterion != "centre":
        marks, t = of.matches.yolo, place(float(criterion[3:]))
    above = dets.above & (dets.label == label) & images[dets.image]
    boxes = of.matches.boxes_of(label) & images[of.matches.boxes.image]
    hit, false = above & marks.hit[:, t], above & marks.false[:, t]
    return [of.of_detections(hit), of.of_detections(false), of.of_boxes(boxes)]
