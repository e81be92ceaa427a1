"""Queen-fusion with three inputs and a bottom-up path, as in a public development copy.

The other reading of "we substituted the initial two layers with Queen-fusion" (§2.2.3):
the two top-down nodes of YOLOv5's neck become Queen nodes. docs/design/0002-queen.md.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from tqgd_jax.nn.blocks import C3, ConvBnAct, Mode
from tqgd_jax.nn.pool import max_pool, upsample_bilinear
from tqgd_jax.structures.batch import Pyramid


class Fusion(nn.Module):
    """Queen nodes at P4 and P3, then YOLOv5's bottom-up path; P2 passes unchanged.

    Attributes:
      features: channels of P2..P5.
      repeats: bottlenecks of each C3.
    """

    features: tuple[int, ...]
    repeats: int = 1
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        def conv(features, kernel, stride, name, x):
            return ConvBnAct(features, kernel, stride, mode=self.mode, name=name)(
                x, train=train
            )

        def c3(features, name, *inputs):
            joined = jnp.concatenate(inputs, axis=-1)
            return C3(features, self.repeats, mode=self.mode, name=name)(
                joined, train=train
            )

        def queen(features, name, coarse, same, fine):
            m = math.ceil(0.625 * coarse.shape[-1] / 8) * 8
            joined = jnp.concatenate(
                [
                    upsample_bilinear(conv(m, 1, 1, f"{name}_coarse", coarse)),
                    conv(m, 1, 1, f"{name}_same", same),
                    max_pool(conv(m, 1, 1, f"{name}_fine", fine), window=3, stride=2),
                ],
                axis=-1,
            )
            return conv(features, 1, 1, f"{name}_out", joined)

        p2, p3, p4, p5 = levels
        _, c3_, c4_, c5_ = self.features
        t4 = c3(c4_, "t4", queen(c4_, "queen4", p5, p4, p3))
        t3 = c3(c3_, "t3", queen(c3_, "queen3", t4, p3, p2))
        o4 = c3(c4_, "o4", conv(c3_, 3, 2, "stride4", t3), t4)
        o5 = c3(c5_, "o5", conv(c4_, 3, 2, "stride5", o4), p5)
        return p2, t3, o4, o5
