"""How far scores and categories depend on the definition alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.calcium.patient_scores import PatientScore
from tqgd_jax.evaluation.calcium.risk_categories import (
    SCHEMES,
    Scheme,
    categories,
    scheme,
)


def convention_agreement(
    rows: Sequence[PatientScore], base: str = "orcascore", by: str = "standard"
) -> dict[str, Any]:
    """Reference scores of the same voxels under every convention and every scheme.

    `rows` hold each scan once under each convention; scans stand for patients, and one
    who has two counts twice.

    Returns:
      `of`: how many scans; `changed_by_definition`: how many of them the conventions do
      not all put in one category of the scheme `by`; `base` and `by`; and
      `conventions`: for each, `patients_changed` (against `base`), `categories` (scans in
      each category of `by`), and `median_ratio` and `p95_ratio` of its scores to those
      of `base`, over scans where `base` is not 0 (None: there is none);
      `schemes`: for each, with the scores of `base`: `categories`, `labels`, and
      `patients_changed`: whom it calls more or less ill than `by` does (`Scheme.grades`).

    Raises:
      ValueError: when `base` is not among the rows' conventions, or a convention has not
        the scans of the others.
    """
    scores = _table(rows, base)
    chosen = scheme(by)
    placed = {name: categories(values, chosen) for name, values in scores.items()}
    of = len(scores[base])
    conventions = {
        name: {
            "patients_changed": int((placed[name] != placed[base]).sum()),
            "of": of,
            "categories": np.bincount(
                placed[name], minlength=len(chosen.labels)
            ).tolist(),
            **_ratios(values, scores[base]),
        }
        for name, values in scores.items()
    }
    schemes = {}
    for name, other in SCHEMES.items():
        regraded = categories(scores[base], other)
        schemes[name] = {
            "patients_changed": sum(
                _differ(chosen, a, other, b)
                for a, b in zip(placed[base].tolist(), regraded.tolist(), strict=True)
            ),
            "of": of,
            "categories": np.bincount(regraded, minlength=len(other.labels)).tolist(),
            "labels": list(other.labels),
        }
    every = np.stack([*placed.values()])
    return {
        "base": base,
        "by": by,
        "of": of,
        "changed_by_definition": int((every != every[0]).any(axis=0).sum()),
        "conventions": conventions,
        "schemes": schemes,
    }


def _table(
    rows: Sequence[PatientScore], base: str
) -> dict[str, Float[np.ndarray, "n"]]:
    """Agatston scores by convention, scans in one order."""
    tables: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        of = tables.setdefault(row.convention, {})
        of[row.patient, row.scan] = row.reference.agatston
    if base not in tables:
        raise ValueError(
            f"no scores under {base!r} to compare with; there are: {', '.join(tables)}"
        )
    scans = sorted(tables[base])
    for name, of in tables.items():
        if sorted(of) != scans:
            raise ValueError(
                f"{name!r} has scores of {len(of)} scans, {base!r} of {len(scans)}, or of "
                "others; score the same scans under each convention"
            )
    return {
        name: np.array([of[s] for s in scans], np.float64)
        for name, of in tables.items()
    }


def _ratios(
    values: Float[np.ndarray, "n"], base: Float[np.ndarray, "n"]
) -> dict[str, float | None]:
    positive = base > 0
    if not positive.any():
        return {"median_ratio": None, "p95_ratio": None}
    ratios = values[positive] / base[positive]
    return {
        "median_ratio": float(np.median(ratios)),
        "p95_ratio": float(np.percentile(ratios, 95)),
    }


def _differ(one: Scheme, a: int, other: Scheme, b: int) -> bool:
    return not set(one.grades[a]) & set(other.grades[b])
