"""The region proposal network with guided anchors (Wang et al., CVPR 2019, section 3)."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from tqgd_jax.baselines.zhao.deform import TAPS, DeformableConv
from tqgd_jax.nn.blocks import Conv, Mode

GROUPS = 4  # of the deformable convolution


class Guides(NamedTuple):
    """What is predicted of each of n cells: P2 to P6 after one another, row-major.

    Attributes:
      location: logit of being at the centre of an object.
      shape: of the anchor there, see `anchors.guided`.
      score: logit of the anchor holding an object.
      delta: from the anchor to the object, see `deltas.decode`.
    """

    location: Float[Array, "b n"]
    shape: Float[Array, "b n 2"]
    score: Float[Array, "b n"]
    delta: Float[Array, "b n 4"]


class Adaption(nn.Module):
    """Features for an anchor's shape, 3x3: by moved taps, or by sight of the shape.

    Attributes:
      kind: "deformable", or "conv": a 3x3 convolution of features and shape.
    """

    kind: str
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], shape: Float[Array, "b h w 2"]
    ) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        if self.kind == "conv":
            both = jnp.concatenate([x, shape.astype(x.dtype)], axis=-1)
            return Conv(channels, 3, mode=self.mode, name="conv")(both)
        exact = self.mode.exact
        offsets = Conv(GROUPS * TAPS * 2, mode=exact, name="offset")(shape)
        return DeformableConv(channels, GROUPS, self.mode, name="conv")(x, offsets)


class GuidedAnchors(nn.Module):
    """Where anchors stand, how large they are, and what is in them; shared by all levels.

    The features are adapted to the predicted shape, which gets no gradient from that.
    All 1x1 convolutions compute in float32: their outputs are boxes and offsets.

    Attributes:
      channels: of the levels.
      adaption: "deformable" or "conv", see `Adaption`.
    """

    channels: int
    adaption: str
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: tuple[Array, ...]) -> Guides:
        exact = self.mode.exact

        def head(features, name):
            return Conv(features, bias=True, mode=exact, name=name)

        conv = Conv(self.channels, 3, bias=True, mode=self.mode, name="conv")
        adaption = Adaption(self.adaption, self.mode, name="adaption")
        location, shape = head(1, "location"), head(2, "shape")
        score, delta = head(1, "score"), head(4, "delta")

        outputs = []
        for level in levels:
            x = nn.relu(conv(level))
            wh = shape(x)
            adapted = nn.relu(adaption(x, lax.stop_gradient(wh)))
            outputs.append((location(x), wh, score(adapted), delta(adapted)))
        locations, shapes, scores, deltas = (
            jnp.concatenate(
                [x.reshape(x.shape[0], -1, x.shape[-1]) for x in maps], axis=1
            )
            for maps in zip(*outputs, strict=True)
        )
        return Guides(locations[..., 0], shapes, scores[..., 0], deltas)
