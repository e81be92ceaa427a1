"""First values of all parameters, drawn on the host.

A parameter's values depend on the seed, its path and its shape, as in `nn.init`.
"""

import math
from typing import Any

import jax
import numpy as np

from tqgd_jax.nn.init import generator

LOCATION_BIAS = -math.log(99)  # one cell in a hundred is a centre

# Of heads, the standard deviation of kernels (Wang et al. and mmdetection).
STD = {"offset": 0.1, "box": 0.001}
HEAD_STD = 0.01


def first_values(shapes: Any, seed: int) -> dict[str, Any]:
    """Fills a tree of shapes, as `nn.init.shapes_of` gives it.

    Backbone: normal, He et al.'s by the fan out. Pyramid and the dense layers: Glorot and
    Bengio's uniform. Heads: normal. docs/design on Zhao has where each is from.
    """
    return jax.tree.map_with_path(
        lambda path, x: _fill([key.key for key in path[1:]], x.shape, seed), shapes
    )


def _fill(path: list[str], shape: tuple[int, ...], seed: int) -> np.ndarray:
    part, layer, name = path[0], path[-2], path[-1]
    if name in ("scale", "var"):
        return np.ones(shape, np.float32)
    if name in ("bias", "mean"):
        value = LOCATION_BIAS if layer == "location" else 0.0
        return np.full(shape, value, np.float32)
    rng = generator("/".join(path), seed)
    taps = math.prod(shape[:-2])
    fan_in, fan_out = taps * shape[-2], taps * shape[-1]
    if part == "backbone":
        kernel = rng.normal(0, math.sqrt(2 / fan_out), shape)
    elif part == "neck" or layer in ("fc1", "fc2"):
        bound = math.sqrt(6 / (fan_in + fan_out))
        kernel = rng.uniform(-bound, bound, shape)
    else:
        kernel = rng.normal(0, STD.get(layer, HEAD_STD), shape)
    return kernel.astype(np.float32)
