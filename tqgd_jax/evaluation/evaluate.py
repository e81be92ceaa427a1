"""All figures of a set of images, as one dictionary that JSON can hold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from tqgd_jax.evaluation.matching import average_precision as ap
from tqgd_jax.evaluation.matching import coco_figures
from tqgd_jax.evaluation.matching.yolo import THRESHOLDS, matches
from tqgd_jax.evaluation.measures.operating_point import (
    Counts,
    Point,
    Ranked,
    at_threshold,
    best_point,
)
from tqgd_jax.structures.image import Image, check

__all__ = ["Image", "best_threshold", "evaluate", "ranked_by_class"]


class Marks(NamedTuple):
    """Detections of one class, most confident first, at each IoU of `THRESHOLDS`.

    Attributes:
      hit: true positives.
      ignored: neither true nor false.
    """

    hit: Bool[np.ndarray, "k t"]
    ignored: Bool[np.ndarray, "k t"]


def evaluate(
    images: Sequence[Image], num_classes: int, threshold: float | None
) -> dict[str, Any]:
    """Precision, recall and F1 at a frozen threshold, and AP by two rules.

    Every image counts; detections on an image without boxes are false positives. A
    figure that has no value is None, and `note` says why.

    Args:
      images: the whole set, also the images without boxes or detections.
      num_classes: means are taken over the classes with ground truth.
      threshold: confidence chosen on other images (`best_threshold`); None leaves
        precision, recall and F1 empty.

    Returns:
      `AP50`, `AP50_95`, `precision`, `recall`, `f1`, `threshold`, `optimistic` (these
      four at the set's own best threshold), `counts` over all classes at `threshold`,
      `coco` (twelve figures), `images`, `boxes`, `detections`, `note`,
      `rules`, and `classes` (a row each) when there are several.
    """
    ranked, marks = ranked_by_class(images, num_classes)
    there = [c for c in range(num_classes) if ranked[c].boxes]
    rows = [_row(c, ranked[c], marks[c], threshold) for c in range(num_classes)]
    judged = [rows[c] for c in there]
    best = best_point(ranked)
    results = {
        "AP50": _mean(judged, "AP50"),
        "AP50_95": _mean(judged, "AP50_95"),
        "precision": _mean(judged, "precision"),
        "recall": _mean(judged, "recall"),
        "f1": _mean(judged, "f1"),
        "threshold": threshold,
        "optimistic": best._asdict(),
        "counts": _total(ranked, threshold),
        "coco": coco_figures.coco_figures(images, num_classes),
        "images": len(images),
        "boxes": sum(c.boxes for c in ranked),
        "detections": sum(len(image.det_scores) for image in images),
        "note": "",
        "rules": {
            "AP50, AP50_95": ap.RULE,
            "coco": coco_figures.RULE,
            "precision, recall, f1": (
                "YOLOv5 v7.0 matching at IoU 0.5, exact counts of detections with "
                "score >= threshold, mean over classes with ground truth (for "
                "precision: and with such detections)"
            ),
            "optimistic": (
                "YOLOv5 v7.0: at the highest smoothed F1 on these very images"
            ),
            "iou": {"AP50": 0.5, "AP50_95": "0.5:0.05:0.95", "precision": 0.5},
        },
    }
    if num_classes > 1:
        results["classes"] = rows
    results["note"] = _note(results, best)
    return results


def best_threshold(images: Sequence[Image], num_classes: int) -> float | None:
    """Confidence of the highest smoothed F1 at IoU 0.5 (YOLOv5 v7.0 rule).

    To be called on validation images, and its value frozen for the test. None when no
    detection finds a box: then there is nothing to choose by.
    """
    return best_point(ranked_by_class(images, num_classes)[0]).threshold


def ranked_by_class(
    images: Sequence[Image], num_classes: int
) -> tuple[list[Ranked], list[Marks]]:
    """Per class the detections at IoU 0.5, and their marks at all ten IoUs.

    Both most confident first; equal confidences stand in the order of the images.
    """
    check(images, num_classes)
    nothing = np.zeros(0)
    boxes = np.concatenate([nothing, *(i.labels[i.counting] for i in images)])
    labels = np.concatenate([nothing, *(i.det_labels for i in images)])
    scores = np.concatenate([nothing, *(i.det_scores for i in images)])
    none = np.zeros((0, len(THRESHOLDS)), bool)
    matched = [matches(i, THRESHOLDS) for i in images]
    hits = np.concatenate([none, *(m.hit for m in matched)])
    ignored = np.concatenate([none, *(m.ignored for m in matched)])
    order = np.argsort(-scores, kind="stable")
    ranked, by_class = [], []
    for c in range(num_classes):
        mine = order[labels[order] == c]
        judged = mine[~ignored[mine, 0]]
        count = int((boxes == c).sum())
        ranked.append(Ranked(scores[judged], hits[judged, 0], count))
        by_class.append(Marks(hits[mine], ignored[mine]))
    return ranked, by_class


def _row(
    label: int, ranked: Ranked, marks: Marks, threshold: float | None
) -> dict[str, Any]:
    """Figures of one class."""
    pairs = zip(marks.hit.T, marks.ignored.T, strict=True)
    aps = [
        ap.average_precision(hit[~ignored], ranked.boxes)
        for hit, ignored in pairs
        if ranked.boxes
    ]
    counts = None if threshold is None else at_threshold(ranked, threshold)
    return {
        "class": label,
        "boxes": ranked.boxes,
        "detections": len(marks.hit),
        "AP50": aps[0] if aps else None,
        "AP50_95": float(np.mean(aps)) if aps else None,
        "precision": counts.precision if counts else None,
        "recall": counts.recall if counts else None,
        "f1": counts.f1 if counts else None,
    }


def _mean(rows: Sequence[dict[str, Any]], figure: str) -> float | None:
    values = [row[figure] for row in rows if row[figure] is not None]
    return float(np.mean(values)) if values else None


def _total(ranked: Sequence[Ranked], threshold: float | None) -> dict[str, int] | None:
    """Counts of all classes, also of those without ground truth."""
    if threshold is None:
        return None
    every = [at_threshold(c, threshold) for c in ranked]
    return Counts(*(sum(numbers) for numbers in zip(*every, strict=True)))._asdict()


def _note(results: dict[str, Any], best: Point) -> str:
    """Why figures are None; empty when all have a value."""
    reasons = []
    if results["boxes"] == 0:
        reasons.append("no ground-truth boxes: nothing to find, so no AP, no recall")
    if results["threshold"] is None:
        reasons.append(
            "no threshold was chosen on validation images: no precision, recall, F1"
        )
    elif results["precision"] is None and results["boxes"]:
        reasons.append("no detection reaches the threshold: no precision")
    if best.threshold is None:
        reasons.append("no detection finds a box: no best threshold on this set")
    return "; ".join(reasons)
