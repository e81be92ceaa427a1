"""Which fold a patient, or a slice, goes to: a deal, then swaps that lower the imbalance.

docs/design/0011-folds.md says what is balanced and how far the search gets.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

STARTS = 8  # of the search; the best is kept
MANY, MOST = 200, 1000  # patients: above, one start; above, the deal without swaps


class Slice(NamedTuple):
    """One image or slice of a scan, before it is split.

    Attributes:
      name: unique.
      patient: "" where none is known.
      sha256: of a slice's HU, or of an image's file.
      load: calcium in mm2; of images the area of their boxes, px.
      scanner: may be empty.
      scan: that it is a slice of; empty for an image.
      path: file of the image or scan; folder of a DICOM series.
    """

    name: str
    patient: str
    sha256: str
    load: float
    scanner: str
    scan: str = ""
    path: Path = Path()


def balance(
    slices: Sequence[Slice], patients: list[str], folds: int, rng: np.random.Generator
) -> dict[str, int]:
    """Fold from 0 of each slice by name, all of a patient in one: the best of STARTS."""
    table, sizes = _table(slices, patients)
    starts = STARTS if len(patients) <= MANY else 1
    searched = [_search(table, sizes, folds, rng) for _ in range(starts)]
    best = min(searched, key=lambda pair: pair[0])[1]
    place = dict(zip(patients, best.tolist(), strict=True))
    return {s.name: place[s.patient] for s in slices}


def deal(
    slices: Sequence[Slice], folds: int, rng: np.random.Generator
) -> dict[str, int]:
    """Slices of one scanner and load class after another, shuffled, round and round."""
    classes = _classes(np.array([s.load for s in slices])).tolist()
    strata = [(s.scanner, k) for s, k in zip(slices, classes, strict=True)]
    order = sorted(rng.permutation(len(slices)).tolist(), key=lambda i: strata[i])
    first = int(rng.integers(folds))
    return {slices[i].name: (first + k) % folds for k, i in enumerate(order)}


def _classes(loads: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """0 without calcium, else 1 to 3 by the tertiles of those with some."""
    some = np.sort(loads[loads > 0])
    if not some.size:
        return np.zeros(len(loads), np.int64)
    cuts = some[[(some.size - 1) // 3, (some.size - 1) * 2 // 3]]
    return np.where(loads > 0, 1 + np.searchsorted(cuts, loads), 0)


def _table(
    slices: Sequence[Slice], patients: list[str]
) -> tuple[Float[np.ndarray, "p f"], Int[np.ndarray, " p"]]:
    """What to balance, in patients: each column sums to how many have it."""
    of: dict[str, list[Slice]] = defaultdict(list)
    for s in slices:
        of[s.patient].append(s)
    sizes = np.array([len(of[p]) for p in patients])
    positive = np.array([sum(s.load > 0 for s in of[p]) for p in patients])
    classes = _classes(np.array([math.fsum(s.load for s in of[p]) for p in patients]))
    scanners = sorted({s.scanner for s in slices})
    share = [[sum(s.scanner == c for s in of[p]) for c in scanners] for p in patients]
    columns = [
        (sizes / sizes.mean())[:, None],
        (positive / max(positive.mean(), 1e-9))[:, None],
        classes[:, None] == np.arange(4),
        np.array(share) / sizes[:, None],
    ]
    table = np.concatenate(columns, axis=1).astype(np.float64)
    return table[:, table.sum(axis=0) > 0], sizes


def _search(
    table: Float[np.ndarray, "p f"],
    sizes: Int[np.ndarray, " p"],
    folds: int,
    rng: np.random.Generator,
) -> tuple[float, Int[np.ndarray, " p"]]:
    """Imbalance and fold of each patient, after swaps that lower it.

    The imbalance is Pearson's: the sum of (share - fair)^2 / fair over folds and columns,
    `fair` being the column's total over `folds`.
    """
    p = len(table)
    size = math.ceil(p / folds) * folds  # nobodies fill up, at most one in a fold
    fair = table.sum(axis=0) / folds
    x = np.zeros((size, table.shape[1]))
    x[:p] = table / np.sqrt(fair)
    n = np.zeros(size, np.int64)
    n[:p] = sizes
    nobody = np.arange(size) >= p
    # Largest first, one to each fold: two folds then differ by what the first of each
    # round has more than its last, over all rounds together no more than the largest.
    # Without swaps, those of one size that are alike in the rest stand together.
    alike = table[:, 1:].T if p > MOST else ()
    order = np.lexsort((rng.permutation(p), *alike, -sizes))
    order = np.concatenate([order, np.arange(p, size)]).reshape(-1, folds)
    fold = np.zeros(size, np.int64)
    fold[order] = rng.permuted(np.tile(np.arange(folds), (len(order), 1)), axis=1)

    def off_fair() -> np.ndarray:
        sums = np.zeros((folds, x.shape[1]))
        np.add.at(sums, fold, x)
        return sums - np.sqrt(fair)

    if p > MOST:  # the pairs would fill the memory, and so many are even by themselves
        return float((off_fair() ** 2).sum()), fold[:p]
    square = (x**2).sum(axis=1)
    apart = square[:, None] + square[None, :] - 2 * x @ x.T
    once = ~np.tri(size, dtype=np.bool_)  # each pair, not twice
    while True:
        off = off_fair()
        along = x @ off.T
        own = along[np.arange(size), fold]
        cross = along[:, fold]  # patient i along the fold of patient j
        gain = 2 * (cross.T + cross - own[:, None] - own[None, :] + apart)
        crowded = np.bincount(fold, nobody, folds)[fold] > 0  # has its nobody
        second = nobody[:, None] & crowded[None, :]
        gain[(fold[:, None] == fold[None, :]) | second | second.T | ~once] = 0
        # rounded, so that no machine's last digit decides
        gain = gain.round(9)
        filled = np.bincount(fold, n, folds)
        lower = np.flatnonzero(gain < 0)
        for at in lower[np.argsort(gain.flat[lower], kind="stable")]:
            i, j = divmod(int(at), size)
            after = filled.copy()
            after[fold[i]] += n[j] - n[i]
            after[fold[j]] += n[i] - n[j]
            if after.max() - after.min() <= n.max():
                fold[[i, j]] = fold[[j, i]]
                break
        else:
            return round(float((off**2).sum()), 9), fold[:p]
