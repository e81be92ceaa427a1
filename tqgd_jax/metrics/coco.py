"""The twelve figures of COCO's detection challenge, equal to pycocotools'.

Lin et al., ECCV 2014, and the evaluation code published with the data set. Dimension
letters: r area ranges, t IoU thresholds, n boxes, k detections.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.metrics.image import Image
from tqgd_jax.metrics.iou import box_area, box_iou
from tqgd_jax.metrics.matching import THRESHOLDS

RULE = "COCO: step precision at 101 recalls, at most 100 detections per image and class"
RECALLS = np.linspace(0, 1, 101)
AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))  # px: all, s, m, l
LIMITS = (1, 10, 100)  # detections per image and class


class Matched(NamedTuple):
    """One image, one class; detections most confident first, at most 100.

    Attributes:
      scores: confidences.
      hit: matched to a box.
      ignored: neither true nor false: matched to an ignored box, or unmatched and
        outside the area range.
      boxes: ground-truth boxes that count, for each area range.
    """

    scores: Float[np.ndarray, "k"]
    hit: Bool[np.ndarray, "r t k"]
    ignored: Bool[np.ndarray, "r t k"]
    boxes: np.ndarray


def coco_figures(
    images: Sequence[Image],
    num_classes: int,
    crowd: Sequence[Bool[np.ndarray, "_"]] | None = None,
) -> dict[str, float | None]:
    """AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm and ARl.

    None where there is no ground truth to judge by (pycocotools says -1). The area of a
    ground-truth box is width times height, px^2; small is up to 32^2, medium to 96^2.

    Args:
      images: in the order that breaks ties of confidence.
      num_classes: figures are means over the classes with ground truth.
      crowd: per image the boxes that mark a region of many objects; detections inside
        are neither true nor false.
    """
    shape = (len(AREAS), len(THRESHOLDS), num_classes)
    precision = np.full((*shape, len(RECALLS)), np.nan)
    recall = np.full((len(LIMITS), *shape), np.nan)
    if crowd is None:
        crowd = [np.zeros(len(image.boxes), bool) for image in images]
    for c in range(num_classes if images else 0):
        pairs = zip(images, crowd, strict=True)
        matched = [_match(image, regions, c) for image, regions in pairs]
        for m, limit in enumerate(LIMITS):
            precision[:, :, c], recall[m, :, :, c] = _accumulate(matched, limit)
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


def _match(image: Image, crowd: Bool[np.ndarray, "n"], label: int) -> Matched:
    """Each detection in turn takes the best box that is still free.

    Boxes that count come before ignored ones, whatever the IoU; of equal IoUs the last
    box is taken; a crowd region is never used up.
    """
    mine = image.labels == label
    boxes, crowd = image.boxes[mine].astype(np.float64), crowd[mine]
    kept = np.flatnonzero(image.det_labels == label)
    kept = kept[np.argsort(-image.det_scores[kept], kind="stable")][: LIMITS[-1]]
    dets = image.det_boxes[kept].astype(np.float64)
    skip = crowd[None, :] | _outside(box_area(boxes))  # r n
    hit = np.zeros((len(AREAS), len(THRESHOLDS), len(dets)), bool)
    ignored = hit.copy()
    free = np.ones((len(AREAS), len(THRESHOLDS), len(boxes)), bool)
    iou = box_iou(boxes, dets, crowd)
    for k in np.flatnonzero((iou >= THRESHOLDS[0]).any(axis=0)):
        near = free & (iou[:, k] >= THRESHOLDS[:, None])[None]
        counting = near & ~skip[:, None, :]
        some = np.asarray(counting.any(axis=2))
        near = np.where(some[:, :, None], counting, near & skip[:, None, :])
        taken = _last_argmax(np.where(near, iou[:, k], -1.0))
        r, t = np.nonzero(near.any(axis=2))
        hit[r, t, k] = True
        ignored[r, t, k] = ~some[r, t]
        free[r, t, taken[r, t]] = crowd[taken[r, t]]
    ignored |= ~hit & _outside(box_area(dets))[:, None, :]
    return Matched(image.det_scores[kept], hit, ignored, (~skip).sum(axis=1))


def _accumulate(
    matched: Sequence[Matched], limit: int
) -> tuple[Float[np.ndarray, "r t 101"], Float[np.ndarray, "r t"]]:
    """Precision at `RECALLS` and final recall; NaN for ranges without ground truth."""
    scores = np.concatenate([m.scores[:limit] for m in matched])
    order = np.argsort(-scores, kind="stable")
    hit = np.concatenate([m.hit[..., :limit] for m in matched], axis=2)[..., order]
    ignored = np.concatenate([m.ignored[..., :limit] for m in matched], axis=2)
    count = ~ignored[..., order]
    true = np.cumsum(hit & count, axis=2, dtype=np.float64)
    false = np.cumsum(~hit & count, axis=2, dtype=np.float64)
    boxes = np.sum([m.boxes for m in matched], axis=0)
    precision = np.full((*hit.shape[:2], len(RECALLS)), np.nan)
    final = np.full(hit.shape[:2], np.nan)
    for r in np.flatnonzero(boxes):
        recall = true[r] / boxes[r]
        values = true[r] / np.maximum(true[r] + false[r], 1)
        values = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
        # One more column: the precision, 0, of recalls that are not reached.
        values = np.pad(values, ((0, 0), (0, 1)))
        final[r] = recall[:, -1] if len(order) else 0
        for t in range(len(THRESHOLDS)):
            precision[r, t] = values[t, np.searchsorted(recall[t], RECALLS)]
    return precision, final


def _outside(area: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "r n"]:
    """Per area range, whether an area lies outside it; both ends belong to it."""
    low, high = np.array(AREAS).T
    return (area[None, :] < low[:, None]) | (area[None, :] > high[:, None])


def _last_argmax(values: Float[np.ndarray, "r t n"]) -> np.ndarray:
    return values.shape[2] - 1 - values[:, :, ::-1].argmax(axis=2)


def _mean(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None
