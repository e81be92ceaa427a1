"""Counts in which every cluster (a patient, a scan) stands a given number of times.

A figure of resampled patients needs no resampled detections, only weighted counts: with
weights [b, c], row by row how often each of `c` clusters is drawn, one matrix product
serves all `b` resamples.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Integer
from scipy import sparse

Weights = Float[np.ndarray, "b c"]
CELLS = 2**20  # numbers in an array of resamples worked on at once: 8 MiB
DENSE = 16  # a product with zeros costs this much less than one with a sparse matrix


def count_by_cluster(
    cluster: Integer[np.ndarray, "m"], clusters: int
) -> Float[np.ndarray, "c"]:
    """How many of the things are each cluster's."""
    return np.bincount(cluster, minlength=clusters).astype(np.float64)


class CumulativeCounts:
    """Weighted number of events at or before each of several places in a ranking."""

    def __init__(
        self,
        cluster: Integer[np.ndarray, "m"],
        place: Integer[np.ndarray, "m"],
        clusters: int,
        places: int,
    ):
        """An event belongs to a cluster and counts from its place onwards.

        Args:
          cluster: of each event.
          place: of each event, in [0, places]; at `places` it never counts.
          clusters: their number.
          places: their number.
        """
        counted = place < places
        cluster, place = cluster[counted], place[counted]
        self.shape = places, clusters
        if clusters * places <= DENSE * len(place) or clusters * places <= CELLS:
            cells = np.bincount(cluster * places + place, minlength=clusters * places)
            self.table = cells.reshape(clusters, places).cumsum(axis=1).astype(float)
        else:
            ones = np.ones(len(place))
            self.table = sparse.csr_array((ones, (place, cluster)), shape=self.shape)

    def __len__(self) -> int:
        """The number of places."""
        return self.shape[0]

    def __call__(self, weights: Weights) -> Float[np.ndarray, "b places"]:
        """The numbers, a row per row of weights."""
        if isinstance(self.table, np.ndarray):
            return weights @ self.table
        steps = np.ascontiguousarray((self.table @ weights.T).T)
        return np.cumsum(steps, axis=1, out=steps)


def ratio(
    part: Float[np.ndarray, "*n"], whole: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "*n"]:
    """`part / whole`; NaN where `whole` is not above 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def known(value: float) -> float | None:
    """As json has it: NaN becomes None."""
    return None if np.isnan(value) else float(value)


def mean(values: Float[np.ndarray, "k *n"]) -> Float[np.ndarray, "*n"]:
    """Over the first axis, without NaN; NaN where there is nothing else."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return ratio(total, defined.sum(axis=0).astype(np.float64))


def by_rows(
    figure: Callable[[Weights], np.ndarray], weights: Weights, width: int
) -> np.ndarray:
    """`figure` of blocks of rows, joined along the last axis.

    Args:
      figure: gives an array whose last axis is that of the rows.
      weights: of all rows.
      width: numbers that `figure` holds for one row, which decides the size of a block.
    """
    rows = max(8, CELLS // max(width, 1))
    blocks = [weights[i : i + rows] for i in range(0, len(weights), rows)]
    if len(blocks) < 2:
        return figure(weights)
    return np.concatenate([figure(block) for block in blocks], axis=-1)
