"""ThrConvs: back-projection with three convolutions, Eqs. 1-4 (§2.2.1)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.nn.blocks import ConvBnAct, Initializer, Mode, kernel_init, same


def first_tap(kernel: int, conv: str) -> tuple[int, float]:
    """Where a kernel begins, and how many times larger than a 1x1 kernel.

    The row and column are those that see the pixel itself; the second convolution is
    padded the other way round. docs/design/0023-first-kernels.md has the reasons.

    Args:
      kernel: its size k.
      conv: name of the convolution in its block.
    """
    return same(kernel)[conv == "conv2"], max(kernel / 3, 1.0)


def at_centre(conv: str) -> Initializer:
    """Draws a kernel as `kernel_init` does for 1x1, at its `first_tap`; 0 elsewhere."""

    def first(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        tap, gain = first_tap(shape[0], conv)
        one = gain * kernel_init(key, (1, 1, *shape[2:]), dtype)[0, 0]
        return jnp.zeros(shape, dtype).at[tap, tap].set(one)

    return first


class ThrConvs(nn.Module):
    """Back-projection block for low-contrast slices, Eqs. 1-4.

    The three convolutions keep size and channels, because Eqs. 3 and 4 subtract and add
    maps. An even kernel shifts its output by half a pixel; the second convolution is
    padded the other way round, so X2 is registered with X, and conv(R) with X1.
    docs/design/0001-thrconvs.md has the readings of kernels, places and signs.

    Attributes:
      kernels: sizes of the convolutions of Eqs. 1, 2 and 4.
      depthwise: one filter per channel.
      skip: the summand of Eq. 4, "x1" or "x2".
      sign: the order in Eq. 3, "x-x2" or "x2-x".
      norm, act: of each convolution, see `blocks.ConvBnAct`.
      first: values of the kernels, "yolov5" or "centre", see `at_centre`.
    """

    kernels: tuple[int, ...] = (8, 12, 8)
    depthwise: bool = False
    skip: str = "x1"
    sign: str = "x-x2"
    norm: str = "batch"
    act: str = "silu"
    first: str = "yolov5"
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        c = x.shape[-1]
        groups = c if self.depthwise else 1
        k1, k2, k3 = self.kernels
        pad1, pad2, pad3 = same(k1), same(k2), same(k3)

        pad2 = pad2[1], pad2[0]

        def conv(kernel: int, padding: tuple[int, int], name: str) -> ConvBnAct:
            return ConvBnAct(
                c,
                kernel,
                padding=padding,
                groups=groups,
                norm=self.norm,
                act=self.act,
                first=at_centre(name) if self.first == "centre" else kernel_init,
                mode=self.mode,
                name=name,
            )

        x1 = conv(k1, pad1, "conv1")(x, train=train)  # Eq. 1
        x2 = conv(k2, pad2, "conv2")(x1, train=train)  # Eq. 2
        r = x - x2 if self.sign == "x-x2" else x2 - x  # Eq. 3
        skip = x1 if self.skip == "x1" else x2
        return conv(k3, pad3, "conv3")(r, train=train) + skip  # Eq. 4
