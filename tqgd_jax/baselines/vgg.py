"""VGG16 without its classifier (Simonyan and Zisserman, ICLR 2015, configuration D)."""

from typing import NamedTuple

import flax.linen as nn
from jax import Array
from jaxtyping import Float, Int

from tqgd_jax.baselines.blocks import ConvNormReLU, scaled
from tqgd_jax.nn.blocks import Mode
from tqgd_jax.nn.pool import max_pool_2x2

STAGES = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)


class Pooled(NamedTuple):
    """The end of a stage: maxima of 2x2 pixels, and which pixels they are."""

    maximum: Float[Array, "b h w c"]
    place: Int[Array, "b h w c"]


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions with ReLU in five stages, each followed by max-pool.

    Takes images whose sides are multiples of 32; returns the ends of the five stages,
    strides 2 to 32. The first convolution computes in float32 at every precision.
    14,714,688 parameters with three input channels; 14,723,136 with batch norm.

    Attributes:
      batch_norm: after each convolution, which keeps its bias.
      width: multiple of all channels.
    """

    batch_norm: bool = False
    width: float = 1.0
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Pooled, ...]:
        mode, x, ends = self.mode.exact, image, []
        for i, stage in enumerate(STAGES, 1):
            for j, features in enumerate(stage, 1):
                x = ConvNormReLU(
                    scaled(features, self.width),
                    self.batch_norm,
                    mode=mode,
                    name=f"conv{i}_{j}",
                )(x, train=train).astype(self.mode.dtype)
                mode = self.mode
            ends.append(Pooled(*max_pool_2x2(x)))
            x = ends[-1].maximum
        return tuple(ends)


def torchvision_names(*, batch_norm: bool, encoder: str) -> dict[str, str]:
    """Tensors of torchvision's vgg16 or vgg16_bn, and where each belongs.

    torchvision numbers all layers: convolution, batch norm, ReLU, pooling.

    Args:
      batch_norm: vgg16_bn.
      encoder: name of the `VGG16` in its network.

    Returns:
      Path in the variables, such as `params/encoder/conv1_1/conv/kernel`, by the name
      of the tensor, such as `features.0.weight`.
    """
    names, layer = {}, 0
    for i, stage in enumerate(STAGES, 1):
        for j in range(1, len(stage) + 1):
            conv, norm = f"features.{layer}", f"features.{layer + 1}"
            place = f"{encoder}/conv{i}_{j}"
            names[f"{conv}.weight"] = f"params/{place}/conv/kernel"
            names[f"{conv}.bias"] = f"params/{place}/conv/bias"
            if batch_norm:
                names[f"{norm}.weight"] = f"params/{place}/norm/scale"
                names[f"{norm}.bias"] = f"params/{place}/norm/bias"
                names[f"{norm}.running_mean"] = f"batch_stats/{place}/norm/mean"
                names[f"{norm}.running_var"] = f"batch_stats/{place}/norm/var"
            layer += 3 if batch_norm else 2
        layer += 1
    return names
