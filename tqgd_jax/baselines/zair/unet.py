"""U-Net (Ronneberger et al., MICCAI 2015), with padded convolutions and batch norm."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.blocks import ConvNormReLU, scaled
from tqgd_jax.baselines.imagenet import standardised
from tqgd_jax.baselines.segmentation import cut_back, padded
from tqgd_jax.nn.blocks import Conv, Mode, kernel_init
from tqgd_jax.nn.conv import conv2d
from tqgd_jax.nn.pool import blocks_to_pixels, max_pool_2x2

STAGES = (64, 128, 256, 512, 1024)


class UpConv(nn.Module):
    """Transposed 2x2 convolution at stride 2: each pixel gives 2x2 pixels."""

    features: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x o"]:
        c, o, dtype = x.shape[-1], self.features, jnp.dtype(self.mode.dtype)
        kernel = self.param("kernel", kernel_init, (2, 2, c, o), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (o,), jnp.float32)
        products = kernel.transpose(2, 0, 1, 3).reshape(1, 1, c, 4 * o)
        x = conv2d(x, products.astype(dtype), precision=self.mode.products)
        x = blocks_to_pixels(x.reshape(*x.shape[:3], 4, o))
        return x + bias.astype(dtype)[None, None, None, :]


class UNet(nn.Module):
    """Five scales, two 3x3 convolutions at each, maps of the way down beside those up.

    31,042,369 parameters with one input channel and one class; logits of one class.

    Attributes:
      norm: batch norm after each 3x3 convolution.
      bias: of the 3x3 convolutions.
      width: multiple of all channels.
      precision, axis_name, direct: see `nn.blocks.Mode`.
    """

    norm: bool = True
    bias: bool = True
    width: float = 1.0
    precision: str = "fp32"
    axis_name: str | None = None
    direct: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w 1"]:
        mode = Mode(self.precision, axis_name=self.axis_name, direct=self.direct)
        exact = mode.exact
        widths = [scaled(features, self.width) for features in STAGES]

        def conv(x: Array, i: int, name: str, mode: Mode = mode) -> Array:
            block = ConvNormReLU(widths[i], self.norm, self.bias, mode, name=name)
            return block(x, train=train)

        x = standardised(padded(image, 2 ** (len(STAGES) - 1)))
        x = conv(x, 0, "down0_1", exact).astype(mode.dtype)
        x = conv(x, 0, "down0_2")
        skips = []
        for i in range(1, len(STAGES)):
            skips.append(x)
            x, _ = max_pool_2x2(x)
            x = conv(conv(x, i, f"down{i}_1"), i, f"down{i}_2")
        for i, skip in reversed([*enumerate(skips)]):
            x = UpConv(widths[i], mode, name=f"up{i}")(x)
            x = jnp.concatenate([skip, x], axis=-1)
            x = conv(conv(x, i, f"up{i}_1"), i, f"up{i}_2")
        logits = Conv(1, bias=True, mode=exact, name="logits")(x)
        return cut_back(logits, image).astype(jnp.float32)
