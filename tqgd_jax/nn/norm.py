"""Batch normalisation with YOLOv5's constants (Ioffe and Szegedy, 2015)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

EPSILON = 1e-3
MOMENTUM = 0.97  # of the running statistics; PyTorch writes it as 0.03


class BatchNorm(nn.Module):
    """Normalises each channel; statistics and arithmetic in float32.

    The running variance is that of the batch divided by n, as in Flax; PyTorch divides
    by n - 1, which differs by one part in n = images x pixels.

    Attributes:
      axis_name: device axis over which the statistics of the batch are averaged.
      epsilon: added to the variance.
    """

    axis_name: str | None = None
    epsilon: float = EPSILON

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if not train:
            gain = scale * lax.rsqrt(var.value + self.epsilon)
            return _affine(x, gain, bias - mean.value * gain)
        m, v = _moments(x, self.axis_name)
        if not self.is_initializing():
            mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * m
            var.value = MOMENTUM * var.value + (1 - MOMENTUM) * v
        gain = scale * lax.rsqrt(v + self.epsilon)
        return _affine(x, gain, bias - m * gain)


def _moments(
    x: Float[Array, "b h w c"], axis_name: str | None
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Mean and biased variance of each channel over the whole batch.

    The variance is summed about the mean of every 64th pixel, a constant that changes
    no value and no gradient: near the mean, nothing cancels, and unlike the mean of all
    pixels it does not make the sums wait for each other.
    """
    x = x.astype(jnp.float32)
    centre = lax.stop_gradient(x[:, ::8, ::8].mean((0, 1, 2)))
    if axis_name is not None:
        centre = lax.pmean(centre, axis_name)
    m = x.mean((0, 1, 2))
    m2 = jnp.square(x - centre[None, None, None, :]).mean((0, 1, 2))
    if axis_name is not None:
        m, m2 = lax.pmean((m, m2), axis_name)
    return m, jnp.maximum(m2 - jnp.square(m - centre), 0.0)


def _affine(
    x: Float[Array, "b h w c"], gain: Float[Array, " c"], bias: Float[Array, " c"]
) -> Float[Array, "b h w c"]:
    y = x.astype(jnp.float32) * gain[None, None, None, :] + bias[None, None, None, :]
    return y.astype(x.dtype)
