"""All figures of a study as one dictionary: what `results.json` holds.

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


def evaluators(study: EvaluationSet, rules: EvaluationSettings) -> Evaluators:
    """Matches the detections of a study once for all figures."""
    positive = [k for k, image in enumerate(study.images) if image.counting.any()]
    return Evaluators(
        _judged(study, range(len(study.images)), rules),
        _judged(study, positive, rules) if positive else None,
    )


def results(
    study: EvaluationSet,
    rules: EvaluationSettings,
    evaluators: Evaluators,
    scores: Sequence[PatientScore] = (),
    unscored: str = "",
) -> dict[str, Any]:
    """The dictionary; docs/evaluation.md has its schema.

    Args:
      study: what was judged.
      rules: how.
      evaluators: of the study.
      scores: calcium of every scan under every convention; empty: none were made.
      unscored: why none were made.
    """
    whole = evaluators.clinical
    protocols: dict[str, Any] = {
        "clinical": {"reason": "only slices with a labelled box were judged"}
        if study.positive_only
        else _protocol(whole, rules),
        "paper": {"reason": "no image has a labelled box"}
        if evaluators.paper is None
        else _protocol(evaluators.paper, rules),
    }
    return {
        "schema": SCHEMA,
        "title": study.title,
        "stamp": study.stamp,
        "note": study.note,
        "caution": _caution(len(whole.curve.clusters)),
        "input": whole.curve.facts(),
        "beyond": beyond_crop.section(study),
        "settings": _settings(study, rules),
        "headline": _headline(study, protocols),
        "yolo": _yolo(study, whole),
        "coco": whole.curve.coco(),
        "protocols": protocols,
        "calcium": calcium_section.section(scores, rules, unscored),
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
    study: EvaluationSet, members: Sequence[int], rules: EvaluationSettings
) -> Evaluated:
    def judge(images: Sequence[Image]) -> Evaluator:
        return Evaluator(
            [images[k] for k in members],
            study.classes,
            [study.thresholds[k] for k in members],
            size_px=rules.size_px,
            size_mm2=rules.size_mm2,
        )

    curve = judge(study.images)
    point = judge(study.point) if study.point else curve
    return Evaluated([study.images[k] for k in members], curve, point)


def _protocol(judged: Evaluated, rules: EvaluationSettings) -> dict[str, Any]:
    """The figures of one protocol: pooled, and of each fold when there are several."""
    clusters = judged.curve.clusters
    weights = bootstrap.resamples(len(clusters), rules.bootstraps, rules.seed)
    facts = judged.curve.facts()
    return {
        "images": len(judged.images),
        "boxes": facts["boxes"],
        "patients": facts["patients"],
        "scans": facts["scans"],
        "slices": len(judged.images),
        "figures": bootstrap.numbers(judged.figures, weights, rules.level, judged.why),
        **fold_summary.section(judged.images, clusters, judged.figures),
        "curves": judged.curve.curves(weights, rules.level),
    }


def _yolo(study: EvaluationSet, whole: Evaluated) -> dict[str, Any]:
    """YOLOv5's six figures; P, R and F1 at the frozen threshold if there is one."""
    six = whole.curve.yolo()
    if whole.point is not whole.curve:
        at_point = whole.point.yolo()
        six |= {k: v for k, v in at_point.items() if not k.startswith("AP")}
    optimistic = None in study.thresholds
    return six | {"threshold_source": "optimistic" if optimistic else study.source}


def _settings(study: EvaluationSet, rules: EvaluationSettings) -> dict[str, Any]:
    limits, one = fold_summary.thresholds(study), set(study.thresholds)
    return {
        **rules._asdict(),
        "size_px": list(rules.size_px),
        "size_mm2": list(rules.size_mm2),
        "threshold": one.pop() if len(one) == 1 else None,
        "threshold_source": study.source,
        "thresholds": limits,
        "segmentation": bool(study.point),
        "part": fold_summary.alone(study),
        "positive_only": study.positive_only,
    }


def _headline(study: EvaluationSet, protocols: dict[str, Any]) -> dict[str, Any]:
    """What may stand at the top; nothing when the images are one fold of several."""
    protocol = "paper" if study.positive_only else "clinical"
    reason = protocols[protocol].get("reason", "")
    if part := fold_summary.alone(study):
        reason = (
            f"{part}: one fold is no result; pool the folds with `python -m "
            "tqgd evaluate --pool DIR DIR ... --out DIR`"
        )
    keys = [] if reason else list(HEADLINE)
    return {"protocol": protocol, "keys": keys, "reason": reason}
