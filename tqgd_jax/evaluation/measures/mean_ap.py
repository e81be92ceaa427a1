"""Average precision of a cohort: mean over the classes with ground truth, by two rules."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.evaluation.matching import average_precision as ap
from tqgd_jax.evaluation.matching.matches import HALF
from tqgd_jax.evaluation.matching.yolo import THRESHOLDS, place
from tqgd_jax.evaluation.statistics.by_patient import ByPatient
from tqgd_jax.evaluation.statistics.weighted import Weights, mean

IOUS = ("0.1", "0.3", "0.5", "0.75")
RANGE = "0.5:0.95"  # the mean over `THRESHOLDS`
NAMES = (*IOUS, RANGE)
KEYS = tuple(f"ap.{rule}.{iou}" for rule in ("yolo", "coco") for iou in NAMES)


def figures(
    of: ByPatient, weights: Weights, keys: Collection[str]
) -> dict[str, Float[np.ndarray, "b"]]:
    """Those of `KEYS` that are asked for."""
    result = {}
    for rule, function in (("yolo", yolo), ("coco", coco)):
        wanted = {i for i in NAMES if f"ap.{rule}.{i}" in keys}
        places = {i: place(float(i)) for i in wanted - {RANGE}}
        many = [place(float(t)) for t in THRESHOLDS] if RANGE in wanted else []
        values = {t: function(of, weights, t) for t in {*places.values(), *many}}
        result |= {f"ap.{rule}.{iou}": values[t] for iou, t in places.items()}
        if many:
            result[f"ap.{rule}.{RANGE}"] = np.mean([values[t] for t in many], axis=0)
    return result


def yolo(
    of: ByPatient,
    weights: Weights,
    t: int = HALF,
    images: Bool[np.ndarray, "i"] | None = None,
    label: int | None = None,
) -> Float[np.ndarray, "b"]:
    """By YOLOv5's rule; NaN where no box is left.

    Args:
      of: the matches and their clusters.
      weights: of the clusters.
      t: index of the IoU in `ALL_THRESHOLDS`.
      images: that count; None: all.
      label: the only class to look at; None: the mean over all.
    """
    labels = range(len(of.matches.classes)) if label is None else [label]
    rankings = [yolo_ranking(of, c, t, images) for c in labels]
    values = [ap.areas(ranking, weights, ap.yolo) for ranking in rankings]
    return mean(np.array(values).reshape(len(values), len(weights)))


def yolo_ranking(
    of: ByPatient,
    label: int,
    t: int = HALF,
    images: Bool[np.ndarray, "i"] | None = None,
) -> ap.Ranking:
    """One class by YOLOv5's rule; see `yolo`."""
    image = of.matches.dets.image
    rows, boxes = of.matches.ranked(label), of.matches.boxes_of(label)
    if images is not None:
        rows, boxes = rows[images[image[rows]]], boxes & images[of.matches.boxes.image]
    hit, false = of.matches.yolo.hit[rows, t], of.matches.yolo.false[rows, t]
    return ap.rank(hit, false, of.owner[image[rows]], of.of_boxes(boxes))


def coco(of: ByPatient, weights: Weights, t: int) -> Float[np.ndarray, "b"]:
    """By COCO's rule, boxes of all areas; `t` as for `yolo`."""
    values = []
    for label, matched in enumerate(of.matches.coco):
        order = np.argsort(-matched.scores, kind="stable")
        owner = of.owner[of.matches.dets.image[matched.row[order]]]
        boxes = of.of_boxes(of.matches.coco_boxes & (of.matches.boxes.label == label))
        hit, false = matched.hit[0, t, order], matched.false[0, t, order]
        values.append(ap.areas(ap.rank(hit, false, owner, boxes), weights, ap.coco))
    return mean(np.array(values).reshape(len(values), len(weights)))
