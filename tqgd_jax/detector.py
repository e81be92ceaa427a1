"""The network: stem, backbone, neck and head by configuration (§2.2, Fig. 3)."""

import dataclasses
import math
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array
from jaxtyping import Float

from tqgd_jax import fusion
from tqgd_jax.config import LEVELS, Model, Thr
from tqgd_jax.nn.blocks import C3, SPPF, ConvBnAct, Mode
from tqgd_jax.nn.head import Head
from tqgd_jax.nn.plain import PlainConvs
from tqgd_jax.nn.repconv import fuse
from tqgd_jax.nn.thrconvs import ThrConvs
from tqgd_jax.structures.batch import Pyramid


class Size(NamedTuple):
    """YOLOv5's multiples of depth and width, and Gold-YOLO's global channels."""

    depth: float
    width: float
    embed: int

    def channels(self, base: int) -> int:
        """Width of a layer, rounded up to a multiple of 8."""
        return math.ceil(base * self.width / 8) * 8

    def repeats(self, base: int) -> int:
        """Bottlenecks of a C3, at least one."""
        return max(round(base * self.depth), 1)


SIZES = {
    "n": Size(0.33, 0.25, 96),
    "s": Size(0.33, 0.50, 128),
    "m": Size(0.67, 0.75, 192),
    "l": Size(1.00, 1.00, 192),
}


class Backbone(nn.Module):
    """YOLOv5 v7.0's backbone, with ThrConvs blocks in its stem when `thr` is given.

    Returns the pyramid P2..P5; P5 is after SPPF where `sppf`. What reads the image
    computes in float32 at every precision (docs/design/0009-ct.md): in bfloat16 a grey
    level of the window [-1200, 1800] would be 5.9 HU wide at 150 HU, in tf32 0.7.

    Attributes:
      c3_in_a_row: C3 modules at each place, see `config.Model`.
      sppf: it ends here; else it is a stage of the neck.
    """

    size: Size
    thr: Thr | None
    c3_in_a_row: int = 1
    sppf: bool = True
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Pyramid:
        channels, repeats, mode = self.size.channels, self.size.repeats, self.mode
        exact = mode.exact

        def down(base, kernel, x, name, mode=mode):
            return ConvBnAct(
                channels(base), kernel, 2, (2, 2) if kernel == 6 else None,
                mode=mode, name=name,
            )(x, train=train)  # fmt: skip

        def c3(base, n, x, name):
            for i in range(self.c3_in_a_row):
                x = C3(
                    channels(base), repeats(n), add=True, mode=mode,
                    name=f"{name}_{i}" if i else name,
                )(x, train=train)  # fmt: skip
            return x

        x = self._thr("in", x, exact, train=train)
        x = down(64, 6, x, "p1", exact).astype(mode.dtype)
        x = self._thr("p1", x, mode, train=train)
        x = down(128, 3, x, "p2")
        x = self._thr("p2", x, mode, train=train)
        p2 = c3(128, 3, x, "c3_2")
        p3 = c3(256, 6, down(256, 3, p2, "p3"), "c3_3")
        p4 = c3(512, 9, down(512, 3, p3, "p4"), "c3_4")
        p5 = c3(1024, 3, down(1024, 3, p4, "p5"), "c3_5")
        if self.sppf:
            p5 = SPPF(channels(1024), mode, name="sppf")(p5, train=train)
        return p2, p3, p4, p5

    def _thr(self, position: str, x: Array, mode: Mode, *, train: bool) -> Array:
        """The ThrConvs block at this place, if there is one."""
        if self.thr is None or position not in self.thr.positions:
            return x
        # Six kernels are three for each of two blocks.
        k, i = self.thr.kernels, self.thr.positions.index(position)
        of_block = {
            "kernels": k if len(k) == 3 else k[3 * i : 3 * i + 3],
            "norm": self.thr.norm,
            "act": self.thr.act,
            "mode": mode,
            "name": f"thr_{position}",
        }
        if self.thr.form == "plain":
            return PlainConvs(**of_block)(x, train=train)
        return ThrConvs(
            depthwise=self.thr.depthwise,
            skip=self.thr.skip,
            sign=self.thr.sign,
            first=self.thr.init,
            **of_block,
        )(x, train=train)


class Detector(nn.Module):
    """TQGDNet and every row of Tables 1-3, by `model`.

    Takes images in [0, 1], NHWC; returns raw predictions, finest head first, each
    (b, h, w, anchors, 5 + classes) in float32.
    """

    model: Model
    num_classes: int = 1
    deploy: bool = False
    axis_name: str | None = None
    direct: bool = False  # see `Mode`

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Array, ...]:
        model, size = self.model, SIZES[self.model.size]
        mode = Mode(model.precision, self.deploy, self.axis_name, self.direct)
        if image.shape[1] % 32 or image.shape[2] % 32:
            raise ValueError(
                f"image sides must be multiples of 32, the coarsest stride; got "
                f"{image.shape}."
            )
        levels = Backbone(
            size,
            model.resolved_thr(),
            model.c3_in_a_row,
            sppf="sppf" not in model.neck,
            mode=mode,
            name="backbone",
        )(image, train=train)
        offered: dict[str, Any] = {
            "features": tuple(size.channels(64 * 2 ** (n - 1)) for n in LEVELS),
            "repeats": size.repeats(3),
            "embed": size.embed,
            "queen": model.queen,
            "gd": model.gd,
            "mode": mode,
        }
        for i, stage in enumerate(model.neck):
            if i == len(model.neck) - 1:
                offered["levels"] = tuple(model.heads)
            levels = fusion.build(stage, **offered)(levels, train=train)
        return Head(tuple(model.heads), self.num_classes, mode=mode, name="head")(
            levels
        )

    def deployed(self, variables: dict[str, Any]) -> tuple["Detector", dict[str, Any]]:
        """This network with every Conv+BN and RepConv folded into one convolution.

        Args:
          variables: `params` (the EMA's, as a rule) and `batch_stats`.

        Returns:
          The deployed module and its variables, `params` only.
        """
        params = fuse(variables["params"], variables["batch_stats"])
        return dataclasses.replace(self, deploy=True, parent=None), {"params": params}
