"""Anchor boxes by configuration: YOLOv5's, given ones, or clustered on the data."""

import numpy as np
from jaxtyping import Float

from tqgd_jax.config import Model
from tqgd_jax.nn.head import PER_HEAD

# Width and height in px at 640, by level; clustered on COCO, YOLOv5 v7.0.
COCO = {
    3: ((10, 13), (16, 30), (33, 23)),
    4: ((30, 61), (62, 45), (59, 119)),
    5: ((116, 90), (156, 198), (373, 326)),
}


def choose(
    model: Model, wh: Float[np.ndarray, "n 2"], seed: int
) -> Float[np.ndarray, "l a 2"]:
    """Anchors of every head, px, finest head first.

    Args:
      model: its `anchors` and `heads`.
      wh: width and height of the training boxes at the network's input, px; only
        "kmeans" reads them.
      seed: of the clustering.

    Raises:
      ValueError: no COCO anchors for a head; text that is not anchors.
    """
    heads = model.heads
    if model.anchors == "coco":
        missing = [n for n in heads if n not in COCO]
        if missing:
            raise ValueError(
                f"model.anchors='coco' has anchors for P3 to P5 only, but model.heads="
                f"{heads}; set model.anchors='kmeans' or give them"
            )
        return np.array([COCO[n] for n in heads], np.float32)
    if model.anchors == "kmeans":
        from tqgd_jax.data.anchors import kmeans_anchors

        found = kmeans_anchors(wh, PER_HEAD * len(heads), seed)
        return found.reshape(len(heads), PER_HEAD, 2).astype(np.float32)
    return _parse(model.anchors, heads)


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
            f"model.anchors must be 'coco', 'kmeans' or {PER_HEAD} pairs width,height "
            f"in px for each of {len(heads)} heads, heads separated by '|' (such as "
            f"'10,13 16,30 33,23 | …'); got {text!r}"
        )
    areas = given.prod(-1).mean(-1)
    if (np.diff(areas) < 0).any():
        raise ValueError(
            f"model.anchors must grow from head to head (heads {heads}); their mean "
            f"areas are {areas.tolist()} px; reorder them"
        )
    return given
