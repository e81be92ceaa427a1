"""Boxes of one lesion in several slices: joined pairs, then connected components."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tqgd_jax.overlap import meet
from tqgd_jax.structures.image import Image


class Slice(NamedTuple):
    """Boxes of one image, labelled or detected.

    Attributes:
      image: where they stand.
      boxes: (x0, y0, x1, y1), px of the image.
      labels: class index of each box.
      counted: which boxes belong to lesions at all.
      lesion: number of each box's lesion in the scan, from 1; 0: unknown.
    """

    image: Image
    boxes: Float[np.ndarray, "n 4"]
    labels: Integer[np.ndarray, "n"]
    counted: Bool[np.ndarray, "n"]
    lesion: Int[np.ndarray, "n"]

    @property
    def unknown(self) -> Int[np.ndarray, "_"]:
        """Boxes that count and have no number."""
        return np.flatnonzero(self.counted & (self.lesion == 0))


def chains(slices: Sequence[Slice]) -> list[Int[np.ndarray, "_"]]:
    """The lesion of every box, numbered 0, 1, ... over all; -1 if it does not count.

    Boxes with a number belong to (patient, scan, number); the others are joined when
    they are of one class, in slices z and z + 1 of one scan, and share more than
    0 px^2 of the whole slice.
    """
    starts = np.cumsum([0, *(len(s.boxes) for s in slices)])
    pairs = [np.zeros((2, 0), int), *_numbered(slices, starts)]
    at: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for i, s in enumerate(slices):
        if s.image.place.z is not None and len(s.unknown):
            at[*s.image.scan, s.image.place.z].append(i)
    for (patient, scan, z), low in at.items():
        for i in low:
            for j in at.get((patient, scan, z + 1), ()):
                offset = np.array([[starts[i]], [starts[j]]])
                pairs.append(_touching(slices[i], slices[j]) + offset)
    ends, total = np.concatenate(pairs, axis=1), int(starts[-1])
    graph = coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), (total,) * 2)
    _, part = connected_components(graph, directed=False)
    counted = np.concatenate([np.zeros(0, bool), *(s.counted for s in slices)])
    lesion = np.full(total, -1)
    _, lesion[counted] = np.unique(part[counted], return_inverse=True)
    return [lesion[a:b] for a, b in pairwise(starts)]


def _numbered(
    slices: Sequence[Slice], starts: Int[np.ndarray, "_"]
) -> list[Int[np.ndarray, "2 _"]]:
    """Each box with a number, paired with the first one that has the same."""
    first: dict[tuple[str, str, int], int] = {}
    pairs = []
    for s, start in zip(slices, starts.tolist(), strict=False):
        for k in np.flatnonzero(s.counted & (s.lesion > 0)).tolist():
            key = (*s.image.scan, int(s.lesion[k]))
            pairs.append(np.array([[first.setdefault(key, start + k)], [start + k]]))
    return pairs


def _touching(low: Slice, high: Slice) -> Int[np.ndarray, "2 _"]:
    """Pairs of boxes without number that share more than 0 px^2, and their class."""
    p, q = low.unknown, high.unknown
    alike = low.labels[p][:, None] == high.labels[q][None, :]
    i, j = np.nonzero(alike & meet(_placed(low)[p], _placed(high)[q]))
    return np.stack([p[i], q[j]])


def _placed(s: Slice) -> Float[np.ndarray, "n 4"]:
    """In px of the whole slice, whatever the crop."""
    x, y, _, _ = s.image.place.crop or (0, 0, 0, 0)
    return s.boxes + np.array([x, y, x, y])
