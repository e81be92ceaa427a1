"""SegNet-VGG16 (Badrinarayanan et al., TPAMI 2017), the row of Table 1."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.blocks import ConvNormReLU, scaled
from tqgd_jax.baselines.imagenet import standardised
from tqgd_jax.baselines.segmentation import cut_back, padded
from tqgd_jax.baselines.vgg import VGG16
from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.pool import max_unpool_2x2

# After each unpooling, coarsest first; the last convolution gives the classes.
DECODER = (
    (512, 512, 512),
    (512, 512, 256),
    (256, 256, 128),
    (128, 64),
    (64,),
)


class SegNet(nn.Module):
    """VGG16 with batch norm, and its mirror image, which unpools by the pools' indices.

    29,444,162 parameters with three input channels and two classes.

    Attributes:
      classes: of the logits: 2 (background, lesion), or 1.
      width: multiple of all channels.
      precision, axis_name, direct: see `nn.blocks.Mode`.
    """

    classes: int = 2
    width: float = 1.0
    precision: str = "fp32"
    axis_name: str | None = None
    direct: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w k"]:
        mode = Mode(self.precision, axis_name=self.axis_name, direct=self.direct)
        x = standardised(padded(image, 32))
        encoder = VGG16(True, self.width, mode, name="encoder")
        ends = encoder(x, train=train)
        x = ends[-1].maximum
        for i, end, stage in zip((5, 4, 3, 2, 1), ends[::-1], DECODER, strict=True):
            x = max_unpool_2x2(x, end.place)
            for j, features in enumerate(stage, 1):
                features = scaled(features, self.width)
                name = f"deconv{i}_{j}"
                x = ConvNormReLU(features, mode=mode, name=name)(x, train=train)
        logits = Conv(self.classes, 3, bias=True, mode=mode.exact, name="logits")(x)
        return cut_back(logits, image).astype(jnp.float32)
