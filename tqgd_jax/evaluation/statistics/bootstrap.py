"""Intervals from resampled patients.

Patients, not lesions, are drawn with replacement: lesions of one patient are alike, and
an interval that takes them for independent is too narrow. A resample is a row of
weights, how often each patient is drawn, so that no detection is copied.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, stdtrit

from tqgd_jax.evaluation.statistics.weighted import Weights

UNDEFINED = 0.05  # share of resamples without a value from which there is no interval
JACKKNIFE = 200  # patients, above which leaving out each costs as much as resampling
SAME = 1e-12  # values that differ by the order of their sums alone


def resamples(clusters: int, repeats: int, seed: int) -> Weights:
    """How often each of `clusters` is drawn in each of `repeats` resamples."""
    if clusters == 0:
        return np.zeros((repeats, 0))
    rng = np.random.default_rng(seed)
    share = np.full(clusters, 1 / clusters)
    return rng.multinomial(clusters, share, size=repeats).astype(np.float64)


def left_out(clusters: int) -> Weights:
    """The cohort without each of its clusters in turn; no rows above `JACKKNIFE`."""
    if not 2 <= clusters <= JACKKNIFE:
        return np.zeros((0, clusters))
    return 1 - np.eye(clusters)


def interval(
    value: float,
    replicates: Float[np.ndarray, "b"],
    without: Float[np.ndarray, "_"],
    clusters: int,
    level: float = 0.95,
) -> tuple[float, float]:
    """Expanded percentile interval (Hesterberg, The American Statistician 2015).

    Percentiles of a bootstrap of n patients are too narrow by about sqrt((n - 1) / n)
    and by what separates the normal from Student's t, so they are taken further out, at
    Phi(-t_{n-1} sqrt(n / (n - 1))). n are the patients who matter: one without lesions
    adds nothing to what is known of a recall. Where few patients hold most lesions the
    factor is the ratio of the jackknife's standard error to the bootstrap's, if that is
    larger. `python -m bench.studies.evaluator coverage` says what it brings, and what it
    does not: ten patients, or a handful with lesions, give less than the nominal
    coverage, and below six no resample reaches far enough. Resamples without a value are
    left out.

    Args:
      value: the figure of all.
      replicates: the figure of each resample.
      without: the figure without each cluster (`left_out`); empty: not looked at.
      clusters: that were resampled.
      level: nominal coverage.
    """
    defined = replicates[~np.isnan(replicates)]
    if clusters < 2 or not len(defined):
        return np.nan, np.nan
    known, n, spread = len(without) == clusters, clusters, defined.std()
    if known:
        n = max(2, int((~(np.abs(without - value) <= _rounding(value))).sum()))
    factor = np.sqrt(n / (n - 1))
    if known and not np.isnan(without).any() and spread > 0:
        factor = max(factor, np.sqrt((clusters - 1) * without.var()) / spread)
    tail = ndtr(-factor * stdtrit(n - 1, (1 + level) / 2))
    low, high = np.quantile(defined, (tail, 1 - tail))
    return float(low), float(high)


def numbers(
    figures: Callable[[Weights], dict[str, Float[np.ndarray, "b"]]],
    weights: Weights,
    level: float,
    why: Callable[[str], str],
) -> dict[str, dict[str, Any]]:
    """Every figure with its interval: `value`, `low`, `high`, `reason`; None for none.

    Args:
      figures: of weights.
      weights: of `resamples`; no rows: no intervals.
      level: nominal coverage of the intervals.
      why: the reason for a figure without a value.
    """
    clusters = weights.shape[1]
    without = left_out(clusters if len(weights) else 0)
    ones = np.ones((1, clusters))
    rows = np.concatenate([ones, without, weights]) if len(weights) else ones
    result = {}
    for key, values in figures(rows).items():
        value = float(values[0])
        fewer, resampled = np.split(values[1:], [len(without)])
        number = {"value": None, "low": None, "high": None, "reason": ""}
        if np.isnan(value):
            number["reason"] = why(key)
        else:
            number["value"] = value
            number["reason"] = no_interval(value, resampled, clusters)
            if not number["reason"]:
                ends = interval(value, resampled, fewer, clusters, level)
                number["low"], number["high"] = ends
        result[key] = number
    return result


def no_interval(value: float, replicates: Float[np.ndarray, "b"], clusters: int) -> str:
    """Why there is no interval; empty when there is one."""
    if not len(replicates):
        return "no resamples were asked for: no interval"
    if clusters == 1:
        return "one patient: no interval"
    undefined = np.isnan(replicates).mean()
    if undefined > UNDEFINED:
        share = f"{undefined:.0%}"
        return f"undefined in {share} of the resamples of patients: no interval"
    # All missed, or all found: an interval of no width would say that it is certain.
    if np.nanmax(np.abs(replicates - value)) <= _rounding(value):
        return "the same in every resample of patients: no interval"
    return ""


def _rounding(value: float) -> float:
    return SAME * max(1.0, abs(value))
