"""Crop windows around the heart: geometry only, in pixels of a slice.

A window is (x0, y0, x1, y1) in whole pixels with x1 and y1 exclusive, so a slice is
cropped by `image[y0:y1, x0:x1]`. docs/design/0010-heart-crop.md has the reasons.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


def crops(
    boxes: Float[np.ndarray, "z 4"],
    shape: tuple[int, int],
    spacing_yx: tuple[float, float],
    *,
    per: str,
    margin_mm: float,
) -> Int[np.ndarray, "z 4"]:
    """Crop window of each slice.

    Args:
      boxes: heart per slice, xyxy in px edges; a row of NaN has no heart.
      shape: height and width of a slice, px.
      spacing_yx: mm per px down and across.
      per: "volume" gives every slice the hull of all hearts; "slice" gives each its
        own, and a slice without heart the nearest one's (of two, the lower index's).
      margin_mm: added on each side, then clipped to the image.

    Returns:
      Windows rounded outwards; the whole image where there is no heart at all.

    Raises:
      ValueError: for a box that is half NaN, empty or outside the image.
    """
    h, w = shape
    present = ~np.isnan(boxes).all(axis=1)
    hearts = boxes[present].astype(np.float64)
    for k, box in zip(np.flatnonzero(present), hearts, strict=True):
        x0, y0, x1, y1 = box
        if not (max(x0, 0) < min(x1, w) and max(y0, 0) < min(y1, h)):
            raise ValueError(
                f"heart box {box.tolist()} of slice {k} is empty or outside the "
                f"{w}x{h} px image; boxes are x0,y0,x1,y1 in pixels"
            )
    if not present.any():
        return np.tile(np.array([0, 0, w, h]), (len(boxes), 1))
    if per == "volume":
        hearts = np.broadcast_to(_hull(hearts), (len(boxes), 4))
    else:
        have = np.flatnonzero(present)
        near = np.abs(np.arange(len(boxes))[:, None] - have[None, :]).argmin(axis=1)
        hearts = hearts[near]
    dy, dx = (margin_mm / s for s in spacing_yx)
    return _outwards(hearts + np.array([-dx, -dy, dx, dy]), shape)


def beyond(boxes: Float[np.ndarray, "z 4"], spacing_z: float) -> Float[np.ndarray, "z"]:
    """Distance of each slice from the heart, mm: below its lowest or above its highest.

    0 from the lowest to the highest slice with a heart, and everywhere if none has one.

    Args:
      boxes: heart per slice; a row of NaN has no heart.
      spacing_z: mm between slices.
    """
    have = np.flatnonzero(~np.isnan(boxes).all(axis=1))
    if not len(have):
        return np.zeros(len(boxes))
    z = np.arange(len(boxes))
    return np.maximum(0, np.maximum(have[0] - z, z - have[-1])) * float(spacing_z)


def widened(
    windows: Int[np.ndarray, "z 4"],
    boxes: Sequence[Float[np.ndarray, "_ 4"]],
    chosen: Bool[np.ndarray, "z"],
    *,
    per: str,
    shape: tuple[int, int],
    pad: int,
) -> Int[np.ndarray, "z 4"]:
    """Windows of the chosen slices enlarged so that they cut no labelled box.

    Labels of other slices have no say, and their windows stay.

    Args:
      windows: of each slice, as `crops` gives them.
      boxes: labelled boxes of each slice, xyxy in px of the whole slice.
      chosen: slices whose windows follow the labels.
      per: with "volume", the chosen slices get the hull of their enlarged windows.
      shape: height and width of a slice, px.
      pad: px kept free around each box, as far as the image goes.
    """
    result = windows.copy()
    for k in np.flatnonzero(chosen).tolist():
        around = np.array([-pad, -pad, pad, pad])
        wanted = _outwards(boxes[k].astype(np.float64) + around, shape)
        result[k] = _hull(np.concatenate([windows[k : k + 1], wanted]))
    if per == "volume" and chosen.any():
        result[chosen] = _hull(result[chosen])
    return result


def to_crop(
    boxes: Float[np.ndarray, "n 4"], window: Int[np.ndarray, "4"]
) -> Float[np.ndarray, "n 4"]:
    """Boxes of the whole slice in the crop's coordinates; nothing is clipped."""
    return boxes - _corner(boxes, window)


def from_crop(
    boxes: Float[np.ndarray, "n 4"], window: Int[np.ndarray, "4"]
) -> Float[np.ndarray, "n 4"]:
    """Boxes found in a crop in the whole slice's coordinates; undoes `to_crop`."""
    return boxes + _corner(boxes, window)


def _corner(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    # at least float32: float16 has steps of half a pixel at 512
    return window[[0, 1, 0, 1]].astype(np.result_type(boxes.dtype, np.float32))[None]


def _hull(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _outwards(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    h, w = shape
    low, high = np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])
    return np.clip(np.concatenate([low, high], axis=1), 0, [w, h, w, h]).astype(
        np.int64
    )
