"""Batch normalisation with YOLOv5's constants (Ioffe and Szegedy, 2015), and by groups."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

Statistics = tuple[Float[Array, " c"], Float[Array, " c"]]  # mean, variance

EPSILON = 1e-3
MOMENTUM = 0.97  # of the running statistics; PyTorch writes it as 0.03


class BatchNorm(nn.Module):
    """Normalises each channel; statistics and arithmetic in float32.

    The running variance is that of the batch divided by n, as in Flax; PyTorch divides
    by n - 1, which differs by one part in n = images x pixels. The collection `moments`
    gets the mean and variance of the batch itself, if asked for.

    Attributes:
      axis_name: device axis over which the statistics of the batch are averaged.
      epsilon: added to the variance.
      momentum: share of the old running statistics that stays.
    """

    axis_name: str | None = None
    epsilon: float = EPSILON
    momentum: float = MOMENTUM

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
        running = mean.value, var.value
        y, moments, running = _by_batch(
            x, scale, bias, running, self.axis_name, self.epsilon, self.momentum
        )
        if not self.is_initializing():
            for name, moment in zip(("mean", "var"), moments, strict=True):
                self.sow("moments", name, moment, _latest, lambda: jnp.zeros(()))
            mean.value, var.value = running
        return y


def _latest(_: Array, new: Array) -> Array:
    return new


# Traced once for each shape of images, which many layers share.
@partial(jax.jit, static_argnums=(4, 5, 6), inline=True)
def _by_batch(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    running: Statistics,
    axis_name: str | None,
    epsilon: float,
    momentum: float,
) -> tuple[Float[Array, "b h w c"], Statistics, Statistics]:
    """The normalised images, mean and variance of the batch, and the running ones."""
    m, v = _moments(x, axis_name)
    gain = scale * lax.rsqrt(v + epsilon)
    mean, var = (
        momentum * old + (1 - momentum) * new
        for old, new in zip(running, (m, v), strict=True)
    )
    return _affine(x, gain, bias - m * gain), (m, v), (mean, var)


class GroupNorm(nn.Module):
    """Normalises each image over groups of channels (Wu and He, ECCV 2018).

    Statistics and arithmetic in float32; the same in training and test.

    Attributes:
      groups: at most; as many as divide the channels where those are few.
      epsilon: added to the variance.
    """

    groups: int = 32
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        scale = self.param("scale", nn.initializers.ones, (c,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        groups = math.gcd(self.groups, c)
        y = x.astype(jnp.float32).reshape(b, h, w, groups, c // groups)
        y = y - y.mean((1, 2, 4), keepdims=True)
        v = jnp.square(y).mean((1, 2, 4), keepdims=True)
        y = (y * lax.rsqrt(v + self.epsilon)).reshape(x.shape)
        return _affine(y, scale, bias).astype(x.dtype)


def _moments(x: Float[Array, "b h w c"], axis_name: str | None) -> Statistics:
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
