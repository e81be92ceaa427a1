"""Hits by the distance of centres, for boxes of few pixels.

LUNA16 finds a nodule within its radius. A box has two sides; R here is half the longer
one. See docs/design/0012-froc-and-centre.md.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.structures.image import Image


class Matched(NamedTuple):
    """Detections of one image, in the order in which they stand.

    Attributes:
      hit: took a box.
      ignored: neither true nor false: took none, and its centre is in an ignored box.
      box: index of the box taken; -1 for none.
      far: within R of no box and not in an ignored one: a false positive of the FROC,
        for which a second detection of a box is none.
      best: per box, the highest confidence within R; -inf for none.
    """

    hit: Bool[np.ndarray, "k"]
    ignored: Bool[np.ndarray, "k"]
    box: Integer[np.ndarray, "k"]
    far: Bool[np.ndarray, "k"]
    best: Float[np.ndarray, "n"]


def matches(image: Image) -> Matched:
    """In order of confidence each detection takes the nearest free box within R.

    Of its class, and of equally near boxes the first. A detection whose boxes are all
    taken is a false positive. Leaving out detections below some confidence changes
    nothing for those above it.
    """
    distance, radius = distances(image)
    counting = image.counting[:, None]
    near = counting & (distance <= radius[:, None])
    inside = ~counting & _inside(image)
    box = np.full(len(image.det_boxes), -1)
    free = np.ones(len(image.boxes), bool)
    order = np.argsort(-image.det_scores, kind="stable")
    close = np.asarray(near.any(axis=0))
    for k in order[close[order]]:
        open_to = np.flatnonzero(near[:, k] & free)
        if len(open_to):
            box[k] = open_to[distance[open_to, k].argmin()]
            free[box[k]] = False
    excused = np.asarray(inside.any(axis=0))
    scores = np.where(near, image.det_scores.astype(np.float64), -np.inf)
    return Matched(
        hit=box >= 0,
        ignored=(box < 0) & excused,
        box=box,
        far=~close & ~excused,
        best=scores.max(axis=1, initial=-np.inf),
    )


def distances(
    image: Image,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n"]]:
    """Distance of the centres of boxes and detections, inf between classes; R; px."""
    boxes, dets = image.boxes.astype(np.float64), image.det_boxes.astype(np.float64)
    # Twice the centres, so that half pixels are exact and "at R" is decided by no
    # rounding; the square root of a perfect square is exact.
    twice = (boxes[:, :2] + boxes[:, 2:])[:, None] - (dets[:, :2] + dets[:, 2:])[None]
    distance = np.sqrt((twice**2).sum(axis=2)) / 2
    same = image.labels[:, None] == image.det_labels[None, :]
    radius = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) / 2
    return np.where(same, distance, np.inf), radius


def _inside(image: Image) -> Bool[np.ndarray, "n k"]:
    """Which detections have their centre in which box of their class, edges included."""
    dets = image.det_boxes.astype(np.float64)
    centre = (dets[:, :2] + dets[:, 2:]) / 2
    low = (image.boxes[:, None, :2] <= centre[None]).all(axis=2)
    high = (centre[None] <= image.boxes[:, None, 2:]).all(axis=2)
    return low & high & (image.labels[:, None] == image.det_labels[None, :])
