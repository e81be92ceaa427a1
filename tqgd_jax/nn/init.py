"""First values of all parameters, drawn on the host.

The distributions are those that the modules declare (YOLOv5's, which are PyTorch's). A
parameter's values depend on the seed, its path and its shape alone: variants of the
network start from the same weights where they share layers. `module.init` would do as
well, but XLA takes half a minute to compile its two hundred random draws.
"""

import math
import re
import zlib
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from tqgd_jax.nn.head import bias_prior
from tqgd_jax.nn.thrconvs import first_tap


def shapes_of(module: nn.Module, channels: int) -> Any:
    """Shapes of `params` and `batch_stats`; nothing is computed.

    A small image makes the same parameters, because networks are convolutional.

    Args:
      module: takes images of 64 px and `train`.
      channels: of the image.
    """
    image = jax.ShapeDtypeStruct((1, 64, 64, channels), "float32")
    return jax.eval_shape(
        lambda key, x: module.init(key, x, train=False), jax.random.key(0), image
    )


def initial(shapes: Any, seed: int, thr_init: str = "yolov5") -> dict[str, Any]:
    """Fills a tree of shapes, as `shapes_of` gives it.

    Args:
      shapes: `params` and `batch_stats`.
      seed: of the draws.
      thr_init: `model.thr.init`.

    Returns:
      NumPy arrays, float32.
    """
    return jax.tree.map_with_path(
        lambda path, x: _fill(
            [key.key for key in path], x.shape, seed, shapes, thr_init
        ),
        shapes,
    )


def generator(path: str, seed: int) -> np.random.Generator:
    """Of the values of one parameter."""
    return np.random.default_rng((seed, zlib.crc32(path.encode())))


def _fill(
    path: list[str], shape: tuple[int, ...], seed: int, shapes: Any, thr_init: str
) -> np.ndarray:
    name = path[-1]
    if name in ("scale", "var"):
        return np.ones(shape, np.float32)
    if name in ("bias", "mean"):
        return np.zeros(shape, np.float32)
    rng = generator("/".join(path), seed)
    if name == "kernel":
        in_thr = any(part.startswith("thr_") for part in path)
        return _kernel(rng, shape, path[-3] if in_thr and thr_init == "centre" else "")
    level = re.fullmatch(r"bias(\d)", name)
    if level is None:
        raise ValueError(
            f"parameter {'/'.join(path)} has no initial distribution in nn/init.py; "
            "name it kernel, bias or scale, or add its rule there"
        )
    head = shapes["params"][path[1]]
    channels, outputs = head[f"p{level[1]}"]["kernel"].shape[-2:]
    bound = 1 / math.sqrt(channels)
    drawn = rng.uniform(-bound, bound, outputs)
    return (drawn + bias_prior(outputs, 2 ** int(level[1]))).astype(np.float32)


def _kernel(
    rng: np.random.Generator, shape: tuple[int, ...], of_thr: str
) -> np.ndarray:
    """YOLOv5's first values, or of a convolution of ThrConvs those at its own tap."""
    if not of_thr:
        bound = 1 / math.sqrt(math.prod(shape[:-1]))
        return rng.uniform(-bound, bound, shape).astype(np.float32)
    tap, gain = first_tap(shape[0], of_thr)
    bound = gain / math.sqrt(shape[2])
    kernel = np.zeros(shape, np.float32)
    kernel[tap, tap] = rng.uniform(-bound, bound, shape[2:])
    return kernel
