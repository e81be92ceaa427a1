"""Low-stage gather-and-distribute, Eqs. 6-10 (§2.2.4; Wang et al., Gold-YOLO, 2023)."""

from dataclasses import field

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.config import Gd
from tqgd_jax.nn.blocks import ConvBnAct, Mode
from tqgd_jax.nn.pool import resize_to
from tqgd_jax.nn.repconv import RepConv
from tqgd_jax.structures.batch import Pyramid, by_level

GATES = {"sigmoid": nn.sigmoid, "hard_sigmoid": nn.hard_sigmoid}


class Fusion(nn.Module):
    """Gathers all levels into one map and injects it into each level that is needed.

    docs/design/0003-gd.md has the readings: to which size Eq. 6 gathers, what Eq. 7
    holds beside the RepConv blocks, and which levels receive.

    Attributes:
      features: channels of P2..P5.
      levels: outputs that are needed. They receive the global map, or of them those of
        `gd.levels`; others pass unchanged.
      embed: channels of the global map.
      gd: settings.
    """

    features: tuple[int, ...]
    levels: tuple[int, ...] = (2, 3, 4, 5)
    embed: int = 128
    gd: Gd = field(default_factory=Gd)
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid, *, train: bool) -> Pyramid:
        q = by_level(levels)
        c = by_level(self.features)
        height = q[self.gd.gather].shape[1]
        f_q = jnp.concatenate([resize_to(x, height) for x in levels], axis=-1)  # Eq. 6

        i_r = ConvBnAct(self.embed, mode=self.mode, name="embed")(f_q, train=train)
        for i in range(self.gd.fuse_blocks):  # Eq. 7
            i_r = RepConv(self.embed, self.mode, name=f"fuse{i}")(i_r, train=train)

        wanted = sorted(self.gd.levels or self.levels)
        if unread := [n for n in wanted if n not in self.levels]:
            raise ValueError(
                f"model.gd.levels={self.gd.levels}: no head and no later stage reads P"
                f"{unread[0]}, so what is injected there would never be learnt; add "
                f"{unread[0]} to model.heads, or a stage after gd to model.neck"
            )
        shares = dict.fromkeys(wanted, i_r)
        if self.gd.split:
            widths = [c[n] for n in wanted]
            parts = ConvBnAct(sum(widths), mode=self.mode, name="split")(
                i_r, train=train
            )
            cuts = [sum(widths[: i + 1]) for i in range(len(widths) - 1)]
            shares = dict(zip(wanted, jnp.split(parts, cuts, axis=-1), strict=True))

        out = dict(q)
        for n in wanted:
            local = q[n]
            if self.gd.laf:
                near = tuple(q[k] for k in (n - 1, n, n + 1) if k in q)
                local = Laf(c[n], self.mode, name=f"laf{n}")(
                    near, local.shape[1], train=train
                )
            out[n] = Inject(c[n], self.gd, self.mode, name=f"inject{n}")(
                local, shares[n], train=train
            )
        return tuple(out.values())


class Inject(nn.Module):
    """One level's share of the global map, Eqs. 8-10, and the closing RepConv."""

    features: int
    gd: Gd = field(default_factory=Gd)
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, q: Float[Array, "b h w c"], i_r: Float[Array, "b y x e"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        def conv(name, x):
            return ConvBnAct(self.features, act="none", mode=self.mode, name=name)(
                x, train=train
            )

        height, gate = q.shape[1], GATES[self.gd.gate]
        global_1 = resize_to(gate(conv("act", i_r)), height)  # Eq. 8
        global_2 = resize_to(conv("embed", i_r), height)  # Eq. 9
        fused = conv("local", q) * global_1 + global_2  # Eq. 10
        for i in range(self.gd.out_blocks):
            fused = RepConv(self.features, self.mode, name=f"rep{i}")(
                fused, train=train
            )
        return fused


class Laf(nn.Module):
    """Local fusion of a level with its neighbours, each brought to its size and width.

    Gold-YOLO's adjacent-layer fusion; Eq. 10 injects into Q_i itself, so it is off.
    """

    features: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, near: tuple[Array, ...], height: int, *, train: bool
    ) -> Float[Array, "b h w c"]:
        def conv(name, x):
            return ConvBnAct(self.features, act="relu", mode=self.mode, name=name)(
                x, train=train
            )

        maps = [resize_to(conv(f"in{i}", x), height) for i, x in enumerate(near)]
        return conv("out", jnp.concatenate(maps, axis=-1))
