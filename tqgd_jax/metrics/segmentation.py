"""Lesion probabilities to scored boxes, and boxes to masks.

So that a segmentation model is judged by the rules of the detectors, and so that one can
be trained where only boxes are known.
"""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8
from scipy import ndimage

CURVE_TAU = 0.05  # probability from which a pixel is lesion, for AP and FROC
POINT_TAU = 0.5  # the same, for precision, recall and F1
CALCIUM_HU = 130
CALCIUM_GREY = 113  # CALCIUM_HU in 8 bits over -1200 to 1800 HU: 1330 / 3000 * 255
SMALLEST = 2  # px of a component


def boxes_of(
    probability: Float[np.ndarray, "h w"],
    hu: Int16[np.ndarray, "_ _"] | None = None,
    tau: float = CURVE_TAU,
    statistic: Literal["mean", "max"] = "mean",
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n"]]:
    """Boxes (x0, y0, x1, y1), px, x1 exclusive, and scores of the lesions in a map.

    A lesion is an 8-connected component, of `SMALLEST` px or more, of pixels with a
    probability >= tau and, where HU are known, >= `CALCIUM_HU`. They do not overlap as
    components, so there is no suppression; their boxes may. There are never more
    scores than components, and AP depends on tau: name it.

    Args:
      probability: of lesion, in [0, 1].
      hu: of the same pixels.
      tau: `CURVE_TAU` for curves, `POINT_TAU` for a figure at one point.
      statistic: of the probabilities of a component, its score.

    Raises:
      ValueError: for a probability that is NaN or outside [0, 1], HU of another shape,
        or a tau outside (0, 1].
    """
    if not 0 < tau <= 1:
        raise ValueError(f"tau must be in (0, 1], got {tau}; CURVE_TAU is {CURVE_TAU}")
    wrong = np.argwhere(~((probability >= 0) & (probability <= 1)))
    if len(wrong):
        y, x = wrong[0].tolist()
        raise ValueError(
            f"probability[{y}, {x}] is {probability[y, x]}, and {len(wrong)} of "
            f"{probability.size} are NaN or outside [0, 1]; apply the sigmoid to logits"
        )
    lesion = probability >= tau
    if hu is not None:
        if hu.shape != probability.shape:
            raise ValueError(
                f"hu has the shape {hu.shape}, probability {probability.shape}; both "
                "are of the same pixels, so resample the map first"
            )
        lesion &= hu >= CALCIUM_HU
    found: Any = ndimage.label(lesion, np.ones((3, 3)))
    parts = found[0]
    boxes, scores = [], []
    for k, (ys, xs) in enumerate(ndimage.find_objects(parts), 1):
        inside = probability[ys, xs][parts[ys, xs] == k].astype(np.float64)
        if len(inside) >= SMALLEST:
            boxes.append((xs.start, ys.start, xs.stop, ys.stop))
            scores.append(inside.mean() if statistic == "mean" else inside.max())
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64)


def mask_from_boxes(
    boxes: Float[np.ndarray, "n 4"],
    pixels: Int16[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """Pseudo mask of boxes (x0, y0, x1, y1), px, x1 exclusive.

    Of each box the pixels, by their centres, of `CALCIUM_HU` or more, or of
    `CALCIUM_GREY` where pixels are 8-bit; where there are none, those in the ellipse
    that the box encloses; in a box too narrow for these, the pixel under its centre.

    Raises:
      ValueError: for a box without area or whose centre is outside the image.
    """
    bright = pixels >= (CALCIUM_GREY if pixels.dtype == np.uint8 else CALCIUM_HU)
    y, x = (np.arange(n) + 0.5 for n in pixels.shape)
    mask = np.zeros(pixels.shape, bool)
    for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        inside = 0 <= cx < pixels.shape[1] and 0 <= cy < pixels.shape[0]
        if not (x0 < x1 and y0 < y1 and inside):
            raise ValueError(
                f"box {k} {(x0, y0, x1, y1)} must have x0 < x1, y0 < y1 and its centre "
                f"in the image of (height, width) {pixels.shape}; mend the label"
            )
        columns, rows = (x0 <= x) & (x < x1), (y0 <= y) & (y < y1)
        part = bright & rows[:, None] & columns[None, :]
        if not part.any():
            across, down = (x - cx) / (x1 - x0), (y - cy) / (y1 - y0)
            part = across[None, :] ** 2 + down[:, None] ** 2 <= 0.25
        if not part.any():
            part[int(cy), int(cx)] = True
        mask |= part
    return mask
