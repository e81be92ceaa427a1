"""From boxes in slices to voxels, and from judged slices back to the scan they show."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int16

from tqgd_jax.evaluation.calcium.conventions import LOWEST

Row = tuple[int, float, float, float, float]  # slice, x0, y0, x1, y1; pixel edges, px
Crop = tuple[int, int, int, int]  # x0, y0, x1, y1 of the whole slice, px
Piece = tuple[int, Crop, Int16[np.ndarray, "_ _"]]  # slice, place in it, HU
# The least of int16: a slice that nobody judged holds no calcium and connects none.
UNKNOWN = -(2**15)


class Part(NamedTuple):
    """Some of a scan, and where its first voxel lies in the whole of it."""

    hu: Int16[np.ndarray, "z y x"]
    z0: int
    y0: int
    x0: int


def boxes_mask(
    shape: tuple[int, int, int], rows: Sequence[Row]
) -> Bool[np.ndarray, "z y x"]:
    """Voxels whose centres lie in a box; what of a box lies outside is left out.

    Pixel i reaches from i to i + 1. A box that holds no centre marks nothing. Raises
    ValueError for a slice outside the volume, or a box that is empty or not finite.
    """
    mask = np.zeros(shape, bool)
    if not rows:
        return mask
    table = np.array(rows, np.float64)
    z, corners = table[:, 0], table[:, 1:]
    wrong = ~((z >= 0) & (z < shape[0]))
    if wrong.any():
        row = rows[int(wrong.argmax())]
        raise ValueError(f"box {row}: its slice is outside 0 to {shape[0] - 1}")
    wrong = ~(
        np.isfinite(corners).all(axis=1) & (corners[:, :2] < corners[:, 2:]).all(1)
    )
    if wrong.any():
        raise ValueError(
            f"box {rows[int(wrong.argmax())]}: must have x0 < x1 and y0 < y1, finite, in "
            "px (z, x0, y0, x1, y1)"
        )
    pixels = whole_pixels(corners, shape[1:]).tolist()
    for at, (left, top, right, bottom) in zip(
        z.astype(int).tolist(), pixels, strict=True
    ):
        mask[at, top:bottom, left:right] = True
    return mask


def whole_pixels(
    boxes: Float[np.ndarray, "*n 4"], size: tuple[int, ...]
) -> Int[np.ndarray, "*n 4"]:
    """First and last edges of the pixels whose centres lie in boxes (x0, y0, x1, y1).

    Args:
      boxes: pixel edges, px.
      size: height and width of the slice; what lies outside is left out.
    """
    height, width = size
    return np.clip(np.ceil(boxes - 0.5), 0, [width, height] * 2).astype(int)


def calcium_mask(
    hu: Int16[np.ndarray, "z y x"], rows: Sequence[Row]
) -> Bool[np.ndarray, "z y x"]:
    """Voxels of 130 HU and more inside boxes: what boxes say of a mask.

    Components end at the boxes, so that a bone or a lead that touches a box does not
    flow into the score; what it has inside the box counts all the same.
    """
    return boxes_mask(hu.shape, rows) & (hu >= LOWEST)


def assemble(slices: Sequence[Piece], more: Sequence[Piece] = ()) -> Part:
    """The part of a scan that judged slices show, from (z, crop, HU) of each.

    It reaches from the first slice to the last and around all crops; what no slice shows
    is `UNKNOWN`. `more` are further places of these slices. Raises ValueError for no
    slice, one given twice, or HU that have not the crop's size.
    """
    if not slices:
        raise ValueError("no slices: a scan needs one at least")
    depths = [z for z, _, _ in slices]
    if len(set(depths)) != len(depths):
        twice = next(z for z in depths if depths.count(z) > 1)
        raise ValueError(
            f"slice {twice} of the scan is there twice; one of each is read"
        )
    pieces = [*slices, *more]
    crops = np.array([crop for _, crop, _ in pieces])
    x0, y0 = crops[:, :2].min(axis=0).tolist()
    x1, y1 = crops[:, 2:].max(axis=0).tolist()
    z0 = min(depths)
    hu = np.full((max(depths) + 1 - z0, y1 - y0, x1 - x0), UNKNOWN, np.int16)
    for z, (left, top, right, bottom), values in pieces:
        if values.shape != (bottom - top, right - left):
            raise ValueError(
                f"slice {z}: HU of {values.shape} (y, x) do not fill its crop "
                f"{(left, top, right, bottom)}; both are of the image that was judged"
            )
        hu[z - z0, top - y0 : bottom - y0, left - x0 : right - x0] = values
    return Part(hu, z0, y0, x0)
