"""Overlap of boxes, in float64."""

import numpy as np
from jaxtyping import Bool, Float


def box_iou(
    a: Float[np.ndarray, "n 4"],
    b: Float[np.ndarray, "k 4"],
    crowd: Bool[np.ndarray, "n"] | None = None,
) -> Float[np.ndarray, "n k"]:
    """IoU of every pair of boxes (x0, y0, x1, y1), in [0, 1]; 0 where both are empty.

    Args:
      a: boxes.
      b: boxes in the same unit.
      crowd: rows of `a` that are regions of many objects; their overlap is measured
        against the area of `b` alone (COCO).
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.maximum(high - low, 0).prod(axis=2)
    area_a, area_b = box_area(a)[:, None], box_area(b)[None, :]
    total = area_a + area_b - inter
    if crowd is not None:
        total = np.where(crowd[:, None], area_b, total)
    return np.divide(inter, total, out=np.zeros_like(inter), where=total > 0)


def box_area(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n"]:
    """Area of boxes (x0, y0, x1, y1); 0 for reversed corners."""
    # 42.3 - 10.3 is not quite 32: a side of decimals becomes again what its file says
    sides = np.round(boxes[:, 2:] - boxes[:, :2], 9)
    return np.maximum(sides, 0).prod(axis=1)
