"""What became of every detection and every box: rows of tables, frames in pictures."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from tqgd_jax.evaluation.matching.matches import HALF, Marks, Matches


class Outcome(NamedTuple):
    """By one criterion, detections and boxes in the order in which they stand.

    Attributes:
      hit: true positives, whatever the threshold.
      ignored: neither true nor false.
      box: index in the image of the box that a hit has found, else -1.
      detected: boxes found at the threshold; none where there is no threshold.
      missed: boxes that count and are not found at the threshold; none likewise.
    """

    hit: Bool[np.ndarray, "k"]
    ignored: Bool[np.ndarray, "k"]
    box: Integer[np.ndarray, "k"]
    detected: Bool[np.ndarray, "n"]
    missed: Bool[np.ndarray, "n"]


class Outcomes(NamedTuple):
    """One image.

    Attributes:
      above: detections at or above the threshold; None: there is no threshold.
      iou: by YOLOv5's rule at IoU 0.5.
      centre: by the distance of centres.
    """

    above: Bool[np.ndarray, "k"] | None
    iou: Outcome
    centre: Outcome


def outcomes(of: Matches) -> list[Outcomes]:
    """Of all images, in their order."""
    first = np.cumsum([0, *(len(image.boxes) for image in of.images)])
    start = np.cumsum([0, *(len(image.det_boxes) for image in of.images)])
    rows = []
    for i in range(len(of.images)):
        dets, boxes = slice(*start[i : i + 2]), slice(*first[i : i + 2])
        above = None if of.blind[i] else of.dets.above[dets]
        pair = [
            _outcome(of, marks, t, k, dets, boxes)
            for k, (marks, t) in enumerate(((of.yolo, HALF), (of.centre, 0)))
        ]
        rows.append(Outcomes(above, *pair))
    return rows


def _outcome(
    of: Matches, marks: Marks, t: int, criterion: int, dets: slice, boxes: slice
) -> Outcome:
    hit, false = marks.hit[dets, t], marks.false[dets, t]
    detected, counting = of.detected[criterion, boxes], of.boxes.counting[boxes]
    judged = not of.blind[of.boxes.image[boxes]].any()
    return Outcome(
        hit=hit,
        ignored=~hit & ~false,
        box=np.where(hit, marks.box[dets] - boxes.start, -1),
        detected=detected,
        missed=counting & ~detected & judged,
    )
