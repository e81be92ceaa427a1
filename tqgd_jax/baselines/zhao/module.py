"""The layers of Faster R-CNN with guided anchoring."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.imagenet import standardised
from tqgd_jax.baselines.resnet import ResNet
from tqgd_jax.baselines.zhao.fpn import FPN
from tqgd_jax.baselines.zhao.guided import GuidedAnchors, Guides
from tqgd_jax.baselines.zhao.roi import RoiHead
from tqgd_jax.nn.blocks import Mode
from tqgd_jax.structures.batch import Pyramid


class Raw(NamedTuple):
    """Of images: the maps P2 to P5, which the second stage reads, and the first stage."""

    levels: Pyramid
    guides: Guides


class GuidedFasterRCNN(nn.Module):
    """Backbone, pyramid, guided anchors; and the second stage in `regions`.

    Images in [0, 1], which are standardised by ImageNet's mean and standard deviation.

    Attributes:
      depth: of the ResNet.
      channels: of the pyramid and the first stage.
      hidden: of the second stage.
      num_classes: of boxes.
      norm: of the backbone, "group" or "batch".
      adaption: "deformable" or "conv", see `guided.GuidedAnchors`.
      width: multiple of the backbone's channels.
      precision, axis_name, direct: see `nn.blocks.Mode`.
    """

    depth: int = 50
    channels: int = 256
    hidden: int = 1024
    num_classes: int = 1
    norm: str = "group"
    adaption: str = "deformable"
    width: float = 1.0
    precision: str = "fp32"
    axis_name: str | None = None
    direct: bool = False

    def setup(self) -> None:
        """Names the parts."""
        mode = Mode(self.precision, axis_name=self.axis_name, direct=self.direct)
        self.backbone = ResNet(self.depth, self.norm, self.width, mode)
        self.neck = FPN(self.channels, mode)
        self.rpn = GuidedAnchors(self.channels, self.adaption, mode)
        self.roi = RoiHead(self.hidden, self.num_classes, mode)

    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Raw:
        """The first stage."""
        if image.shape[1] % 32 or image.shape[2] % 32:
            raise ValueError(
                "image sides must be multiples of 32, the backbone's coarsest stride; "
                f"got {image.shape}. Set data.image_size to one."
            )
        levels = self.neck(self.backbone(standardised(image), train=train))
        raw = Raw(levels[:4], self.rpn(levels))
        if self.is_initializing():
            self.regions(raw.levels, jnp.ones((len(image), 1, 4)))
        return raw

    def regions(
        self, levels: Pyramid, boxes: Float[Array, "b r 4"]
    ) -> tuple[Float[Array, "b r k"], Float[Array, "b r c 4"]]:
        """The second stage, see `roi.RoiHead`."""
        return self.roi(levels, boxes)
