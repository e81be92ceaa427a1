"""Path aggregation: top down, then bottom up (Liu et al., CVPR 2018; Fig. 5b).

The neck of YOLOv5 v7.0. With a head at P2 both columns reach one level further, as in
YOLOv5's P2 variant.
"""

import flax.linen as nn
import jax.numpy as jnp

from tqgd_jax.nn.blocks import C3, ConvBnAct, Mode
from tqgd_jax.nn.pool import upsample_nearest
from tqgd_jax.structures.batch import Pyramid, by_level


class Fusion(nn.Module):
    """Two columns between the finest and the coarsest level that are asked for.

    Attributes:
      features: channels of P2..P5.
      levels: outputs that are needed; others pass unchanged. Without 2 the columns end
        at P3: a chain that goes on with P2 takes the backbone's.
      repeats: bottlenecks of each C3; the one at P2 has a single one at every size.
    """

    features: tuple[int, ...]
    levels: tuple[int, ...] = (3, 4, 5)
    repeats: int = 1
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        x = by_level(levels)
        c = by_level(self.features)
        finest, coarsest = min(self.levels), max(self.levels)
        lateral = {}
        for n in range(5, finest, -1):  # top down
            lateral[n] = ConvBnAct(c[n - 1], mode=self.mode, name=f"lateral{n}")(
                x[n], train=train
            )
            joined = jnp.concatenate([upsample_nearest(lateral[n]), x[n - 1]], axis=-1)
            repeats = 1 if n - 1 == 2 else self.repeats
            x[n - 1] = C3(c[n - 1], repeats, mode=self.mode, name=f"down{n - 1}")(
                joined, train=train
            )
        for n in range(finest + 1, coarsest + 1):  # bottom up
            finer = ConvBnAct(c[n - 1], 3, 2, mode=self.mode, name=f"stride{n}")(
                x[n - 1], train=train
            )
            joined = jnp.concatenate([finer, lateral[n]], axis=-1)
            x[n] = C3(c[n], self.repeats, mode=self.mode, name=f"up{n}")(
                joined, train=train
            )
        return tuple(x.values())
