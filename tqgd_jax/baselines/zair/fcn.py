"""FCN-8s on VGG16 (Long et al., CVPR 2015), without the layers of the classifier."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.imagenet import standardised
from tqgd_jax.baselines.segmentation import cut_back, padded
from tqgd_jax.baselines.vgg import VGG16
from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.pool import upsample_bilinear

FINEST = "encoder/conv3_3"  # after pooling the finest map that is scored


class FCN8s(nn.Module):
    """Scores of three scales, added from coarse to fine, and eight times enlarged.

    14,715,971 parameters with three input channels; 14,724,419 with batch norm. Logits
    of one class. Enlargement is bilinear and not learnt.

    Attributes:
      batch_norm: in VGG16.
      width: multiple of all channels.
      precision, axis_name, direct: see `nn.blocks.Mode`.
    """

    batch_norm: bool = False
    width: float = 1.0
    precision: str = "fp32"
    axis_name: str | None = None
    direct: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w 1"]:
        mode = Mode(self.precision, axis_name=self.axis_name, direct=self.direct)
        x = standardised(padded(image, 32))
        encoder = VGG16(self.batch_norm, self.width, mode, name="encoder")
        _, _, stride8, stride16, stride32 = encoder(x, train=train)

        def score(x: Array, name: str) -> Array:
            y = Conv(1, bias=True, mode=mode.exact, name=name)(x)
            return y.astype(jnp.float32)

        x = score(stride32.maximum, "score32")
        x = score(stride16.maximum, "score16") + upsample_bilinear(x)
        x = score(stride8.maximum, "score8") + upsample_bilinear(x)
        return cut_back(upsample_bilinear(x, 8), image)
