"""Anchors: how well they fit the boxes, and fitting them (YOLOv5's AutoAnchor, NumPy).

Sizes are in network pixels: the long side of the image scaled to `data.image_size`.
"""

import numpy as np
from jaxtyping import Float

MIN_SIDE = 2.0  # px; smaller boxes do not shape anchors, and no anchor is smaller
STARTS = 30  # of k-means; SciPy calls them `iter`
ITERATIONS = 50
GENERATIONS = 1000


def best_possible_recall(
    wh: Float[np.ndarray, "n 2"],
    anchors: Float[np.ndarray, "a 2"],
    threshold: float = 4.0,
) -> float:
    """Share of boxes that some anchor may learn: both side ratios within `threshold`.

    1.0 without boxes.
    """
    if not len(wh):
        return 1.0
    return float((_best(wh, anchors) > 1 / threshold).mean())


def kmeans_anchors(
    wh: Float[np.ndarray, "n 2"], n: int, seed: int
) -> Float[np.ndarray, "{n} 2"]:
    """`n` anchors for the boxes `wh`, by area.

    k-means on sides divided by their spread, then 1000 random changes of which those
    stay that raise the mean of the best ratio of each box.
    """
    wh = wh[(wh >= MIN_SIDE).all(axis=1)].astype(np.float64)
    if len(np.unique(wh, axis=0)) < n:
        raise ValueError(
            f"model.anchors=kmeans needs {n} boxes of different size, {MIN_SIDE:g} px "
            f"or more, and the training part has {len(np.unique(wh, axis=0))}; give "
            "anchors, or coco"
        )
    rng = np.random.default_rng(seed)
    spread = wh.std(axis=0)
    spread[spread == 0] = 1.0
    anchors = _kmeans(wh / spread[None, :], n, rng) * spread[None, :]
    anchors = _evolve(wh, anchors, rng)
    return anchors[np.argsort(anchors.prod(axis=1))].astype(np.float32)


def _best(
    wh: Float[np.ndarray, "n 2"], anchors: Float[np.ndarray, "a 2"]
) -> Float[np.ndarray, " n"]:
    """Worse side ratio, in (0, 1], of each box with its best anchor."""
    ratio = wh[:, None, :].astype(np.float64) / anchors[None, :, :]
    return np.minimum(ratio, 1 / ratio).min(axis=2).max(axis=1)


def _kmeans(
    points: Float[np.ndarray, "n 2"], k: int, rng: np.random.Generator
) -> Float[np.ndarray, "{k} 2"]:
    """The best of many starts; an empty cluster keeps its centre."""
    best, least = points[:k], np.inf
    for _ in range(STARTS):
        centres = rng.permutation(np.unique(points, axis=0))[:k]
        distance = np.inf
        for _ in range(ITERATIONS):
            far = np.square(points[:, None, :] - centres[None, :, :]).sum(axis=2)
            before, distance = distance, float(far.min(axis=1).sum())
            if distance == before:
                break
            nearest = far.argmin(axis=1)
            for j in np.unique(nearest):
                centres[j] = points[nearest == j].mean(axis=0)
        if distance < least:
            best, least = centres, distance
    return best


def _evolve(
    wh: Float[np.ndarray, "n 2"],
    anchors: Float[np.ndarray, "a 2"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "a 2"]:
    def fitness(candidate: Float[np.ndarray, "a 2"]) -> float:
        best = _best(wh, candidate)
        return float((best * (best > 0.25)).mean())

    shape = anchors.shape
    best = fitness(anchors)
    for _ in range(GENERATIONS):
        mask = rng.random(shape) < 0.9
        gain = 1 + 0.1 * mask * rng.random() * rng.standard_normal(shape)
        candidate = np.maximum(anchors * gain.clip(0.3, 3.0), MIN_SIDE)
        if (score := fitness(candidate)) > best:
            anchors, best = candidate, score
    return anchors
