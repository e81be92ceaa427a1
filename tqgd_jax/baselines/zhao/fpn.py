"""Feature pyramid network (Lin et al., CVPR 2017), without norm and activation."""

import flax.linen as nn
from jax import Array

from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.pool import upsample_nearest
from tqgd_jax.structures.batch import Pyramid


class FPN(nn.Module):
    """Four stages of a backbone to P2..P6 of equal channels, strides 4 to 64.

    A 1x1 convolution of each stage, plus the coarser sum at twice its size, then a 3x3.
    P6 is every second pixel of P5.
    """

    channels: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, stages: Pyramid) -> tuple[Array, ...]:
        def conv(kernel, name):
            return Conv(self.channels, kernel, bias=True, mode=self.mode, name=name)

        total, levels = None, []
        for i in reversed(range(len(stages))):
            lateral = conv(1, f"inner_{i}")(stages[i])
            total = lateral if total is None else lateral + upsample_nearest(total)
            levels.append(conv(3, f"layer_{i}")(total))
        levels.reverse()
        return (*levels, levels[-1][:, ::2, ::2])
