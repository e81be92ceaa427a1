"""FROC by LUNA16's definition: sensitivity against false positives per scan or slice.

A unit (a box, a lesion) counts as found with the highest confidence within R of it
(`centre`); its other detections are neither true nor false. Between the points of the
curve, one for each confidence, lines are drawn, from (0, 0) to the first; after the last
the curve is flat. See docs/design/0012-froc-and-centre.md.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from tqgd_jax.evaluation.statistics.weighted import (
    CumulativeCounts,
    Weights,
    by_rows,
    count_by_cluster,
    ratio,
)

RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
NAMES = ("1/8", "1/4", "1/2", "1", "2", "4", "8")


class Curve(NamedTuple):
    """What the curve depends on, at the confidences at which units are found.

    Attributes:
      hits: units found so far.
      before: false positives with more confidence.
      so_far: false positives with at least this confidence.
      units: of each cluster.
      places: scans or slices of each cluster.
    """

    hits: CumulativeCounts
    before: CumulativeCounts
    so_far: CumulativeCounts
    units: Float[np.ndarray, "c"]
    places: Float[np.ndarray, "c"]


def curve(
    best: Float[np.ndarray, "u"],
    owner: Integer[np.ndarray, "u"],
    false: Float[np.ndarray, "m"],
    false_owner: Integer[np.ndarray, "m"],
    places: Float[np.ndarray, "c"],
) -> Curve:
    """Prepares a curve.

    Args:
      best: highest confidence on each unit; -inf: never found.
      owner: cluster of each unit.
      false: confidences of the false positives.
      false_owner: cluster of each false positive.
      places: scans or slices of each cluster.
    """
    clusters = len(places)
    hit = best > -np.inf
    scores = -np.unique(-best[hit])  # falling
    steps, rising = len(scores), -scores
    return Curve(
        CumulativeCounts(
            owner[hit], np.searchsorted(rising, -best[hit]), clusters, steps
        ),
        CumulativeCounts(
            false_owner, np.searchsorted(rising, -false, "right"), clusters, steps
        ),
        CumulativeCounts(
            false_owner, np.searchsorted(rising, -false, "left"), clusters, steps
        ),
        count_by_cluster(owner, clusters),
        places,
    )


def sensitivity(
    of: Curve, weights: Weights, rates: Float[np.ndarray, "r"]
) -> Float[np.ndarray, "r b"]:
    """Sensitivity at `rates` of false positives per place; NaN without units."""
    width = len(of.hits)
    return by_rows(lambda w: _sensitivity(of, w, rates), weights, width)


def _sensitivity(
    of: Curve, weights: Weights, rates: Float[np.ndarray, "r"]
) -> Float[np.ndarray, "r b"]:
    allowed = (weights @ of.places)[:, None] * rates[None, :]
    steps, end = len(of.hits), of.so_far(weights)
    # Steps whose false positives are all allowed count whole, the next one in part.
    whole = np.empty(allowed.shape, np.intp)
    for row, values in enumerate(end):
        whole[row] = values.searchsorted(allowed[row], "right")
    hits = np.zeros((len(weights), steps + 1))
    hits[:, 1:] = of.hits(weights)
    sure = np.take_along_axis(hits, whole, axis=1)
    if steps:
        last = np.minimum(whole, steps - 1)
        start = np.take_along_axis(of.before(weights), last, axis=1)
        false = np.take_along_axis(end, last, axis=1) - start
        part = np.clip((allowed - start) / np.maximum(false, 1), 0, 1)
        more = np.take_along_axis(hits, last + 1, axis=1) - sure
        sure += np.where(whole < steps, part * more, 0)
    units = np.broadcast_to((weights @ of.units)[:, None], sure.shape)
    return np.where(allowed > 0, ratio(sure, units), np.nan).T
