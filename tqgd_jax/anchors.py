"""Anchor boxes: YOLOv5's, given ones, or fitted to the data (YOLOv5's AutoAnchor).

Sizes are in network pixels: the long side of the image scaled to `data.image_size`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tqgd_jax.config import Loss, Model

PER_HEAD = 3  # anchors of a cell
MIN_SIDE = 2.0  # px; smaller boxes do not shape anchors, and no anchor is smaller
STARTS = 30  # of k-means; SciPy calls them `iter`
ITERATIONS = 50
GENERATIONS = 1000
ENOUGH = 0.98  # best possible recall with which YOLOv5 keeps its anchors

# Width and height in px at 640, by level; clustered on COCO, YOLOv5 v7.0.
COCO = {
    3: ((10, 13), (16, 30), (33, 23)),
    4: ((30, 61), (62, 45), (59, 119)),
    5: ((116, 90), (156, 198), (373, 326)),
}


class TooFewBoxes(ValueError):
    """k-means has fewer different boxes than anchors to find."""


class Anchors(NamedTuple):
    """The anchors of a run.

    Attributes:
      boxes: width and height, network px, of every head, finest first.
      origin: "coco", "kmeans", "given" or, of a network that has none, "none".
      lost: training boxes that match none of them at their own size, and so are
        background wherever augmentation does not resize them.
    """

    boxes: Float[np.ndarray, "l a 2"]
    origin: str
    lost: int


NONE = Anchors(np.zeros((0, 3, 2), np.float32), "none", 0)


def choose(
    model: Model,
    wh: Float[np.ndarray, "n 2"],
    seed: int,
    threshold: float = Loss().anchor_threshold,
) -> Anchors:
    """The anchors that `model.anchors` names.

    "auto" is YOLOv5's rule: COCO's while their best possible recall is at least
    `ENOUGH`, else k-means if that finds more; COCO's too where there are too few boxes
    to cluster.

    Args:
      model: its `anchors` and `heads`.
      wh: width and height of the training boxes at the network's input, px.
      seed: of the clustering.
      threshold: `loss.anchor_threshold`.

    Raises:
      ValueError: no COCO anchors for a head; too few boxes; text that is not anchors.
    """

    def made(boxes: Float[np.ndarray, "l a 2"], origin: str) -> Anchors:
        lost = 0
        if len(wh):
            lost = int((_best(wh, boxes.reshape(-1, 2)) <= 1 / threshold).sum())
        return Anchors(boxes, origin, lost)

    def kmeans() -> Anchors:
        boxes = kmeans_anchors(wh, PER_HEAD * len(model.heads), seed, threshold)
        return made(boxes.reshape(len(model.heads), PER_HEAD, 2), "kmeans")

    missing = [n for n in model.heads if n not in COCO]
    coco = None
    if not missing:
        coco = made(np.array([COCO[n] for n in model.heads], np.float32), "coco")
    if model.anchors == "auto":
        if coco is None:
            return kmeans()
        if coco.lost <= (1 - ENOUGH) * len(wh):
            return coco
        try:
            return min(coco, kmeans(), key=lambda candidate: candidate.lost)
        except TooFewBoxes:
            return coco
    if model.anchors == "kmeans":
        return kmeans()
    if model.anchors != "coco":
        return made(_parse(model.anchors, model.heads), "given")
    if coco is None:
        raise ValueError(
            f"model.anchors='coco' has anchors for P3 to P5 only, but model.heads="
            f"{model.heads}; set model.anchors='auto' or give them"
        )
    return coco


def _parse(text: str, heads: tuple[int, ...]) -> Float[np.ndarray, "l a 2"]:
    """Anchors from "10,13 16,30 33,23 | 30,61 …", smallest head first."""
    try:
        given = np.array(
            [[[float(x) for x in wh.split(",")] for wh in row.split()]
             for row in text.split("|")], np.float32,
        )  # fmt: skip
    except ValueError:
        given = np.zeros(0)
    if given.shape != (len(heads), PER_HEAD, 2) or not (given > 0).all():
        raise ValueError(
            f"model.anchors must be 'auto', 'coco', 'kmeans' or {PER_HEAD} pairs "
            f"width,height in px for each of {len(heads)} heads, heads separated by "
            f"'|' (such as '10,13 16,30 33,23 | …'); got {text!r}"
        )
    areas = given.prod(-1).mean(-1)
    if (np.diff(areas) < 0).any():
        raise ValueError(
            f"model.anchors must grow from head to head (heads {heads}); their mean "
            f"areas are {areas.tolist()} px; reorder them"
        )
    return given


def best_possible_recall(
    wh: Float[np.ndarray, "n 2"],
    anchors: Float[np.ndarray, "a 2"],
    threshold: float = Loss().anchor_threshold,
) -> float:
    """Share of boxes that some anchor may learn: both side ratios within `threshold`.

    1.0 without boxes.
    """
    if not len(wh):
        return 1.0
    return float((_best(wh, anchors) > 1 / threshold).mean())


def kmeans_anchors(
    wh: Float[np.ndarray, "n 2"],
    n: int,
    seed: int,
    threshold: float = Loss().anchor_threshold,
) -> Float[np.ndarray, "{n} 2"]:
    """`n` anchors for the boxes `wh`, by area.

    k-means on sides divided by their spread, then 1000 random changes of which those
    stay that raise the mean of the best ratio of each box.
    """
    wh = wh[(wh >= MIN_SIDE).all(axis=1)].astype(np.float64)
    if len(np.unique(wh, axis=0)) < n:
        raise TooFewBoxes(
            f"k-means of model.anchors needs {n} boxes of different size, "
            f"{MIN_SIDE:g} px or more, and the training part has "
            f"{len(np.unique(wh, axis=0))}; give anchors, or coco if heads are at P3 "
            "to P5"
        )
    rng = np.random.default_rng(seed)
    spread = wh.std(axis=0)
    spread[spread == 0] = 1.0
    anchors = _kmeans(wh / spread[None, :], n, rng) * spread[None, :]
    anchors = _evolve(wh, anchors, rng, threshold)
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
    threshold: float,
) -> Float[np.ndarray, "a 2"]:
    def fitness(candidate: Float[np.ndarray, "a 2"]) -> float:
        best = _best(wh, candidate)
        return float((best * (best > 1 / threshold)).mean())

    shape = anchors.shape
    best = fitness(anchors)
    for _ in range(GENERATIONS):
        mask = rng.random(shape) < 0.9
        gain = 1 + 0.1 * mask * rng.random() * rng.standard_normal(shape)
        candidate = np.maximum(anchors * gain.clip(0.3, 3.0), MIN_SIDE)
        if (score := fitness(candidate)) > best:
            anchors, best = candidate, score
    return anchors
