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

from tqgd_jax.metrics.weighted import Weights

UNDEFINED = 0.05  # share of resamples without a value from which there is no interval
JACKKNIFE = 200  # patients, above which leaving one out would widen nothing


def resamples(clusters: int, repeats: int, seed: int) -> Weights:
    """How often each of `clusters` is drawn in each of `repeats` resamples."""
    if clusters == 0:
        return np.zeros((repeats, 0))
    rng = np.random.default_rng(seed)
    share = np.full(clusters, 1 / clusters)
    return rng.multinomial(clusters, share, size=repeats).astype(np.float64)


def left_out(clusters: int) -> Weights:
    """The cohort without each of its clusters in turn; no rows where it is not needed."""
    if not 2 <= clusters <= JACKKNIFE:
        return np.zeros((0, clusters))
    return 1 - np.eye(clusters)


def interval(
    replicates: Float[np.ndarray, "b"],
    without: Float[np.ndarray, "_"],
    clusters: int,
    level: float = 0.95,
) -> tuple[float, float]:
    """Expanded percentile interval (Hesterberg, The American Statistician 2015).

    Percentiles of a bootstrap of n clusters are too narrow by about sqrt((n - 1) / n)
    and by what separates the normal from Student's t, so they are taken further out, at
    Phi(-t_{n-1} sqrt(n / (n - 1))). Where few patients hold most lesions that is still
    too narrow; then the factor is the ratio of the jackknife's standard error to the
    bootstrap's, if that is larger. `python -m bench.referee coverage` says what it
    brings. Resamples without a value are left out.

    Args:
      replicates: the figure of each resample.
      without: the figure without each cluster (`left_out`); empty: not looked at.
      clusters: that were resampled.
      level: nominal coverage.
    """
    there = replicates[~np.isnan(replicates)]
    if clusters < 2 or not len(there):
        return np.nan, np.nan
    factor = np.sqrt(clusters / (clusters - 1))
    spread = there.std()
    if len(without) == clusters and not np.isnan(without).any() and spread > 0:
        jackknife = np.sqrt((clusters - 1) * without.var())
        factor = max(factor, jackknife / spread)
    tail = ndtr(-factor * stdtrit(clusters - 1, (1 + level) / 2))
    low, high = np.quantile(there, (tail, 1 - tail))
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
    without = left_out(clusters)
    rows = np.concatenate([np.ones((1, clusters)), without, weights])
    if not len(weights):
        rows = rows[:1]
    found = {}
    for key, values in figures(rows).items():
        value, parts = (
            values[0],
            (values[1 + len(without) :], values[1 : 1 + len(without)]),
        )
        number = {"value": None, "low": None, "high": None, "reason": ""}
        if np.isnan(value):
            number["reason"] = why(key)
        else:
            number["value"] = float(value)
            number["reason"] = no_interval(parts[0], clusters)
            if not number["reason"]:
                ends = interval(*parts, clusters, level)
                number["low"], number["high"] = ends
        found[key] = number
    return found


def no_interval(replicates: Float[np.ndarray, "b"], clusters: int) -> str:
    """Why there is no interval; empty when there is one."""
    if not len(replicates):
        return "no resamples were asked for: no interval"
    if clusters == 1:
        return "one patient: no interval"
    undefined = np.isnan(replicates).mean()
    if undefined > UNDEFINED:
        share = f"{undefined:.0%}"
        return f"undefined in {share} of the resamples of patients: no interval"
    return ""
