"""Queen-fusion, Eq. 5 (§2.2.3; Jiang et al., GiraffeDet, ICLR 2022)."""

import flax.linen as nn
import jax.numpy as jnp

from tqgd_jax.nn.blocks import C3, Mode
from tqgd_jax.nn.pool import max_pool, upsample_bilinear
from tqgd_jax.types import Pyramid, by_level


class Fusion(nn.Module):
    """Two columns, coarse to fine, then fine to coarse; every node joins its neighbours.

    A node concatenates the same level, the coarser (bilinear) and the finer (max-pool)
    of the column before, and the neighbour just computed in its own column; levels that
    do not exist are left out. In the second column that is Eq. 5. "+" is read as
    concatenation, as the sentence after Eq. 5 has it. docs/design/0002-queen.md.

    Attributes:
      features: channels of P2..P5.
      levels: outputs that are needed; a coarser one than these is not computed.
      repeats: bottlenecks of a node's C3.
    """

    features: tuple[int, ...]
    levels: tuple[int, ...] = (2, 3, 4, 5)
    repeats: int = 1
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        def up(x):
            return upsample_bilinear(x)

        def down(x):
            return max_pool(x, window=3, stride=2)

        def node(level, name, *inputs):
            joined = jnp.concatenate(inputs, axis=-1)
            return C3(c[level], self.repeats, mode=self.mode, name=f"{name}{level}")(
                joined, train=train
            )

        p2, p3, p4, p5 = levels
        c = by_level(self.features)

        a5 = node(5, "a", p5, down(p4))
        a4 = node(4, "a", p4, up(p5), down(p3), up(a5))
        a3 = node(3, "a", p3, up(p4), down(p2), up(a4))
        a2 = node(2, "a", p2, up(p3), up(a3))

        q2 = node(2, "q", a2, up(a3))
        if max(self.levels) == 2:
            return q2, p3, p4, p5
        q3 = node(3, "q", a3, up(a4), down(a2), down(q2))  # Eq. 5
        if max(self.levels) == 3:
            return q2, q3, p4, p5
        q4 = node(4, "q", a4, up(a5), down(a3), down(q3))  # Eq. 5
        if max(self.levels) == 4:
            return q2, q3, q4, p5
        q5 = node(5, "q", a5, down(a4), down(q4))
        return q2, q3, q4, q5
