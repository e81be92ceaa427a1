"""The control of ThrConvs: as many products in plain 3x3 convolutions."""

import math

import flax.linen as nn
from jax import Array
from jaxtyping import Float

from tqgd_jax.nn.blocks import ConvBnAct, Mode


def hidden_width(channels: int, kernels: tuple[int, ...]) -> int:
    """Width w for which 3x3 convolutions c -> w -> w -> c cost what ThrConvs costs.

    9 w^2 + 18 c w = c^2 (k1^2 + k2^2 + k3^2), rounded to the nearest channel.
    """
    products = sum(k * k for k in kernels)
    return max(1, round(channels * (math.sqrt(1 + products / 9) - 1)))


class PlainConvs(nn.Module):
    """Three 3x3 convolutions with batch norm; no residual, no large kernel.

    docs/design/0021-controls.md.

    Attributes:
      kernels: of the ThrConvs block whose work it has.
      norm, act: of each convolution, see `blocks.ConvBnAct`.
    """

    kernels: tuple[int, ...] = (8, 12, 8)
    norm: str = "batch"
    act: str = "silu"
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        hidden = hidden_width(channels, self.kernels)
        for i, width in enumerate((hidden, hidden, channels)):
            x = ConvBnAct(
                width,
                3,
                norm=self.norm,
                act=self.act,
                mode=self.mode,
                name=f"conv{i + 1}",
            )(x, train=train)
        return x
