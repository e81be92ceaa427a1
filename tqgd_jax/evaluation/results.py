"""All figures of an evaluation set as one dictionary: what `results.json` holds.

Every figure comes with its interval from resampled patients, or with the reason why it
has none. The two protocols stand side by side and are never mixed: `clinical` judges
all slices, `paper` only those with a labelled box (docs/design/0015).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation import beyond_crop, calcium_section, fold_summary
from tqgd_jax.evaluation.calcium.patient_scores import PatientScore
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.glossary import GLOSSARY
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.evaluation.statistics import bootstrap
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image

SCHEMA = "tqgd_jax.results/1"
HEADLINE = (
    *("ap.yolo.0.5", "point.iou0.5.recall", "point.iou0.5.precision"),
    *("point.iou0.5.f1", "point.centre.recall", "froc.scan.cpm"),
)

FEW = 10  # patients, below which intervals cover clearly less than they say
CURVES = ("ap.", "froc.", "optimistic.")  # figures over all scores


class Evaluated(NamedTuple):
    """Images of one protocol, matched.

    Attributes:
      images: of the protocol.
      curve: evaluator of all detections.
      point: evaluator of the detections of the operating point; mostly the same.
    """

    images: Sequence[Image]
    curve: Evaluator
    point: Evaluator

    def figures(
        self, weights: Float[np.ndarray, "b c"]
    ) -> dict[str, Float[np.ndarray, "b"]]:
        """All figures; those at the frozen threshold from `point`."""
        values = self.curve.figures(weights)
        if self.point is self.curve:
            return values
        other = self.point.figures(weights)
        values |= {k: v for k, v in other.items() if not k.startswith(CURVES)}
        gain = values["optimistic.f1"] - values["point.iou0.5.f1"]
        return values | {"optimistic.gain": gain}

    def why(self, key: str) -> str:
        """Why a figure has no value."""
        return (self.curve if key.startswith(CURVES) else self.point).why(key)


class Evaluators(NamedTuple):
    """Both protocols; `paper` is None when no image has a labelled box."""

    clinical: Evaluated
    paper: Evaluated | None


def evaluators(eval_set: EvaluationSet, settings: EvaluationSettings) -> Evaluators:
    """Matches the detections of an evaluation set once for all figures."""
    positive = [k for k, image in enumerate(eval_set.images) if image.counting.any()]
    return Evaluators(
        _judged(eval_set, range(len(eval_set.images)), settings),
        _judged(eval_set, positive, settings) if positive else None,
    )


def results(
    eval_set: EvaluationSet,
    settings: EvaluationSettings,
    evaluators: Evaluators,
    scores: Sequence[PatientScore] = (),
    unscored: str = "",
) -> dict[str, Any]:
    """The dictionary; docs/evaluation.md has its schema.

    Args:
      eval_set: what was judged.
      settings: how.
      evaluators: of the evaluation set.
      scores: calcium of every scan under every convention; empty: none were made.
      unscored: why none were made.
    """
    whole = evaluators.clinical
    protocols: dict[str, Any] = {
        "clinical": {"reason": "only slices with a labelled box were judged"}
        if eval_set.positive_only
        else _protocol(whole, settings),
        "paper": {"reason": "no image has a labelled box"}
        if evaluators.paper is None
        else _protocol(evaluators.paper, settings),
    }
    return {
        "schema": SCHEMA,
        "title": eval_set.title,
        "stamp": eval_set.disclaimer,
        "note": eval_set.note,
        "caution": _caution(len(whole.curve.clusters)),
        "input": whole.curve.facts(),
        "beyond": beyond_crop.section(eval_set),
        "settings": _settings(eval_set, settings),
        "headline": _headline(eval_set, protocols),
        "yolo": _yolo(eval_set, whole),
        "coco": whole.curve.coco(),
        "protocols": protocols,
        "calcium": calcium_section.section(scores, settings, unscored),
        "glossary": GLOSSARY,
    }


def _caution(patients: int) -> str:
    """What the number of patients takes from the intervals; empty when it is enough."""
    if not 1 < patients < FEW:
        return ""
    return (
        f"{patients} patients: so few give intervals that are too narrow, or of no use "
        "(python -m bench.studies.evaluator coverage)"
    )


def _judged(
    eval_set: EvaluationSet, members: Sequence[int], settings: EvaluationSettings
) -> Evaluated:
    def judge(images: Sequence[Image]) -> Evaluator:
        return Evaluator(
            [images[k] for k in members],
            eval_set.classes,
            [eval_set.thresholds[k] for k in members],
            size_px=settings.size_px,
            size_mm2=settings.size_mm2,
        )

    curve = judge(eval_set.images)
    point = judge(eval_set.point) if eval_set.point else curve
    return Evaluated([eval_set.images[k] for k in members], curve, point)


def _protocol(judged: Evaluated, settings: EvaluationSettings) -> dict[str, Any]:
    """The figures of one protocol: pooled, and of each fold when there are several."""
    clusters = judged.curve.clusters
    weights = bootstrap.resamples(len(clusters), settings.bootstraps, settings.seed)
    facts = judged.curve.facts()
    return {
        "images": len(judged.images),
        "boxes": facts["boxes"],
        "patients": facts["patients"],
        "scans": facts["scans"],
        "slices": len(judged.images),
        "figures": bootstrap.numbers(
            judged.figures, weights, settings.level, judged.why
        ),
        **fold_summary.section(judged.images, clusters, judged.figures),
        "curves": judged.curve.curves(weights, settings.level),
    }


def _yolo(eval_set: EvaluationSet, whole: Evaluated) -> dict[str, Any]:
    """YOLOv5's six figures; P, R and F1 at the frozen threshold if there is one."""
    six = whole.curve.yolo()
    if whole.point is not whole.curve:
        at_point = whole.point.yolo()
        six |= {k: v for k, v in at_point.items() if not k.startswith("AP")}
    optimistic = None in eval_set.thresholds
    return six | {"threshold_source": "optimistic" if optimistic else eval_set.source}


def _settings(eval_set: EvaluationSet, settings: EvaluationSettings) -> dict[str, Any]:
    limits, one = fold_summary.thresholds(eval_set), set(eval_set.thresholds)
    return {
        **settings._asdict(),
        "size_px": list(settings.size_px),
        "size_mm2": list(settings.size_mm2),
        "threshold": one.pop() if len(one) == 1 else None,
        "threshold_source": eval_set.source,
        "thresholds": limits,
        "segmentation": bool(eval_set.point),
        "part": fold_summary.alone(eval_set),
        "positive_only": eval_set.positive_only,
    }


def _headline(eval_set: EvaluationSet, protocols: dict[str, Any]) -> dict[str, Any]:
    """What may stand at the top; nothing when the images are one fold of several."""
    protocol = "paper" if eval_set.positive_only else "clinical"
    reason = protocols[protocol].get("reason", "")
    if fold := fold_summary.alone(eval_set):
        reason = (
            f"{fold}: one fold is no result; pool the folds with "
            "`tqgd evaluate --pool DIR DIR ... --out DIR`"
        )
    keys = [] if reason else list(HEADLINE)
    return {"protocol": protocol, "keys": keys, "reason": reason}
