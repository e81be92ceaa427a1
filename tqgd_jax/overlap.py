"""Overlap of boxes (x0, y0, x1, y1) in float64: pairs, unions, the edge of a window."""

import numpy as np
from jaxtyping import Bool, Float

EDGE = 0.05  # px; decimals of a file may put a box so far over an edge


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


def beyond(
    boxes: Float[np.ndarray, "n 4"], window: tuple[float, float, float, float]
) -> tuple[Bool[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """Which boxes the edge of a window (x0, y0, x1, y1) cuts, and which lie outside it.

    No box is both. A box that touches the window from outside lies outside.
    """
    x0, y0, x1, y1 = window
    low, high = boxes[:, :2], boxes[:, 2:]
    inside = np.all((high > [x0, y0]) & (low < [x1, y1]), axis=1, keepdims=True)
    over = (low < [x0 - EDGE, y0 - EDGE]) | (high > [x1 + EDGE, y1 + EDGE])
    return np.any(over & inside, axis=1), ~inside[:, 0]


def meet(
    a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "k 4"]
) -> Bool[np.ndarray, "n k"]:
    """Which boxes share more than 0 px^2."""
    shared = np.ones((len(a), len(b)), bool)
    for side in (0, 1):
        begin = np.maximum(a[:, None, side], b[None, :, side])
        shared &= np.minimum(a[:, None, side + 2], b[None, :, side + 2]) > begin
    return shared


def union_areas(
    a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "k 4"]
) -> Float[np.ndarray, "3"]:
    """Areas of the union of `a`, of the union of `b`, and of what both cover.

    Boxes with reversed corners cover nothing. Exact: where boxes overlap, the plane is
    cut at every edge, so that each piece is in or out.
    """
    both = np.concatenate([a, b]).astype(np.float64)
    first = np.arange(len(both)) < len(a)
    alone = meet(both, both).sum(axis=1) < 2  # at most itself
    area = box_area(both) * alone
    single = np.array([area[first].sum(), area[~first].sum(), 0])
    if alone.all():
        return single
    return single + _cut(both[first & ~alone], both[~first & ~alone])


def _cut(
    a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "k 4"]
) -> Float[np.ndarray, "3"]:
    both = np.concatenate([a, b])
    xs, ys = np.unique(both[:, [0, 2]]), np.unique(both[:, [1, 3]])
    wide, high = np.diff(xs), np.diff(ys)
    pieces = _pieces(a, xs, ys), _pieces(b, xs, ys)
    return np.array([high @ p @ wide for p in (*pieces, pieces[0] & pieces[1])])


def _pieces(
    boxes: Float[np.ndarray, "n 4"],
    xs: Float[np.ndarray, "_"],
    ys: Float[np.ndarray, "_"],
) -> Bool[np.ndarray, "_ _"]:
    """Which pieces between neighbouring edges lie in a box."""
    depth = np.zeros((len(ys), len(xs)), np.int32)  # boxes begun minus boxes ended
    x, y = np.searchsorted(xs, boxes[:, [0, 2]]), np.searchsorted(ys, boxes[:, [1, 3]])
    for i, j, step in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        np.add.at(depth, (y[:, j], x[:, i]), step)
    return depth.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
