"""Feature pyramid network: one column, top down (Lin et al., CVPR 2017; Fig. 5a)."""

import flax.linen as nn
import jax.numpy as jnp

from tqgd_jax.nn.blocks import C3, ConvBnAct, Mode
from tqgd_jax.nn.pool import upsample_nearest
from tqgd_jax.structures.batch import Pyramid, by_level


class Fusion(nn.Module):
    """p5 = C3(P5); p_l = C3(conv1x1([up(p_l+1), P_l])) down to the finest level asked.

    Attributes:
      features: channels of P2..P5.
      levels: outputs that are needed; finer ones pass unchanged.
      repeats: bottlenecks of each C3.
    """

    features: tuple[int, ...]
    levels: tuple[int, ...] = (3, 4, 5)
    repeats: int = 1
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        x = by_level(levels)
        c = by_level(self.features)
        x[5] = C3(c[5], self.repeats, mode=self.mode, name="p5")(x[5], train=train)
        for n in range(4, min(self.levels) - 1, -1):
            joined = jnp.concatenate([upsample_nearest(x[n + 1]), x[n]], axis=-1)
            joined = ConvBnAct(c[n], mode=self.mode, name=f"reduce{n}")(
                joined, train=train
            )
            x[n] = C3(c[n], self.repeats, mode=self.mode, name=f"p{n}")(
                joined, train=train
            )
        return tuple(x.values())
