"""Which pixels are lesion, for segmentations: true masks, or pseudo masks from boxes.

A label map is uint8: 0 none, 1 + class index where a lesion is.

A true mask is stored as the *parts* of its boxes: each box of `ct.lesions.lesion_boxes`
with the pixels of its component, row by row, one box after the other. So a mask fits its
boxes, moves with them into any crop, and goes where `data.bad_labels` drops one.

Sets whose labels are boxes get pseudo masks: docs/design/0028-pseudo-masks.md.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped, UInt8

from tqgd_jax.augment_values import LUMA
from tqgd_jax.config import Data

MAX_CLASSES = 254  # of a label map, which is uint8


class MisfitError(ValueError):
    """Masks that do not fit their boxes."""


def least_calcium(data: Data, lesion_hu: float, dtype: Any) -> float:
    """The least stored value that is calcium, in the units of a stored image.

    Signed values are HU: above `lesion_hu`. Unsigned ones are taken to show the paper's
    window, `data.hu_window`, over the range of their own: the level of `lesion_hu`
    there, 113 of 8 bits for 130 HU.
    """
    if np.issubdtype(dtype, np.signedinteger):
        return math.floor(lesion_hu) + 1.0
    black, white = data.hu_window
    low, high = data.window_of(dtype)
    return float(np.rint(low + (lesion_hu - black) / (white - black) * (high - low)))


def statement(kind: str, least: float, dtype: Any, because: str) -> str:
    """What a result must say of the masks that it was trained with.

    Args:
      kind: "true" or "pseudo".
      least: what `least_calcium` gave.
      dtype: of the stored images.
      because: why there are no true masks.
    """
    unit = "HU" if np.issubdtype(dtype, np.signedinteger) else "of grey"
    if kind == "true":
        return f"true: the mask's voxels of at least {least:g} {unit}"
    return (
        f"pseudo ({because}): in each box the pixels of at least {least:g} {unit}, or "
        "the inscribed ellipse where no pixel is"
    )


def no_masks(boxes: str) -> str:
    """Why a set has no true masks; `boxes` is the setting `data.boxes`."""
    if boxes:
        return f"data.boxes={boxes} takes the place of masks, which need not fit it"
    return "the labels are boxes"


def fill(
    size: tuple[int, int],
    boxes: Float[np.ndarray, "n 4"],
    labels: Int[np.ndarray, "n"],
    parts: Bool[np.ndarray, "p"],
) -> UInt8[np.ndarray, "h w"]:
    """The label map of an image of `size` (height, width) from the parts of its boxes.

    Boxes may reach over the image, which a crop has cut. Raises MisfitError.
    """
    h, w = size
    out = np.zeros((h, w), np.uint8)
    ends = np.cumsum(_areas([boxes]))
    if len(parts) != (ends[-1] if len(ends) else 0):
        raise MisfitError(
            f"masks that do not fit their boxes: {len(parts)} pixels for boxes of "
            f"{ends[-1:].sum()}"
        )
    begin = 0
    for box, label, end in zip(boxes.astype(int), labels, ends, strict=True):
        x0, y0, x1, _ = box
        y, x = np.divmod(np.flatnonzero(parts[begin:end]), x1 - x0)
        y, x, begin = y + y0, x + x0, end
        inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
        out[y[inside], x[inside]] = 1 + label
    return out


def pseudo(
    image: Integer[np.ndarray, "h w c"],
    boxes: Float[np.ndarray, "n 4"],
    labels: Int[np.ndarray, "n"],
    least: float,
) -> UInt8[np.ndarray, "h w"]:
    """A label map from boxes alone: the pixels of calcium in each.

    A pixel is in a box when its centre is. A box without calcium gets the ellipse that
    it encloses, at least the pixel in its middle. Where boxes overlap the later wins.
    """
    h, w = image.shape[:2]
    calcium = brightness(image) >= least
    out = np.zeros((h, w), np.uint8)
    inside = np.clip(boxes.astype(np.float64), 0, [w, h, w, h])
    for (x0, y0, x1, y1), label in zip(inside, labels, strict=True):
        if not (x0 < x1 and y0 < y1):
            continue  # beyond the crop
        top, left = int(y0), int(x0)
        near = np.s_[top : math.ceil(y1), left : math.ceil(x1)]
        rows = np.arange(top, math.ceil(y1))[:, None] + 0.5
        columns = np.arange(left, math.ceil(x1))[None] + 0.5
        within = (y0 <= rows) & (rows < y1) & (x0 <= columns) & (columns < x1)
        lesion = within & calcium[near]
        if not lesion.any():
            y, x = (y0 + y1) / 2, (x0 + x1) / 2
            down, across = 2 * (rows - y) / (y1 - y0), 2 * (columns - x) / (x1 - x0)
            lesion = down**2 + across**2 <= 1
            lesion[int(y) - top, int(x) - left] = True
        out[near][lesion] = 1 + label
    return out


def brightness(image: Integer[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "h w"]:
    """One value a pixel: the slice itself among its neighbours, the luma of colours."""
    channels = image.shape[2]
    if channels == 3 and not np.issubdtype(image.dtype, np.signedinteger):
        return np.round(image @ np.array(LUMA), 6)  # 113, 113, 113 is 113
    return image[:, :, channels // 2]


def pack(parts: Sequence[Bool[np.ndarray, "_"]]) -> UInt8[np.ndarray, "_"]:
    """The parts of many images as bits."""
    return np.packbits(np.concatenate([np.zeros(0, np.bool_), *parts]))


def unpack(
    bits: UInt8[np.ndarray, "_"], boxes: Sequence[Float[np.ndarray, "_ 4"]]
) -> list[Bool[np.ndarray, "_"]]:
    """What `pack` was given, for the same boxes. Raises MisfitError if they do not fit."""
    areas = _areas(boxes)
    ends = np.cumsum(areas)
    total = int(ends[-1]) if len(ends) else 0
    if len(bits) != -(-total // 8):
        raise MisfitError(
            f"masks that do not fit their boxes: {8 * len(bits)} pixels for boxes of "
            f"{total}"
        )
    parts = np.unpackbits(bits, count=total).astype(np.bool_)
    filled = np.concatenate([[0], np.cumsum(parts)])
    if empty := int((filled[ends] == filled[ends - areas]).sum()):
        raise MisfitError(
            f"masks that do not fit their boxes: {empty} of {len(areas)} boxes have no "
            "pixel of lesion"
        )
    of_image = np.cumsum([0, *(len(of) for of in boxes)])
    cuts = np.concatenate([[0], ends])[of_image[1:-1]]
    return np.split(parts, cuts) if len(boxes) else []


def _areas(boxes: Sequence[Float[np.ndarray, "_ 4"]]) -> Int[np.ndarray, "_"]:
    """Pixels of each box of many images. Raises MisfitError unless pixels fill them."""
    every = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
    whole = every.astype(np.int64)
    sides = whole[:, 2:] - whole[:, :2]
    if (whole != every).any() or (sides < 1).any():
        raise MisfitError(
            "masks that do not fit their boxes: a box of a mask is of whole pixels"
        )
    return sides.prod(axis=1)
