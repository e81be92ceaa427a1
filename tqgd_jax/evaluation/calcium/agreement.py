"""How well two scores of the same patients agree, for any weights of the patients.

A patient of weight 2 counts as two patients with the same scores, so a bootstrap sample
is a row of whole numbers.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from tqgd_jax.evaluation.calcium.risk_categories import Scheme, categories
from tqgd_jax.evaluation.statistics.weighted import ratio

CUTS = (1, 10, 100, 400)  # of the Agatston score
LIMITS = 1.96  # standard deviations from bias to limit of agreement


def confusion(
    reference: Float[np.ndarray, "p"], predicted: Float[np.ndarray, "p"], scheme: Scheme
) -> Int[np.ndarray, "k k"]:
    """Patients by category: rows the reference's, columns the predicted."""
    table = np.zeros((len(scheme.labels),) * 2, int)
    np.add.at(table, (categories(reference, scheme), categories(predicted, scheme)), 1)
    return table


def agreement(
    reference: Float[np.ndarray, "p"],
    predicted: Float[np.ndarray, "p"],
    weights: Float[np.ndarray, "b p"],
    scheme: Scheme,
) -> dict[str, Float[np.ndarray, "b"]]:
    """Agreement of predicted with reference scores, for each row of weights.

    `kappa`: Cohen's, linearly weighted, of the categories of `scheme`; `accuracy`: share
    of patients in the right one. `icc_a1`, `icc_c1`: ICC(A,1) and ICC(C,1) of McGraw and
    Wong 1996, agreement and consistency of single ratings, which are ICC(2,1) and
    ICC(3,1) of Shrout and Fleiss 1979.
    `bias`: mean of predicted - reference; `sd` (n - 1) of that difference; `loa_low`,
    `loa_high` = bias -+ `LIMITS` sd (Bland and Altman 1986); `log_bias`, `log_loa_low`,
    `log_loa_high`: the same of log(score + 1). `mae`: mean absolute difference.
    `cutC.sensitivity`, `specificity`, `ppv`, `npv`, `f1` for C in `CUTS`, positive being
    a score >= C.

    Args:
      reference: scores, 0 or more.
      predicted: scores of the same patients.
      weights: how often each patient counts, 0 or more.
      scheme: categories for kappa and accuracy.

    Returns:
      NaN where a figure is undefined; `why` has the words for it.

    Raises:
      ValueError: for a score that is negative or not finite.
    """
    for name, scores in (("reference", reference), ("predicted", predicted)):
        wrong = np.flatnonzero(~(np.isfinite(scores) & (scores >= 0)))
        if len(wrong):
            raise ValueError(
                f"{name} score {scores[wrong[0]]} of patient {wrong[0]} must be a "
                "number of 0 or more; leave out patients without a score"
            )
    difference = predicted - reference
    return {
        **_kappa(categories(reference, scheme), categories(predicted, scheme), weights),
        **_iccs(reference, predicted, weights),
        **_bland_altman(difference, weights),
        **{
            f"log_{key}": value
            for key, value in _bland_altman(
                np.log1p(predicted) - np.log1p(reference), weights
            ).items()
            if key != "sd"
        },
        "mae": ratio(weights @ np.abs(difference), weights.sum(axis=1)),
        **{
            f"cut{cut}.{key}": value
            for cut in CUTS
            for key, value in _screening(
                reference >= cut, predicted >= cut, weights
            ).items()
        },
    }


def why(
    key: str, reference: Float[np.ndarray, "p"], predicted: Float[np.ndarray, "p"]
) -> str:
    """Why `agreement` of all these patients has no value under `key`.

    A prefix such as `volume.` names the scores, not the figure.
    """
    *_, group, name = ("", *key.split("."))
    if len(reference) == 0:
        return "no patient with both scores"
    if group.startswith("cut"):
        cut = float(group.removeprefix("cut"))
        return {
            "sensitivity": f"no patient at {cut:g} or above in the reference",
            "specificity": f"no patient below {cut:g} in the reference",
            "ppv": f"no patient is predicted at {cut:g} or above",
            "npv": f"no patient is predicted below {cut:g}",
            "f1": f"no patient at {cut:g} or above, neither reference nor predicted",
        }[name]
    if name == "kappa":
        return "all patients in one category, in reference and prediction: no kappa"
    if len(reference) == 1:
        return "one patient: no spread between patients"
    return "no spread between patients: no correlation"


def _kappa(
    reference: Int[np.ndarray, "p"],
    predicted: Int[np.ndarray, "p"],
    weights: Float[np.ndarray, "b p"],
) -> dict[str, Float[np.ndarray, "b"]]:
    """Linearly weighted kappa and accuracy.

    Kappa is 1 - observed / expected disagreement, the expected one by the marginals. It
    is undefined where that is 0: all patients in one category, so that chance agrees.
    """
    n = weights.sum(axis=1)
    kinds = np.arange(1 + max(reference.max(initial=0), predicted.max(initial=0)))
    rows = weights @ (reference[:, None] == kinds[None, :]).astype(float)
    columns = weights @ (predicted[:, None] == kinds[None, :]).astype(float)
    distance = np.abs(kinds[:, None] - kinds[None, :]).astype(float)
    expected = ((rows @ distance) * columns).sum(axis=1)
    observed = weights @ np.abs(reference - predicted).astype(float)
    return {
        "kappa": 1 - ratio(observed * n, expected),
        "accuracy": ratio(weights @ (reference == predicted).astype(float), n),
    }


def _iccs(
    x: Float[np.ndarray, "p"],
    y: Float[np.ndarray, "p"],
    weights: Float[np.ndarray, "b p"],
) -> dict[str, Float[np.ndarray, "b"]]:
    """Intraclass correlation, from the moments of sum and difference of the two."""
    n = weights.sum(axis=1)
    _, between = _moments((x + y) / 2, weights)
    bias, error = _moments(y - x, weights)
    # MSR = 2 between, MSE = error / 2, MSC = n bias^2 / 2
    apart = 2 * between - error / 2
    a1 = 2 * between + error / 2 + bias**2 - ratio(error, n)
    return {
        "icc_a1": ratio(apart, a1),
        "icc_c1": ratio(apart, 2 * between + error / 2),
    }


def _bland_altman(
    difference: Float[np.ndarray, "p"], weights: Float[np.ndarray, "b p"]
) -> dict[str, Float[np.ndarray, "b"]]:
    bias, variance = _moments(difference, weights)
    sd = np.sqrt(variance)
    return {
        "bias": bias,
        "sd": sd,
        "loa_low": bias - LIMITS * sd,
        "loa_high": bias + LIMITS * sd,
    }


def _screening(
    reference: Bool[np.ndarray, "p"],
    predicted: Bool[np.ndarray, "p"],
    weights: Float[np.ndarray, "b p"],
) -> dict[str, Float[np.ndarray, "b"]]:
    """The fourfold table of two yes-or-no answers per patient."""
    tp = weights @ (reference & predicted).astype(float)
    fp = weights @ (~reference & predicted).astype(float)
    fn = weights @ (reference & ~predicted).astype(float)
    tn = weights @ (~reference & ~predicted).astype(float)
    return {
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def _moments(
    values: Float[np.ndarray, "p"], weights: Float[np.ndarray, "b p"]
) -> tuple[Float[np.ndarray, "b"], Float[np.ndarray, "b"]]:
    """Weighted mean and variance (n - 1); NaN for none, and the variance for one."""
    n = weights.sum(axis=1)
    mean = ratio(weights @ values, n)
    counts = weights > 0
    low = np.where(counts, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(counts, values, -np.inf).max(axis=1, initial=-np.inf)
    # Rounding of the mean must not make a spread where all values are the same.
    mean = np.where(low == high, low, mean)
    square = (weights * (values[None, :] - mean[:, None]) ** 2).sum(axis=1)
    return mean, ratio(square, n - 1)
