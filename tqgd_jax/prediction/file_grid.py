"""From the rows and columns of a `Volume` to those of its files.

`Volume` is turned to LPS by swaps and flips; DICOM objects refer to the pixels of the
files, so here the turns are undone.
"""

import numpy as np
from jaxtyping import Float, Shaped

from tqgd_jax.io.volumes import Volume


def slice_in_file(
    pixels: Shaped[np.ndarray, "y x"], scan: Volume
) -> Shaped[np.ndarray, "rows columns"]:
    """One slice of the volume's grid as the file has it."""
    rows, columns = (-1 if flip else 1 for flip in scan.flipped)
    pixels = pixels[::rows, ::columns]
    return pixels.T if scan.swapped else pixels


def boxes_in_file(
    boxes: Float[np.ndarray, "n 4"], scan: Volume
) -> Float[np.ndarray, "n 4"]:
    """(x0, y0, x1, y1) in px of the volume's slices as (column, row, column, row).

    Edges stay edges: 0 is the outer edge of the file's first pixel, as PS3.3 C.18.6
    and C.10.5 count.
    """
    height, width = scan.hu.shape[1:]
    x0, y0, x1, y1 = boxes.T
    if scan.flipped[0]:
        y0, y1 = height - y1, height - y0
    if scan.flipped[1]:
        x0, x1 = width - x1, width - x0
    if scan.swapped:
        x0, y0, x1, y1 = y0, x0, y1, x1
    return np.stack([x0, y0, x1, y1], axis=1)
