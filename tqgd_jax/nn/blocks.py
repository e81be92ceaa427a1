"""Convolution with batch norm, C3 and SPPF, as in YOLOv5 v7.0.

Parameter names are part of the checkpoint format and of `repconv.fuse`, which looks for
pairs named `conv` and `bn`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from tqgd_jax.nn.conv import conv2d
from tqgd_jax.nn.norm import BatchNorm
from tqgd_jax.nn.pool import max_pool

Initializer = Callable[..., Array]
Padding = tuple[int, int]  # before and after, in height and in width alike

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the default of PyTorch's convolutions.
kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": nn.silu,
    "relu": nn.relu,
    "none": lambda x: x,
}


@dataclass(frozen=True)
class Mode:
    """How a network is computed; the same for all of its modules.

    Attributes:
      precision: "fp32", "tf32" or "bf16", see `config.Model`.
      deploy: every Conv+BN and RepConv is one convolution with a bias (after `fuse`).
      axis_name: device axis over which batch statistics are averaged under pmap.
      direct: convolutions as `lax` writes them, not in the form that is fastest on a
        CPU: see `nn.conv.conv2d`.
    """

    precision: str = "fp32"
    deploy: bool = False
    axis_name: str | None = None
    direct: bool = False

    @property
    def dtype(self) -> str:
        """Of activations; parameters are float32."""
        return "bfloat16" if self.precision == "bf16" else "float32"

    @property
    def products(self) -> lax.Precision:
        """Of convolutions and matrix products."""
        if self.precision == "fp32":
            return lax.Precision.HIGHEST
        return lax.Precision.DEFAULT

    @property
    def exact(self) -> "Mode":
        """The same in float32: for what reads the image, and for what is read off."""
        return dataclasses.replace(self, precision="fp32")


def same(kernel: int) -> Padding:
    """Padding that keeps the size at stride 1; an even kernel gets its odd pixel after."""
    return (kernel - 1) // 2, kernel // 2


class Conv(nn.Module):
    """2-D convolution with explicit zero padding, kernel (k, k, in / groups, out).

    Attributes:
      padding: before and after; None is `kernel // 2` on both sides.
      first: draws the first kernel.
    """

    features: int
    kernel: int = 1
    stride: int = 1
    padding: Padding | None = None
    groups: int = 1
    bias: bool = False
    first: Initializer = kernel_init
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x o"]:
        k, dtype = self.kernel, jnp.dtype(self.mode.dtype)
        pad = (k // 2, k // 2) if self.padding is None else self.padding
        shape = (k, k, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.first, shape, jnp.float32)
        x = conv2d(
            x.astype(dtype),
            kernel.astype(dtype),
            stride=self.stride,
            padding=(pad, pad),
            groups=self.groups,
            precision=self.mode.products,
            direct=self.mode.direct,
        )
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.astype(dtype)[None, None, None, :]
        return x


class ConvBnAct(nn.Module):
    """Convolution without bias, batch norm, activation; one convolution when deployed.

    Attributes:
      norm: "batch", or "none": then the convolution has a bias while training too.
      first: draws the first kernel.
    """

    features: int
    kernel: int = 1
    stride: int = 1
    padding: Padding | None = None
    groups: int = 1
    norm: str = "batch"
    act: str = "silu"
    first: Initializer = kernel_init
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b y x o"]:
        normalised = self.norm == "batch" and not self.mode.deploy
        x = Conv(
            self.features,
            self.kernel,
            self.stride,
            self.padding,
            self.groups,
            bias=not normalised,
            first=self.first,
            mode=self.mode,
            name="conv",
        )(x)
        if normalised:
            x = BatchNorm(self.mode.axis_name, name="bn")(x, train=train)
        return ACTIVATIONS[self.act](x)


class Bottleneck(nn.Module):
    """1x1 then 3x3 convolution, plus the input when `add`."""

    features: int
    add: bool
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        y = ConvBnAct(self.features, 1, mode=self.mode, name="conv1")(x, train=train)
        y = ConvBnAct(self.features, 3, mode=self.mode, name="conv2")(y, train=train)
        return x + y if self.add else y


class C3(nn.Module):
    """Cross-stage block: `n` bottlenecks on one half of the channels.

    Attributes:
      add: bottlenecks add their input; so in the backbone, not in a neck.
    """

    features: int
    n: int = 1
    add: bool = False
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w o"]:
        half = self.features // 2
        a = ConvBnAct(half, mode=self.mode, name="a")(x, train=train)
        for i in range(self.n):
            a = Bottleneck(half, self.add, self.mode, name=f"m{i}")(a, train=train)
        b = ConvBnAct(half, mode=self.mode, name="b")(x, train=train)
        ab = jnp.concatenate([a, b], axis=-1)
        return ConvBnAct(self.features, mode=self.mode, name="out")(ab, train=train)


class SPPF(nn.Module):
    """Spatial pyramid pooling: three 5x5 max-pools in a row, all kept."""

    features: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w o"]:
        half = x.shape[-1] // 2
        maps = [ConvBnAct(half, mode=self.mode, name="in")(x, train=train)]
        for _ in range(3):
            maps.append(max_pool(maps[-1], window=5, stride=1))
        x = jnp.concatenate(maps, axis=-1)
        return ConvBnAct(self.features, mode=self.mode, name="out")(x, train=train)
