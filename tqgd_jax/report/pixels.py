"""The pixels of an image, where they are known."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int16

Pixels = Callable[[int], np.ndarray | None]


def hounsfield(pixels: Pixels | None, k: int) -> Int16[np.ndarray, "h w"] | None:
    """HU of image k, of neighbouring slices the middle one; None where there are none."""
    seen = None if pixels is None else pixels(k)
    if seen is None or seen.dtype != np.int16:
        return None
    return seen if seen.ndim == 2 else seen[:, :, seen.shape[2] // 2]
