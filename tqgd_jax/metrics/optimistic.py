"""The operating point chosen on the very images that are judged, and what it gains."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from tqgd_jax.metrics import points
from tqgd_jax.metrics.cohort import HALF
from tqgd_jax.metrics.operating_point import Ranked, Scored, best_points, scored
from tqgd_jax.metrics.view import View
from tqgd_jax.metrics.weighted import Weights

NAMES = ("threshold", "precision", "recall", "f1", "gain")
KEYS = tuple(f"optimistic.{name}" for name in NAMES)


def figures(
    of: View, weights: Weights, keys: Collection[str]
) -> dict[str, Float[np.ndarray, "b"]]:
    """Those of `KEYS` that are asked for; the gain is that of F1 over the frozen one."""
    if not set(KEYS) & set(keys):
        return {}
    classes = [_scored(of, c) for c in range(len(of.cohort.classes))]
    precision, recall, f1, threshold = best_points(classes, weights)
    gain = f1 - points.at_threshold(of, weights)["f1"]
    values = zip(KEYS, (threshold, precision, recall, f1, gain), strict=True)
    return {key: value for key, value in values if key in keys}


def _scored(of: View, label: int) -> Scored:
    dets, boxes = of.cohort.dets, of.cohort.boxes
    mine = of.cohort.order[dets.label[of.cohort.order] == label]
    hit, false = dets.yolo.hit[mine, HALF], dets.yolo.false[mine, HALF]
    mine, hit = mine[hit | false], hit[hit | false]
    there = of.of_boxes(boxes.counting & (boxes.label == label))
    ranked = Ranked(dets.score[mine], hit, 0)
    return scored(ranked, of.owner[dets.image[mine]], there)
