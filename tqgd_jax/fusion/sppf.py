"""SPPF as a stage, for necks that fuse the backbone's levels before it.

`neck=("queen", "sppf", "pan")` is Queen-fusion inside the backbone, the words of §2.2.3:
"we substituted the initial two layers with Queen-fusion in the YOLO backbone".
docs/design/0017-queen-in-the-backbone.md.
"""

import flax.linen as nn

from tqgd_jax.nn.blocks import SPPF, Mode
from tqgd_jax.structures.batch import Pyramid


class Fusion(nn.Module):
    """P5 through SPPF; the other levels pass unchanged.

    Attributes:
      features: channels of P2..P5.
    """

    features: tuple[int, ...]
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        *finer, p5 = levels
        p5 = SPPF(self.features[-1], self.mode, name="sppf")(p5, train=train)
        return *finer, p5
