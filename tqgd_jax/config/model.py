"""Settings of the network (§2.2)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tqgd_jax.config.checks import at_least, differences, one_of

LEVELS = (2, 3, 4, 5)  # P2..P5, strides 4, 8, 16, 32
PLAIN = {"fpn", "pan", "queen3", "sppf"}  # stages that read neither `queen` nor `gd`


def increasing_levels(name: str, levels: tuple[int, ...]) -> None:
    """Raises ValueError naming the setting when these are not levels, each once."""
    for level in levels:
        one_of(name, level, LEVELS)
    if tuple(sorted(set(levels))) != tuple(levels):
        raise ValueError(f"{name} must be increasing levels, got {levels}")


@dataclass
class Thr:
    """ThrConvs blocks of the stem (Eqs. 1-4), read when `model.stem` is "thr".

    Defaults are the preset `paper`. `stem="thr:snapshot"` and `stem="thr:light"` replace
    them by the values in `PRESETS`. docs/design/0001-thrconvs.md.

    Attributes:
      positions: where a block stands: "in" on the image, "p1" after the stride-2
        convolution, "p2" after the stride-4 convolution.
      kernels: sizes of the convolutions a, b and c (§2.2.1 names 8x8 and 12x12); six
        numbers give each of two blocks its own.
      depthwise: one filter per channel instead of full convolutions.
      skip: what Eq. 4 adds, "x1" (the paper) or "x2".
      sign: the residual of Eq. 3, "x-x2" (the paper) or "x2-x".
      norm: "batch", or "none" for convolutions with a bias instead.
      act: "silu" or "none", after the normalisation.
      init: first values of kernels, "centre" (those of a 1x1 kernel at the tap that sees
        the pixel itself, k / 3 times as large; 0 elsewhere) or "yolov5" (PyTorch's, with
        which TQGDNet-s was not seen to learn). docs/design/0023-first-kernels.md.
      form: "back-projection" (Eqs. 1-4), or "plain": three 3x3 convolutions in its
        place with as many products, a control. docs/design/0021-controls.md.
    """

    positions: tuple[str, ...] = ("p1", "p2")
    kernels: tuple[int, ...] = (8, 12, 8)
    depthwise: bool = False
    skip: str = "x1"
    sign: str = "x-x2"
    norm: str = "batch"
    act: str = "silu"
    init: str = "centre"
    form: str = "back-projection"

    def __post_init__(self) -> None:
        for position in self.positions:
            one_of("model.thr.positions", position, ("in", "p1", "p2"))
        if len(self.kernels) not in (3, 3 * len(self.positions)) or (
            min(self.kernels) < 1
        ):
            raise ValueError(
                "model.thr.kernels must be three sizes of at least 1, or three for each "
                f"position; got {self.kernels} for positions {self.positions}"
            )
        one_of("model.thr.skip", self.skip, ("x1", "x2"))
        one_of("model.thr.sign", self.sign, ("x-x2", "x2-x"))
        one_of("model.thr.norm", self.norm, ("batch", "none"))
        one_of("model.thr.act", self.act, ("silu", "none"))
        one_of("model.thr.init", self.init, ("yolov5", "centre"))
        one_of("model.thr.form", self.form, ("back-projection", "plain"))
        if self.init == "centre" and self.norm == "none":
            raise ValueError(
                "model.thr.init='centre' (the default) counts on batch norm, which undoes "
                "the size of kernels; with model.thr.norm='none' set model.thr.init="
                "yolov5, or model.stem=thr:linear, which sets both"
            )
        if self.form == "plain" and self.depthwise:
            raise ValueError(
                "model.thr.form='plain' is a control for full convolutions; leave out "
                "model.thr.depthwise"
            )


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "snapshot": {"kernels": (1, 1, 1), "skip": "x2", "sign": "x2-x"},
    "light": {"depthwise": True},
    "linear": {"norm": "none", "act": "none", "init": "yolov5"},
    "plain": {"form": "plain"},
}


@dataclass
class Queen:
    """Queen-fusion (Eq. 5). docs/design/0016-queen-columns.md.

    Attributes:
      columns: direction of each: "down" goes from coarse to fine, "up" from fine to
        coarse, as the node n4 of its own layer in Eq. 5 has it.
    """

    columns: tuple[str, ...] = ("down", "up")

    def __post_init__(self) -> None:
        if isinstance(self.columns, str) or not 1 <= len(self.columns) <= 9:
            raise ValueError(
                "model.queen.columns must be a tuple of one to nine directions, got "
                f"{self.columns!r}; such as \"('up',)\" on the command line"
            )
        for direction in self.columns:
            one_of("model.queen.columns", direction, ("down", "up"))


@dataclass
class Gd:
    """Low-stage gather-and-distribute (Eqs. 6-10). docs/design/0003-gd.md.

    Attributes:
      gather: level whose size the four maps are brought to (Eq. 6): 5 is the smallest
        map, as the paper says; 4 is Gold-YOLO's choice.
      fuse_blocks: RepConv blocks on the gathered map (Eq. 7).
      out_blocks: RepConv blocks after each injection; the paper has "a RepConvBlock".
      gate: "sigmoid" (Eq. 8) or "hard_sigmoid" (Gold-YOLO).
      split: project the global map once and split it by channels over the levels
        (Gold-YOLO) instead of giving every level all of it.
      laf: fuse each local map with its neighbours before the injection (Gold-YOLO).
      levels: that receive the global map; empty means those that are read afterwards:
        by a head, or all when another stage follows.
    """

    gather: int = 5
    fuse_blocks: int = 3
    out_blocks: int = 1
    gate: str = "sigmoid"
    split: bool = False
    laf: bool = False
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        increasing_levels("model.gd.levels", self.levels)
        one_of("model.gd.gather", self.gather, (3, 4, 5))
        one_of("model.gd.gate", self.gate, ("sigmoid", "hard_sigmoid"))
        at_least("model.gd", self, 0, "fuse_blocks", "out_blocks")


@dataclass
class Model:
    """The network (§2.2).

    Attributes:
      size: "n", "s", "m" or "l", YOLOv5's depth and width multiples; the paper does not
        say which, the counts of docs/design/0004-sizes.md speak for "s".
      stem: "conv" (YOLOv5) or "thr" (ThrConvs, settings in `thr`), or a preset:
        "thr:paper", "thr:snapshot", "thr:light", "thr:linear" (no batch norm, no
        activation), "thr:plain" (the control).
      c3_in_a_row: C3 modules at each of the backbone's four places; the paper says
        three ("C3 x 3"), YOLOv5 has one. docs/design/0019-c3-times-three.md.
      neck: fusion stages in order; each name is a module in `tqgd_jax/fusion/`. With
        "sppf" among them the backbone ends before its SPPF.
      heads: levels with a detection head, coarsest last; 2 is stride 4, 5 is stride 32.
      anchors: "auto" ("coco" where 98 % of the training boxes match one at
        `data.image_size`, else "kmeans"), "coco" (YOLOv5's nine, P3 to P5), "kmeans"
        (clustered on the training boxes), or given in pixels at `data.image_size`, three
        per head, heads separated by "|": "10,13 16,30 33,23 | 30,61 62,45 59,119".
      in_channels: 3 (a grey image is repeated), 1, or the slices of
        `data.neighbours`.
      precision: of the computation. "fp32": float32 throughout, also in the products of
        a GPU; "tf32": float32 whose products a GPU may round to 10 bits of mantissa (on
        a CPU the same as "fp32"); "bf16": activations and products in bfloat16. What
        reads the image, parameters, batch statistics, losses and decoding are float32
        always.
    """

    size: str = "s"
    stem: str = "thr"
    c3_in_a_row: int = 1
    neck: tuple[str, ...] = ("queen", "gd")
    heads: tuple[int, ...] = (3, 4, 5)
    anchors: str = "auto"
    in_channels: int = 3
    precision: str = "fp32"
    thr: Thr = field(default_factory=Thr)
    queen: Queen = field(default_factory=Queen)
    gd: Gd = field(default_factory=Gd)

    def __post_init__(self) -> None:
        one_of("model.size", self.size, ("n", "s", "m", "l"))
        one_of("model.stem", self.stem, ("conv", "thr", *(f"thr:{p}" for p in PRESETS)))
        at_least("model", self, 1, "c3_in_a_row")
        one_of("model.in_channels", self.in_channels, (1, 3, 5, 7, 9))
        one_of("model.precision", self.precision, ("fp32", "tf32", "bf16"))
        if isinstance(self.neck, str) or any("," in stage for stage in self.neck):
            raise ValueError(
                f"model.neck must be a tuple of stage names, got {self.neck!r}; on the "
                "command line: --config.model.neck=\"('queen','gd')\""
            )
        if len(set(self.neck)) < len(self.neck):
            raise ValueError(f"model.neck names a stage twice: {self.neck}")
        if not self.heads:
            raise ValueError("model.heads is empty; such as (3, 4, 5)")
        increasing_levels("model.heads", self.heads)
        self._refuse_unread()

    def _refuse_unread(self) -> None:
        """A setting that changes nothing would be reported as tried."""
        stages, unread = {*self.neck}, {}
        if self.stem == "conv":
            unread["thr"] = "stem"
        if stages <= PLAIN | {"gd"}:
            unread["queen"] = "neck"
        if stages <= PLAIN | {"queen"}:
            unread["gd"] = "neck"
        for section in ("thr", "queen", "gd"):
            now = getattr(self, section)
            preset = self._preset() if section == "thr" else {}
            for name, (_, value) in differences(type(now)(), now).items():
                if section in unread or preset.get(name, value) != value:
                    other = unread.get(section, "stem")
                    raise ValueError(
                        f"model.{section}.{name}={value!r} does nothing with "
                        f"model.{other}={getattr(self, other)!r}; change one of them"
                    )

    def _preset(self) -> dict[str, Any]:
        return PRESETS.get(self.stem.partition(":")[2], {})

    def resolved(self) -> "Model":
        """The same network with the preset of its stem written out in `thr`."""
        thr = dataclasses.replace(self.thr, **self._preset())
        return dataclasses.replace(self, thr=thr)

    def resolved_thr(self) -> Thr | None:
        """The stem's ThrConvs with its preset applied; None for a plain stem."""
        return None if self.stem == "conv" else self.resolved().thr
