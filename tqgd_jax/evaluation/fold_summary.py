"""Folds of an evaluation set: each, mean and SD; and a fold alone, which is no result."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.statistics.weighted import known
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image

Figures = Callable[[Float[np.ndarray, "b c"]], dict[str, Float[np.ndarray, "b"]]]


def alone(eval_set: EvaluationSet) -> str:
    """Which fold of several the images are, empty when they are no single fold.

    Images that all name one fold are that fold alone, whatever the evaluation set says.
    """
    names = {image.place.fold for image in eval_set.images}
    if eval_set.one_fold or len(names) != 1:
        return eval_set.one_fold
    return f"fold {name}" if (name := names.pop()) else ""


def thresholds(eval_set: EvaluationSet) -> dict[str, float | None]:
    """The threshold of each named fold; empty without folds.

    Raises ValueError when one fold has two: a fold has one model, and so one threshold.
    """
    limits: dict[str, float | None] = {}
    for image, limit in zip(eval_set.images, eval_set.thresholds, strict=True):
        fold = image.place.fold
        if limits.setdefault(fold, limit) != limit:
            where = f"fold {fold!r}" if fold else "images of no fold"
            raise ValueError(
                f"{where}: two thresholds, {limits[fold]} and {limit} (of "
                f"{image.name!r}); a model has one threshold. Name the folds of the "
                "models, or correct the thresholds"
            )
    return limits if any(limits) else {}


def weights(
    images: Sequence[Image], clusters: Sequence[str]
) -> dict[str, Float[np.ndarray, "c"]]:
    """For each named fold the patients in it, 1 or 0; folds in their natural order.

    Raises ValueError for a patient in two folds, or in none beside others that are.
    """
    of: dict[str, str] = {}
    for image in images:
        fold = of.setdefault(image.patient, image.place.fold)
        if fold != image.place.fold:
            raise ValueError(
                f"patient {image.patient!r} is in fold {fold!r} and in fold "
                f"{image.place.fold!r}; a patient belongs to one fold, else training "
                "has seen what is judged"
            )
    names = sorted({fold for fold in of.values() if fold}, key=lambda f: (len(f), f))
    left = [patient for patient, fold in of.items() if not fold]
    if names and left:
        raise ValueError(
            f"{len(left)} of {len(of)} patients name no fold, such as {left[0]!r}, and "
            f"others are of fold {names[0]!r}; name the fold of all, or of none"
        )
    return {
        fold: np.array([float(of[patient] == fold) for patient in clusters])
        for fold in names
    }


def section(
    images: Sequence[Image], clusters: Sequence[str], figures: Figures
) -> dict[str, Any]:
    """`folds` and `spread` of a protocol; empty when there are not several folds."""
    rows = weights(images, clusters)
    if len(rows) < 2:
        return {"folds": [], "spread": {}}
    each = figures(np.stack(list(rows.values())))
    return {
        "folds": [
            {
                "fold": fold,
                "patients": int(row.sum()),
                "figures": {key: known(values[k]) for key, values in each.items()},
            }
            for k, (fold, row) in enumerate(rows.items())
        ],
        "spread": {key: _spread(values) for key, values in each.items()},
    }


def _spread(values: Float[np.ndarray, "f"]) -> dict[str, Any]:
    """Mean and SD (n - 1) over the folds that have a value."""
    defined = values[~np.isnan(values)]
    return {
        "mean": float(defined.mean()) if len(defined) else None,
        "sd": float(defined.std(ddof=1)) if len(defined) > 1 else None,
        "folds": len(defined),
    }
