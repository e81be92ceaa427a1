"""What the segmentation networks are built of, and their first values."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jaxtyping import Float

from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.init import generator, initial, shapes_of
from tqgd_jax.nn.norm import BatchNorm

batch_norm = partial(BatchNorm, epsilon=1e-5, momentum=0.9)  # PyTorch's constants

Deviation = Callable[[str, tuple[int, ...]], float | None]


def scaled(base: int, width: float) -> int:
    """Channels of a layer at `baseline.width`: a multiple of 8, at least 8."""
    return max(8, 8 * round(base * width / 8))


class ConvNormReLU(nn.Module):
    """3x3 convolution, batch norm where `norm`, ReLU.

    Attributes:
      bias: of the convolution; VGG and SegNet have it beside batch norm too.
    """

    features: int
    norm: bool = True
    bias: bool = True
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w o"]:
        x = Conv(self.features, 3, bias=self.bias, mode=self.mode, name="conv")(x)
        if self.norm:
            x = batch_norm(self.mode.axis_name, name="norm")(x, train=train)
        return nn.relu(x)


def he_deviation(path: str, shape: tuple[int, ...]) -> float | None:
    """Of a `ConvNormReLU` kernel, as torchvision's VGG has it; None of others.

    He et al., ICCV 2015, by the outputs: sqrt(2 / (9 outputs)).
    """
    if not path.endswith("conv/kernel"):
        return None
    return float(np.sqrt(2 / (shape[0] * shape[1] * shape[3])))


def first_values(
    module: nn.Module, channels: int, seed: int, deviation: Deviation
) -> dict[str, Any]:
    """Variables to begin with: those of `nn.init`, some kernels from a normal law.

    Args:
      module: takes images of any size.
      channels: of the image.
      seed: of the draws.
      deviation: standard deviation of a kernel by its path and shape; None leaves
        PyTorch's uniform law; biases are 0.

    Returns:
      `params` and `batch_stats` (empty where there is none), float32 NumPy arrays.
    """
    first = initial(shapes_of(module, channels), seed)
    values: dict[str, Any] = flatten_dict(first, sep="/")
    for path, value in values.items():
        sigma = deviation(path, value.shape)
        if sigma is not None:
            normal = generator(path, seed).normal(0, sigma, value.shape)
            values[path] = normal.astype(np.float32)
    return {"params": {}, "batch_stats": {}} | unflatten_dict(values, sep="/")
