"""The curves that reports draw, and the FROC figures read from them."""

from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from tqgd_jax.evaluation.matching import average_precision as ap
from tqgd_jax.evaluation.matching.matches import HALF
from tqgd_jax.evaluation.measures import froc
from tqgd_jax.evaluation.measures.lesions3d import link
from tqgd_jax.evaluation.statistics import bootstrap
from tqgd_jax.evaluation.statistics.by_patient import ByPatient, by_scan
from tqgd_jax.evaluation.statistics.weighted import Weights

UNITS = ("scan", "slice", "lesion")
KEYS = tuple(f"froc.{unit}.{n}" for unit in UNITS for n in (*froc.NAMES, "cpm"))
POINTS = 501  # recalls of the precision-recall curve, 0 to 1
DRAWN = 2.0 ** np.arange(-4, 4.01, 1 / 8)  # false positives per place of a drawn FROC


def figures(
    of: ByPatient, weights: Weights, keys: Collection[str]
) -> dict[str, Float[np.ndarray, "b"]]:
    """Those of `KEYS` that are asked for: sensitivities at seven rates and their mean."""
    result = {}
    for unit in UNITS:
        names = [f"froc.{unit}.{name}" for name in (*froc.NAMES, "cpm")]
        if not set(names) & set(keys):
            continue
        if not _known(of, unit):
            values = np.full((len(names) - 1, len(weights)), np.nan)
        else:
            values = froc.sensitivity(curve(of, unit), weights, np.array(froc.RATES))
        pairs = zip(names, [*values, values.mean(axis=0)], strict=True)
        result |= {key: value for key, value in pairs if key in keys}
    return result


def _known(of: ByPatient, unit: str) -> bool:
    """Whether enough is known of the images for a FROC of this unit."""
    if unit == "lesion" and not of.slices_known:
        return False
    return unit == "slice" or of.scans_known


def curve(of: ByPatient, unit: str) -> froc.Curve:
    """The FROC of slice boxes per scan or per slice, or of 3-D lesions per scan."""
    dets, boxes = of.matches.dets, of.matches.boxes
    best, owner = of.matches.best[boxes.counting], of.owner[boxes.image[boxes.counting]]
    if unit == "lesion":
        best, owner = _lesions(of, best, owner)
    far, places = of.matches.far, of.slices if unit == "slice" else of.scans
    return froc.curve(best, owner, dets.score[far], of.owner[dets.image[far]], places)


def drawn(of: ByPatient, weights: Weights | None, level: float) -> dict[str, Any]:
    """`pr` and `froc` of results.json: the curves, with bands of resampled scans.

    The precision-recall curve is the envelope at IoU 0.5 under which AP by YOLOv5's
    rule is the area, mean over the classes with ground truth; `reached` is the highest
    recall of any class, from where on the curve is the rule's supposition. The band of
    a FROC is the interval of the figures, point by point.

    Args:
      of: the matches by patient.
      weights: resamples of the patients; None: no band. Where a patient has several
        scans, as many resamples of the scans are drawn instead.
      level: of the band.
    """
    if weights is not None and int(of.scan.max(initial=-1)) + 1 != of.clusters:
        of = by_scan(of)
        weights = bootstrap.resamples(of.clusters, len(weights), seed=0)
    units = [unit for unit in UNITS if _known(of, unit)]
    empty = {"fp": [], "sensitivity": [], "low": [], "high": []}
    labelled = bool(of.matches.boxes.counting.any())
    return {
        "pr": _precision_recall(of),
        "froc": {
            unit: _froc(curve(of, unit), weights, level)
            if labelled and unit in units
            else empty
            for unit in UNITS
        },
    }


def _lesions(
    of: ByPatient, best: Float[np.ndarray, "n"], owner: Integer[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "l"], Integer[np.ndarray, "l"]]:
    """Highest confidence on any slice of each 3-D lesion, and its cluster."""
    numbers = np.concatenate([np.zeros(0, int), *link(of.matches.images)])
    numbers = numbers[of.matches.boxes.counting]
    count = int(numbers.max(initial=-1)) + 1
    highest, whose = np.full(count, -np.inf), np.zeros(count, int)
    np.maximum.at(highest, numbers, best)
    whose[numbers] = owner
    return highest, whose


def _precision_recall(of: ByPatient) -> dict[str, Any]:
    recalls, heights, reached = np.linspace(0, 1, POINTS), [], 0.0
    for c in range(len(of.matches.classes)):
        count = int(of.matches.boxes_of(c).sum())
        if not count:
            continue
        rows, marks = of.matches.ranked(c), of.matches.yolo
        hit = marks.hit[rows, HALF]
        hit = hit[hit | marks.false[rows, HALF]]
        reached = max(reached, float(hit.sum()) / count)
        curve = ap.envelope(hit, count) if len(hit) else ([0.0, 1.0], [0.0, 0.0])
        heights.append(np.interp(recalls, *curve))
    if not heights:
        return {"recall": [], "precision": [], "reached": None}
    return {
        "recall": recalls.tolist(),
        "precision": np.mean(heights, axis=0).tolist(),
        "reached": reached,
    }


def _froc(of: froc.Curve, weights: Weights | None, level: float) -> dict[str, Any]:
    ones = np.ones((1, len(of.places)))
    values = {
        "fp": DRAWN.tolist(),
        "sensitivity": froc.sensitivity(of, ones, DRAWN)[:, 0].tolist(),
        "low": [],
        "high": [],
    }
    if weights is not None and len(weights) and len(of.places) > 1:
        without = bootstrap.left_out(len(of.places))
        band = froc.sensitivity(of, np.concatenate([without, weights]), DRAWN)
        ends = [
            bootstrap.interval(
                value, row[len(without) :], row[: len(without)], len(of.places), level
            )
            for value, row in zip(values["sensitivity"], band, strict=True)
        ]
        if not np.isnan(ends).any():
            low, high = np.transpose(ends)
            values |= {"low": low.tolist(), "high": high.tolist()}
    return values
