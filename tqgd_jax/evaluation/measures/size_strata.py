"""Strata of the ground truth by size: areas of boxes, as in the paper's Fig. 2.

A stratum "10-100" holds areas above 10 and up to 100.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def size_names(edges: Sequence[float]) -> list[str]:
    """Names of the strata between `edges`, the last one open."""
    texts = [f"{edge:g}" for edge in edges]
    pairs = zip(["0", *texts[:-1]], texts, strict=True)
    return [*(f"{low}-{high}" for low, high in pairs), f">{texts[-1]}"]


def stratum(
    area: Float[np.ndarray, "*n"], edges: Sequence[float]
) -> Int[np.ndarray, "*n"]:
    """Which of `size_names` an area belongs to; a stratum holds its upper edge."""
    # 50 px of 0.2 x 0.2 mm are 2 mm2, whatever the last bit of 50 x 0.04 is.
    places = np.searchsorted(np.array(edges, float), np.round(area, 9), "left")
    return np.asarray(places)
