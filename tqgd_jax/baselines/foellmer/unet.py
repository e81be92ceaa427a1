"""The multi-task U-Net of the authors' release (Foellmer et al., 2022)."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.blocks import batch_norm, scaled
from tqgd_jax.baselines.foellmer.channels import AIR, two_channels
from tqgd_jax.baselines.segmentation import cut_back, padded
from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.pool import upsample_aligned

STEM = 16
DOWN = (16, 32, 32, 64, 64, 64, 128, 128)
UP = (128, 64, 64, 64, 32, 32, 16)  # of both decoders; then REGION or LESION
REGION, LESION = 16, 32
REGIONS = 4  # background and three arteries

leaky_relu = partial(nn.leaky_relu, negative_slope=0.2)


class Block(nn.Module):
    """Two convolutions with leaky ReLU, of which the second is normed.

    Attributes:
      down: the first is 4x4 at stride 2, else 3x3.
      first: mode of the first, which may read the image.
    """

    features: int
    down: bool = False
    mode: Mode = Mode()
    first: Mode | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b y x o"]:
        kernel, stride = (4, 2) if self.down else (3, 1)
        x = Conv(
            self.features,
            kernel,
            stride,
            (1, 1),
            bias=True,
            mode=self.first or self.mode,
            name="conv1",
        )(x)
        x = leaky_relu(x.astype(self.mode.dtype))
        x = Conv(self.features, 3, bias=True, mode=self.mode, name="conv2")(x)
        norm = batch_norm(self.mode.axis_name, name="norm")
        return leaky_relu(norm(x, train=train))


class Head(nn.Module):
    """3x3 convolution, leaky ReLU, 3x3 convolution to the logits, which are float32."""

    hidden: int
    classes: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w k"]:
        x = Conv(self.hidden, 3, bias=True, mode=self.mode, name="conv1")(x)
        x = leaky_relu(x)
        x = Conv(self.classes, 3, bias=True, mode=self.mode.exact, name="conv2")(x)
        return x.astype(jnp.float32)


class MultiTaskUNet(nn.Module):
    """Eight halvings, a decoder of regions, and one of lesions that reads its maps.

    3,109,130 parameters; 1,931,698 without the decoder of regions. Returns logits
    `lesion` (none, lesion) and, with `regions`, `region` (background, three arteries).

    Attributes:
      regions: the decoder of regions is there.
      hu_window: Hounsfield units that the image shows as 0 and 1.
      lesion_hu: a pixel above it may be calcium.
      dropout: share of the bottleneck that is dropped in training.
      least_side: to which the input is padded with air, px.
      width: multiple of all channels.
      precision, axis_name, direct: see `nn.blocks.Mode`.
    """

    regions: bool
    hu_window: tuple[float, float]
    lesion_hu: float
    dropout: float = 0.5
    least_side: int = 512
    width: float = 1.0
    precision: str = "fp32"
    axis_name: str | None = None
    direct: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool
    ) -> dict[str, Float[Array, "b h w _"]]:
        mode = Mode(self.precision, axis_name=self.axis_name, direct=self.direct)
        exact = mode.exact
        widths = partial(scaled, width=self.width)
        given = padded(
            two_channels(image, self.hu_window, self.lesion_hu),
            2 ** len(DOWN),
            AIR,
            self.least_side,
        )

        stem = partial(Conv, widths(STEM), 5, bias=True)
        x = leaky_relu(stem(mode=exact, name="stem1")(given)).astype(mode.dtype)
        x = leaky_relu(stem(mode=mode, name="stem2")(x))
        skips = []
        for i, features in enumerate(DOWN, 1):
            skips.append(x)
            block = Block(widths(features), True, mode, name=f"down{i}")
            x = block(x, train=train)
        skips.reverse()
        bottleneck = nn.Dropout(self.dropout, deterministic=not train)(x)

        raw, beside = {}, [[skip] for skip in skips]
        if self.regions:
            x = bottleneck
            for i, (features, skip) in enumerate(
                zip((*UP, REGION), skips, strict=True)
            ):
                x = jnp.concatenate([upsample_aligned(x), skip], axis=-1)
                block = Block(widths(features), mode=mode, name=f"region{i + 1}")
                x = block(x, train=train)
                beside[i] = [x, skip]
            head = Head(REGIONS, REGIONS, mode, name="region_head")
            raw["region"] = cut_back(head(x), image)

        x, last = bottleneck, len(UP)
        for i, features in enumerate((*UP, LESION)):
            maps, first = [upsample_aligned(x), *beside[i]], mode
            if i == last:  # reads the image
                maps, first = [*(m.astype("float32") for m in maps), given], exact
            x = jnp.concatenate(maps, axis=-1)
            name = f"lesion{i + 1}"
            block = Block(widths(features), mode=mode, first=first, name=name)
            x = block(x, train=train)
        head = Head(widths(LESION // 2), 2, mode, name="lesion_head")
        raw["lesion"] = cut_back(head(x), image)
        return raw


def block_deviation(path: str, shape: tuple[int, ...]) -> float | None:
    """First kernels as released: blocks N(0, 0.1); stem and heads uniform, as PyTorch's."""
    of_block = path.endswith("kernel") and "stem" not in path and "head" not in path
    return 0.1 if of_block else None
