"""ResNet-18, -34 and -50 (He et al., CVPR 2016, Table 1), as torchvision has them.

Its names too: `layer1.0.conv1.weight` is `layer1_0/conv1/kernel` here, `downsample.1` is
`downsample_1`, and `bn1` stays `bn1` when it normalises by groups.
"""

import flax.linen as nn
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.blocks import batch_norm, scaled
from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.norm import GroupNorm
from tqgd_jax.nn.pool import max_pool
from tqgd_jax.structures.batch import Pyramid

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def norm(kind: str, mode: Mode, name: str) -> nn.Module:
    """Batch norm over all devices, or group norm.

    Args:
      kind: "batch" or "group".
      mode: names the axis of the devices.
      name: of the module.
    """
    if kind == "group":
        return GroupNorm(name=name)
    return batch_norm(mode.axis_name, name=name)


class Block(nn.Module):
    """Convolutions plus the input, which a 1x1 convolution fits where it has to.

    Attributes:
      features: of the output.
      bottleneck: 1x1, 3x3, 1x1 over a quarter of the channels instead of 3x3, 3x3.
      stride: of the first 3x3.
      norm: "batch" or "group".
    """

    features: int
    bottleneck: bool
    stride: int
    norm: str
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b y x o"]:
        def conv_norm(x, features, kernel, stride, names):
            x = Conv(features, kernel, stride, mode=self.mode, name=names[0])(x)
            return norm(self.norm, self.mode, names[1])(x, train=train)

        out, hidden, s = self.features, self.features // 4, self.stride
        layers = [(out, 3, s), (out, 3, 1)]
        if self.bottleneck:
            layers = [(hidden, 1, 1), (hidden, 3, s), (out, 1, 1)]
        y = x
        for i, layer in enumerate(layers, 1):
            y = conv_norm(y, *layer, (f"conv{i}", f"bn{i}"))
            if i < len(layers):
                y = nn.relu(y)
        if s > 1 or x.shape[-1] != out:
            x = conv_norm(x, out, 1, s, ("downsample_0", "downsample_1"))
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Images to the outputs of the four stages, strides 4, 8, 16, 32.

    The stem reads the image and computes in float32 at every precision.

    Attributes:
      depth: 18, 34 or 50.
      norm: "batch" or "group".
      width: multiple of all channels.
    """

    depth: int
    norm: str
    width: float = 1.0
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Pyramid:
        exact = self.mode.exact
        x = Conv(scaled(64, self.width), 7, 2, mode=exact, name="conv1")(x)
        x = nn.relu(norm(self.norm, exact, "bn1")(x, train=train))
        x = max_pool(x.astype(self.mode.dtype), window=3, stride=2)
        bottleneck = self.depth >= 50
        stages = []
        for i, blocks in enumerate(BLOCKS[self.depth]):
            features = scaled(64 * 2**i, self.width) * (4 if bottleneck else 1)
            for j in range(blocks):
                x = Block(
                    features,
                    bottleneck,
                    stride=2 if i and not j else 1,
                    norm=self.norm,
                    mode=self.mode,
                    name=f"layer{i + 1}_{j}",
                )(x, train=train)
            stages.append(x)
        return tuple(stages)
