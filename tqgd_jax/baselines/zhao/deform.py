"""Deformable 3x3 convolution, v1 (Dai et al., ICCV 2017): taps with offsets, no mask."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from tqgd_jax.baselines.zhao.bilinear import read
from tqgd_jax.nn.blocks import Mode, kernel_init
from tqgd_jax.nn.conv import conv2d

TAPS = 9


class DeformableConv(nn.Module):
    """3x3 convolution without bias whose taps are moved, group by group of channels.

    Attributes:
      features: of the output.
      groups: of input channels; each has offsets of its own.
    """

    features: int
    groups: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], offsets: Float[Array, "b h w d"]
    ) -> Float[Array, "b h w o"]:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape, jnp.float32)
        offsets = offsets.reshape(*offsets.shape[:3], self.groups, TAPS, 2)
        return deformable_conv(x, offsets, kernel, self.mode)


def deformable_conv(
    x: Float[Array, "b h w c"],
    offsets: Float[Array, "b h w g 9 2"],
    kernel: Float[Array, "3 3 c o"],
    mode: Mode,
) -> Float[Array, "b h w o"]:
    """The sum over taps t of kernel[t] times x, read where the moved tap stands.

    That is (y + t // 3 - 1 + dy, x + t % 3 - 1 + dx).

    Places are float32 and bilinear; pixels outside are 0. One tap is computed at a time,
    and again in the backward pass: all nine columns of a 160x160x256 map are 236 MB.

    Args:
      x: maps.
      offsets: (dy, dx) in pixels of each tap, for each of g groups of channels.
      kernel: weights.
      mode: precision of the products; `direct` unrolls the taps.
    """
    b, h, w, c = x.shape
    g = offsets.shape[3]
    rows = x.reshape(b * h * w * g, c // g).astype(jnp.float32)  # sums of gradients too
    first = jnp.arange(b)[:, None] * (h * w * g) + jnp.arange(g)[None, :]
    at = partial(
        read,
        rows,
        height=jnp.full((1, 1, 1, 1), h),
        width=jnp.full((1, 1, 1, 1), w),
        first=first[:, None, None, :],
        every=g,
    )
    row = jnp.arange(h, dtype=jnp.float32)[None, :, None, None]
    column = jnp.arange(w, dtype=jnp.float32)[None, None, :, None]

    @jax.checkpoint
    def tap(total: Array, of_tap: tuple[Array, ...]) -> tuple[Array, None]:
        weights, offset, dy, dx = of_tap
        columns = at(row + dy + offset[..., 0], column + dx + offset[..., 1])
        y = conv2d(
            columns.reshape(b, h, w, c).astype(mode.dtype),
            weights[None, None].astype(mode.dtype),
            precision=mode.products,
        )
        return total + y.astype(jnp.float32), None

    dy, dx = jnp.divmod(jnp.arange(TAPS), 3)
    of_taps = (
        kernel.reshape(TAPS, c, -1),
        jnp.moveaxis(offsets.astype(jnp.float32), 4, 0),
        dy.astype(jnp.float32) - 1,
        dx.astype(jnp.float32) - 1,
    )
    zero = jnp.zeros((b, h, w, kernel.shape[-1]), jnp.float32)
    total, _ = lax.scan(tap, zero, of_taps, unroll=TAPS if mode.direct else 1)
    return total.astype(mode.dtype)
