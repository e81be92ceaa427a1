"""Queen-fusion, Eq. 5 (§2.2.3; Jiang et al., GiraffeDet, ICLR 2022)."""

from dataclasses import field

import flax.linen as nn
import jax.numpy as jnp

from tqgd_jax.config import Queen
from tqgd_jax.nn.blocks import C3, Mode
from tqgd_jax.nn.pool import max_pool, upsample_bilinear
from tqgd_jax.structures.batch import Pyramid, by_level


class Fusion(nn.Module):
    """Columns over P2..P5 in which every node joins its neighbours.

    A node concatenates the same level, the coarser (bilinear) and the finer (max-pool)
    of the column before, and the neighbour just computed in its own column; levels that
    do not exist are left out. In a column that goes up that is Eq. 5. "+" is read as
    concatenation, as the sentence after Eq. 5 has it. docs/design/0002-queen.md.

    Attributes:
      features: channels of P2..P5.
      levels: outputs that are needed; others pass unchanged, and what none of them
        reads is not computed.
      repeats: bottlenecks of a node's C3.
      queen: settings.
    """

    features: tuple[int, ...]
    levels: tuple[int, ...] = (2, 3, 4, 5)
    repeats: int = 1
    queen: Queen = field(default_factory=Queen)
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        c = by_level(self.features)
        before = out = by_level(levels)
        columns = list(zip(self.queen.columns, self._nodes(), strict=True))
        for k, (direction, nodes) in enumerate(columns):
            name = "q" if k == len(columns) - 1 else "abcdefgh"[k]
            new = {}
            for n in nodes:
                inputs = [before[n]]  # Eq. 5: n5(lc-1), then n6(lc-1) and n4(lc-1)
                if n < 5:
                    inputs.append(upsample_bilinear(before[n + 1]))
                if n > 2:
                    inputs.append(max_pool(before[n - 1], window=3, stride=2))
                if direction == "up" and n - 1 in new:  # Eq. 5: n4(lc)
                    inputs.append(max_pool(new[n - 1], window=3, stride=2))
                if direction == "down" and n + 1 in new:
                    inputs.append(upsample_bilinear(new[n + 1]))
                new[n] = C3(c[n], self.repeats, mode=self.mode, name=f"{name}{n}")(
                    jnp.concatenate(inputs, axis=-1), train=train
                )
            before, out = new, out | new
        return tuple(out[n] for n in (2, 3, 4, 5))

    def _nodes(self) -> list[range]:
        """Levels of each column in its order, without those that nothing reads."""
        needed, nodes = set(self.levels), []
        for direction in reversed(self.queen.columns):
            order = range(2, max(needed) + 1)
            if direction == "down":
                order = range(5, min(needed) - 1, -1)
            nodes.append(order)
            needed = {m for n in order for m in (n - 1, n, n + 1) if 2 <= m <= 5}
        return nodes[::-1]
