"""The twelve figures of COCO's detection challenge, equal to pycocotools'.

Lin et al., ECCV 2014, and the evaluation code published with the data set. Dimension
letters: r area ranges, t IoU thresholds, n boxes, k detections.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.evaluation.matching import average_precision as ap
from tqgd_jax.evaluation.matching.yolo import ALL_THRESHOLDS, THRESHOLDS, place
from tqgd_jax.overlap import box_area, box_iou
from tqgd_jax.structures.image import Image

AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))  # px: all, s, m, l
LIMITS = (1, 10, 100)  # detections per image and class
STRICT = [place(float(t)) for t in THRESHOLDS]  # where COCO's stand in ALL_THRESHOLDS


class Matched(NamedTuple):
    """One class, or one image of it; detections at most 100 an image.

    Attributes:
      row: of each detection among those of its image, or of all.
      scores: confidences, falling within an image.
      turn: rank of each detection in its image.
      hit: matched to a box that counts.
      false: matched to nothing, and of an area in the range.
      boxes: ground-truth boxes that count, for each area range.
    """

    row: Integer[np.ndarray, "k"]
    scores: Float[np.ndarray, "k"]
    turn: Integer[np.ndarray, "k"]
    hit: Bool[np.ndarray, "r t k"]
    false: Bool[np.ndarray, "r t k"]
    boxes: Integer[np.ndarray, "r"]


def summarise(classes: Sequence[Matched]) -> dict[str, float | None]:
    """AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm and ARl.

    Means over the classes with ground truth; None where there is none (pycocotools says
    -1). Small is an area up to 32^2 px^2, medium to 96^2: of ground truth its `area`, of
    detections width times height. Crowd regions are ignored; `ignore` is not looked at.
    """
    shape = (len(AREAS), len(THRESHOLDS), len(classes))
    precision = np.full(shape, np.nan)
    recall = np.full((len(LIMITS), *shape), np.nan)
    for c, matched in enumerate(classes):
        order = np.argsort(-matched.scores, kind="stable")
        cluster = np.zeros(len(order), int)
        for r in np.flatnonzero(matched.boxes):
            boxes = matched.boxes[r : r + 1].astype(float)
            for t, strict in enumerate(STRICT):
                hit = matched.hit[r, strict, order]
                false = matched.false[r, strict, order]
                ranking = ap.rank(hit, false, cluster, boxes)
                precision[r, t, c] = ap.areas(ranking, np.ones((1, 1)), ap.coco)[0]
            for m, limit in enumerate(LIMITS):
                hits = matched.hit[r, STRICT][:, matched.turn < limit].sum(axis=1)
                recall[m, r, :, c] = hits / boxes
    figures = {
        "AP": precision[0],
        "AP50": precision[0, 0],  # THRESHOLDS[0] is .50
        "AP75": precision[0, 5],  # THRESHOLDS[5] is .75
        "APs": precision[1],
        "APm": precision[2],
        "APl": precision[3],
        "AR1": recall[0, 0],
        "AR10": recall[1, 0],
        "AR100": recall[2, 0],
        "ARs": recall[2, 1],
        "ARm": recall[2, 2],
        "ARl": recall[2, 3],
    }
    return {name: _mean(values) for name, values in figures.items()}


def match(image: Image, label: int) -> Matched:
    """At each of `ALL_THRESHOLDS` a detection takes the best box that is still free.

    Boxes that count come before ignored ones, whatever the IoU; of equal IoUs the last
    box is taken; a crowd region is never used up. A detection on an ignored box is
    neither hit nor false.
    """
    mine = image.labels == label
    boxes, crowd = image.boxes[mine].astype(np.float64), image.crowd[mine]
    rows = np.flatnonzero(image.det_labels == label)
    rows = rows[np.argsort(-image.det_scores[rows], kind="stable")][: LIMITS[-1]]
    dets = image.det_boxes[rows].astype(np.float64)
    skip = ignored_boxes(image)[:, mine]
    hit = np.zeros((len(AREAS), len(ALL_THRESHOLDS), len(dets)), bool)
    ignored = hit.copy()
    free = np.ones((len(AREAS), len(ALL_THRESHOLDS), len(boxes)), bool)
    iou = box_iou(boxes, dets, crowd)
    for k in np.flatnonzero((iou >= ALL_THRESHOLDS.min()).any(axis=0)):
        near = free & (iou[:, k] >= ALL_THRESHOLDS[:, None])[None]
        counting = near & ~skip[:, None, :]
        some = np.asarray(counting.any(axis=2))
        near = np.where(some[:, :, None], counting, near & skip[:, None, :])
        taken = _last_argmax(np.where(near, iou[:, k], -1.0))
        r, t = np.nonzero(near.any(axis=2))
        hit[r, t, k] = some[r, t]
        ignored[r, t, k] = ~some[r, t]
        free[r, t, taken[r, t]] = crowd[taken[r, t]]
    false = ~hit & ~ignored & ~_outside(box_area(dets))[:, None, :]
    turn = np.arange(len(rows))
    counts = (~skip).sum(axis=1)
    return Matched(rows, image.det_scores[rows], turn, hit, false, counts)


def ignored_boxes(image: Image) -> Bool[np.ndarray, "r n"]:
    """Per area range, the boxes that do not count: crowds, and areas outside it."""
    return image.crowd[None, :] | _outside(image.coco_area)


def join(images: Sequence[Matched], starts: Integer[np.ndarray, "_"]) -> Matched:
    """The matches of a class in all images; `row` counts on from an image's start."""
    if not images:
        none = np.zeros((len(AREAS), len(ALL_THRESHOLDS), 0), bool)
        empty = np.zeros(0, int)
        return Matched(empty, np.zeros(0), empty, none, none, np.zeros(len(AREAS), int))
    return Matched(
        np.concatenate([m.row + n for m, n in zip(images, starts, strict=False)]),
        np.concatenate([m.scores for m in images]),
        np.concatenate([m.turn for m in images]),
        np.concatenate([m.hit for m in images], axis=2),
        np.concatenate([m.false for m in images], axis=2),
        np.sum([m.boxes for m in images], axis=0),
    )


def _outside(area: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "r n"]:
    """Per area range, whether an area lies outside it; both ends belong to it."""
    low, high = np.array(AREAS).T
    return (area[None, :] < low[:, None]) | (area[None, :] > high[:, None])


def _last_argmax(values: Float[np.ndarray, "r t n"]) -> np.ndarray:
    return values.shape[2] - 1 - values[:, :, ::-1].argmax(axis=2)


def _mean(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None
