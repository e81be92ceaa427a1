"""The calcium part of the results: agreement of scans' scores, and their table.

A score of each scan, from its labelled boxes (reference) and from its detections, under
every convention; `evaluation.calcium` makes them from Hounsfield units.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.calcium import agreement
from tqgd_jax.evaluation.calcium.convention_agreement import convention_agreement
from tqgd_jax.evaluation.calcium.conventions import convention
from tqgd_jax.evaluation.calcium.patient_scores import PatientScore
from tqgd_jax.evaluation.calcium.risk_categories import category, scheme
from tqgd_jax.evaluation.calcium.score import Amount
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.evaluation.statistics import bootstrap
from tqgd_jax.evaluation.statistics.weighted import ratio
from tqgd_jax.structures.evaluation_set import EvaluationSet

Row = dict[str, Any]  # a line of a csv
COLUMNS = (
    *("patient", "scan", "scanner", "fold", "convention", "scheme"),
    *("reference_agatston", "predicted_agatston"),
    *("reference_category", "predicted_category"),
    *("reference_volume_mm3", "predicted_volume_mm3"),
    *("reference_mass_mg", "predicted_mass_mg"),
    *("reference_lesions", "predicted_lesions"),
    *("area_difference_px", "volume_sensitivity", "volume_ppv"),
)
SOURCE = (
    "voxels above the convention's threshold inside labelled boxes (reference) and "
    "inside detected boxes at or above the frozen threshold (predicted), over the slices "
    "that were judged"
)

NO_VOLUME = {
    "overlap.volume_sensitivity": "no calcium in the reference",
    "overlap.volume_ppv": "no calcium in the prediction",
}


def can_be_scored(eval_set: EvaluationSet) -> bool:
    """Whether the boxes are lesions of scans whose pixels were labelled.

    A box that was drawn around a heart or a tumour has no labelled calcium in it.
    """
    boxes = [lesion for image in eval_set.images for lesion in image.lesions]
    placed = all(i.place.spacing and i.place.crop for i in eval_set.images)
    return bool(boxes) and placed and all(lesion.area_px for lesion in boxes)


def table(
    rows: Sequence[PatientScore], eval_set: EvaluationSet, settings: EvaluationSettings
) -> list[Row]:
    """The rows of `patients.csv`; empty cells where there is no prediction."""
    places = {image.scan: image.place for image in eval_set.images}
    kinds = scheme(settings.scheme)
    lines = []
    for row in rows:
        place = places[row.patient, row.scan]
        values: Row = {
            "patient": row.patient,
            "scan": row.scan,
            "scanner": place.scanner,
            "fold": place.fold,
            "convention": row.convention,
            "scheme": settings.scheme,
            "area_difference_px": row.area_difference,
            "volume_sensitivity": row.volume_sensitivity,
            "volume_ppv": row.volume_ppv,
        }
        for of, amount, lesions in (
            ("reference", row.reference, row.lesions[0]),
            ("predicted", row.predicted, row.lesions[1]),
        ):
            if amount is not None:
                values |= {f"{of}_{name}": v for name, v in amount._asdict().items()}
                label = kinds.labels[category(amount.agatston, kinds)]
                values |= {f"{of}_category": label, f"{of}_lesions": lesions}
        cells = {k: "" if v is None else v for k, v in values.items()}
        lines.append(dict.fromkeys(COLUMNS, "") | cells)
    return lines


def read(rows: Iterable[dict[str, str]], path: Path) -> list[PatientScore]:
    """What `table` was made of. Raises ValueError for a cell that is no number."""

    def number(row: dict[str, str], name: str) -> float | None:
        return float(row[name]) if row[name] else None

    def amount(row: dict[str, str], kind: str) -> Amount | None:
        score = number(row, f"{kind}_agatston")
        volume = number(row, f"{kind}_volume_mm3")
        if score is None or volume is None:
            return None
        return Amount(score, volume, number(row, f"{kind}_mass_mg"))

    result = []
    for line, row in enumerate(rows, 2):
        try:
            reference = amount(row, "reference")
            if reference is None:
                raise ValueError("no reference score")
            few = row["predicted_lesions"]
            beside = row["area_difference_px"]
            result.append(
                PatientScore(
                    patient=row["patient"],
                    scan=row["scan"],
                    convention=row["convention"],
                    reference=reference,
                    predicted=amount(row, "predicted"),
                    lesions=(int(row["reference_lesions"]), int(few) if few else None),
                    area_difference=int(beside) if beside else None,
                    volume_sensitivity=number(row, "volume_sensitivity"),
                    volume_ppv=number(row, "volume_ppv"),
                )
            )
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}; evaluate again") from error
    return result


def section(
    rows: Sequence[PatientScore], settings: EvaluationSettings, absent: str = ""
) -> dict[str, Any]:
    """`calcium` of the results, or the reason why there is none.

    Args:
      rows: every scan under every convention.
      settings: convention, scheme and how to resample.
      absent: why there are no rows.
    """
    if not rows:
        return {"reason": absent or "no scan has pixels to score"}
    kinds = scheme(settings.scheme)
    mine = [r for r in rows if r.convention == convention(settings.convention).name]
    result: dict[str, Any] = {
        "convention": settings.convention,
        "scheme": settings.scheme,
        "edges": list(kinds.edges),
        "labels": list(kinds.labels),
        "source": SOURCE + _beside(mine),
        "patients": len({r.patient for r in mine}),
        "scans": len(mine),
        "spread": convention_agreement(rows, settings.convention, settings.scheme),
    }
    both = [(r, r.predicted) for r in mine if r.predicted is not None]
    if not both:
        return result | {
            "reason": "no frozen threshold, so no predicted score to compare"
        }
    reference = np.array([row.reference.agatston for row, _ in both])
    predicted = np.array([other.agatston for _, other in both])
    names = sorted({row.patient for row, _ in both})
    index = np.array([names.index(row.patient) for row, _ in both])

    def figures(weights: Float[np.ndarray, "b c"]) -> dict[str, Float[np.ndarray, "b"]]:
        each = weights[:, index]
        values = agreement.agreement(reference, predicted, each, kinds)
        for kind, pairs in _amounts(both).items():
            more = agreement.agreement(*pairs, each, kinds)
            values |= {f"{kind}.{key}": more[key] for key in ("icc_a1", "bias", "mae")}
        return values | _overlap(both, each)

    weights = bootstrap.resamples(len(names), settings.bootstraps, settings.seed)
    result["figures"] = bootstrap.numbers(
        figures,
        weights,
        settings.level,
        lambda key: NO_VOLUME.get(key) or agreement.why(key, reference, predicted),
    )
    result["confusion"] = agreement.confusion(reference, predicted, kinds).tolist()
    result["bland_altman"] = {
        "patients": [row.patient for row, _ in both],
        "mean": ((reference + predicted) / 2).tolist(),
        "difference": (predicted - reference).tolist(),
    }
    return result


Both = Sequence[tuple[PatientScore, Amount]]


def _amounts(both: Both) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reference and predicted volume, and mass where it is known."""
    pairs = {
        "volume": [(row.reference.volume_mm3, other.volume_mm3) for row, other in both],
        "mass": [(row.reference.mass_mg, other.mass_mg) for row, other in both],
    }
    return {
        kind: (np.array([p[0] for p in of]), np.array([p[1] for p in of]))
        for kind, of in pairs.items()
        if not any(None in pair for pair in of)
    }


def _overlap(
    both: Both, weights: Float[np.ndarray, "b n"]
) -> dict[str, Float[np.ndarray, "b"]]:
    """Volume sensitivity and PPV after orCaScore, of all scans together."""
    reference = np.array([row.reference.volume_mm3 for row, _ in both])
    predicted = np.array([other.volume_mm3 for _, other in both])
    share = np.array([row.volume_sensitivity for row, _ in both], float)
    shared = weights @ (np.nan_to_num(share) * reference)
    return {
        f"overlap.{name}": ratio(shared, whole)
        for name, whole in (
            ("volume_sensitivity", weights @ reference),
            ("volume_ppv", weights @ predicted),
        )
    }


def _beside(rows: Sequence[PatientScore]) -> str:
    """How much else than the labelled lesions the labelled boxes hold."""
    known = [r.area_difference for r in rows if r.area_difference is not None]
    if not known or not any(known):
        return ""
    return (
        f"; the labelled boxes hold {sum(known)} bright pixels beside the labelled ones"
    )
