"""Where a ray leaves a shape."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tqgd_jax.phantom.shapes import Array

Field = Callable[[Array, Array, Array], Array]
Point = tuple[float, float, float]


def leaves(field: Field, start: Point, direction: Point, reach: float) -> Point | None:
    """Where the ray first leaves the shape within `reach` mm; None outside or never."""
    t = np.arange(0, reach, 1.0)
    d = np.asarray(direction, np.float64)
    d = d / np.linalg.norm(d)
    p: Float[np.ndarray, "n 3"] = np.asarray(start) + t[:, None] * d
    value = np.asarray(field(p[:, 0], p[:, 1], p[:, 2]))
    if value[0] <= 0:
        return None
    outside = np.flatnonzero(value < 0)
    if not outside.size:
        return None
    i = int(outside[0])
    part = value[i - 1] / (value[i - 1] - value[i])
    x, y, z = p[i - 1] + part * d
    return float(x), float(y), float(z)
