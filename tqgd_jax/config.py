"""Settings of a run: every default of the paper and of the YOLOv5 recipe stands here.

"§" and "Eq." are Wang et al., 2025 (TQGDNet). Where the paper is silent, the value is the
YOLOv5 recipe's and `docs/design/` says so. Only plain types appear, because each field is
also a command-line flag (`--config.optim.lr=0.02`).
"""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

LEVELS = (2, 3, 4, 5)  # P2..P5, strides 4, 8, 16, 32


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
      act: "silu" or "none", after batch normalisation.
    """

    positions: tuple[str, ...] = ("p1", "p2")
    kernels: tuple[int, ...] = (8, 12, 8)
    depthwise: bool = False
    skip: str = "x1"
    sign: str = "x-x2"
    act: str = "silu"

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
        one_of("model.thr.act", self.act, ("silu", "none"))


PRESETS = {
    "paper": {},
    "snapshot": {"kernels": (1, 1, 1), "skip": "x2", "sign": "x2-x"},
    "light": {"depthwise": True},
}


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
    """

    gather: int = 5
    fuse_blocks: int = 3
    out_blocks: int = 1
    gate: str = "sigmoid"
    split: bool = False
    laf: bool = False

    def __post_init__(self) -> None:
        one_of("model.gd.gather", self.gather, (3, 4, 5))
        one_of("model.gd.gate", self.gate, ("sigmoid", "hard_sigmoid"))
        at_least("model.gd.fuse_blocks", self.fuse_blocks, 0)
        at_least("model.gd.out_blocks", self.out_blocks, 0)


@dataclass
class Model:
    """The network (§2.2).

    Attributes:
      size: "n", "s", "m" or "l", YOLOv5's depth and width multiples; the paper does not
        say which, the counts of docs/design/0004-sizes.md speak for "s".
      stem: "conv" (YOLOv5) or "thr" (ThrConvs, settings in `thr`), "thr:paper",
        "thr:snapshot", "thr:light" (presets).
      neck: fusion stages in order; each name is a module in `tqgd_jax/fusion/`.
      heads: levels with a detection head, coarsest last; 2 is stride 4, 5 is stride 32.
      anchors: "coco" (YOLOv5's nine, P3 to P5), "kmeans" (clustered on the training
        boxes), or given in pixels at `data.image_size`, three per head, heads
        separated by "|": "10,13 16,30 33,23 | 30,61 62,45 59,119".
      in_channels: 3 (a grey image is repeated) or 1.
      dtype: of the computation, "float32" or "bfloat16". Parameters, batch statistics,
        losses and decoding are float32 always.
    """

    size: str = "s"
    stem: str = "thr"
    neck: tuple[str, ...] = ("queen", "gd")
    heads: tuple[int, ...] = (3, 4, 5)
    anchors: str = "coco"
    in_channels: int = 3
    dtype: str = "float32"
    thr: Thr = field(default_factory=Thr)
    gd: Gd = field(default_factory=Gd)

    def __post_init__(self) -> None:
        one_of("model.size", self.size, ("n", "s", "m", "l"))
        one_of("model.stem", self.stem, ("conv", "thr", *(f"thr:{p}" for p in PRESETS)))
        one_of("model.in_channels", self.in_channels, (1, 3))
        one_of("model.dtype", self.dtype, ("float32", "bfloat16"))
        if isinstance(self.neck, str) or any("," in stage for stage in self.neck):
            raise ValueError(
                f"model.neck must be a tuple of stage names, got {self.neck!r}; on the "
                "command line: --config.model.neck=\"('queen','gd')\""
            )
        if not self.heads or tuple(sorted(set(self.heads))) != tuple(self.heads):
            raise ValueError(f"model.heads must be increasing levels, got {self.heads}")
        for level in self.heads:
            one_of("model.heads", level, LEVELS)

    def resolved_thr(self) -> Thr | None:
        """The stem's ThrConvs with its preset applied; None for a plain stem."""
        if self.stem == "conv":
            return None
        _, _, preset = self.stem.partition(":")
        return dataclasses.replace(self.thr, **PRESETS[preset]) if preset else self.thr


@dataclass
class Loss:
    """Objectness, class and box losses (§3.1), weights of YOLOv5.

    Attributes:
      iou: "giou" (the paper) or "ciou"; also the name of the box term in the logs.
      box, obj, cls: gains for three heads, 640 px and 80 classes; `losses.gains` scales
        them to the run.
      anchor_threshold: a box matches an anchor when neither side's ratio reaches it.
      label_smoothing: of the class targets.
    """

    iou: str = "giou"
    box: float = 0.05
    obj: float = 1.0
    cls: float = 0.5
    anchor_threshold: float = 4.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        one_of("loss.iou", self.iou, ("giou", "ciou"))


@dataclass
class Optim:
    """SGD with Nesterov momentum and a warm-up of momentum and learning rate (§3.1).

    Attributes:
      lr, lr_end: learning rate of the first and (approached, not reached) last epoch.
      schedule: "linear" or "cosine" in epochs.
      momentum: after the warm-up.
      warmup: "ramp" (linear, YOLOv5) or "step" (`warmup_momentum` until the end of the
        warm-up, then `momentum`; the words of §3.1).
      warmup_epochs: length; never less than `warmup_min_steps` iterations.
      warmup_min_steps: iterations.
      warmup_momentum: at iteration 0.
      warmup_bias_lr: learning rate of biases at iteration 0; all others start at 0.
      weight_decay: added to the gradient of kernels only, per optimiser step.
      clip_norm: largest global gradient norm.
      nominal_batch: images per optimiser step; gradients are summed until they are
        reached. 0 means `data.batch_size` (no accumulation); YOLOv5's own is 64.
      ema_decay, ema_tau: moving average of the weights, decay * (1 - exp(-k / tau)) at
        optimiser step k.
    """

    lr: float = 0.01
    lr_end: float = 0.0001
    schedule: str = "linear"
    momentum: float = 0.937
    warmup: str = "ramp"
    warmup_epochs: float = 3.0
    warmup_min_steps: int = 100
    warmup_momentum: float = 0.8
    warmup_bias_lr: float = 0.1
    weight_decay: float = 0.0005
    clip_norm: float = 10.0
    nominal_batch: int = 0
    ema_decay: float = 0.9999
    ema_tau: float = 2000.0

    def __post_init__(self) -> None:
        one_of("optim.schedule", self.schedule, ("linear", "cosine"))
        one_of("optim.warmup", self.warmup, ("ramp", "step"))
        for name in (
            *("nominal_batch", "warmup_epochs", "warmup_min_steps", "warmup_bias_lr"),
            *("weight_decay", "lr_end"),
        ):
            at_least(f"optim.{name}", getattr(self, name), 0)
        for name in ("momentum", "warmup_momentum", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"optim.{name} must be in [0, 1), got {getattr(self, name)}"
                )
        for name in ("lr", "clip_norm", "ema_tau"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"optim.{name} must be above 0, got {getattr(self, name)}"
                )


@dataclass
class Augment:
    """Random changes of training images, on the device (§3.1, YOLOv5's values).

    Attributes:
      mosaic: probability of composing four images.
      scale: zoom drawn from [1 - scale, 1 + scale].
      translate: shift, as a fraction of the image size, in either direction.
      flip: probability of a left-right flip.
      hue, saturation: relative changes of colour images; inert on grey ones.
      value: brightness gain drawn from [1 - value, 1 + value].
      min_side: boxes whose side falls to this or below, in network pixels, after
        scaling and clipping are not targets of that one view (YOLOv5: 2).
      min_area: fraction of a box's scaled area that must stay inside the view.
    """

    mosaic: float = 1.0
    scale: float = 0.5
    translate: float = 0.1
    flip: float = 0.5
    hue: float = 0.015
    saturation: float = 0.0
    value: float = 0.4
    min_side: float = 2.0
    min_area: float = 0.1

    def __post_init__(self) -> None:
        for name in ("mosaic", "flip", "min_area"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"augment.{name} must be in [0, 1], got {getattr(self, name)}"
                )
        for name in ("scale", "translate", "hue", "saturation", "value"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"augment.{name} must be in [0, 1), got {getattr(self, name)}"
                )


@dataclass
class Data:
    """Images and boxes.

    Attributes:
      dir: folder of the data set, or a packed `.npz` made by `tqgd_jax.data.pack`.
      format: "auto", "voc" (LabelImg XML), "yolo" (txt) or "coco" (json).
      classes: names in the order of their index; empty means those found (VOC, COCO,
        classes.txt), sorted for VOC and COCO, by index for YOLO.
      split: "auto" (split.csv, ImageSets/Main, train/val/test folders, else "ratio"), a
        csv file with columns image and split, or "ratio" (seeded, by patient).
      group: csv column or regular expression (first group matched against the file
        name) that gives the patient of an image; empty means a csv column "group" if
        there is one, else every image its own patient.
      ratio: shares of train, val and test for split="ratio".
      hold_out: share of the training patients held back for validation when the split
        has no val part; 0 trains on all of them, and no threshold can be chosen.
      image_size: side of the square network input, px; a multiple of 32.
      batch_size: images per step over all devices.
      placement: "stream" (tf.data) or "resident" (whole set on the device).
      bad_labels: "error", "clip" (to the image, then drop what is empty) or "drop".
        Unreadable files and boxes made for another image size are errors always.
      window: values shown as 0 and 1; (0, 0) means the full range of unsigned images
        and `hu_window` for signed ones.
      hu_window: Hounsfield units (§2.1.4).
      pad_value: grey value (of 255) around images; YOLOv5's 114 is +141 HU in the
        paper's window. docs/design/0005-pad-value.md.
      prepared_dir: where prepared sets are kept; empty means $TQGD_CACHE, else
        ~/.cache/tqgd_jax.
      prefetch: batches that tf.data prepares ahead.
    """

    dir: str = ""
    format: str = "auto"
    classes: tuple[str, ...] = ()
    split: str = "auto"
    group: str = ""
    ratio: tuple[float, ...] = (0.7, 0.1, 0.2)
    hold_out: float = 0.0
    image_size: int = 640
    batch_size: int = 4
    placement: str = "stream"
    bad_labels: str = "error"
    window: tuple[float, ...] = (0.0, 0.0)
    hu_window: tuple[float, ...] = (-1200.0, 1800.0)
    pad_value: float = 114.0
    prepared_dir: str = ""
    prefetch: int = 4

    def __post_init__(self) -> None:
        one_of("data.format", self.format, ("auto", "voc", "yolo", "coco"))
        one_of("data.placement", self.placement, ("stream", "resident"))
        one_of("data.bad_labels", self.bad_labels, ("error", "clip", "drop"))
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(
                f"data.image_size must be a multiple of 32 (the coarsest stride), got "
                f"{self.image_size}; nearest: {max(32, round(self.image_size / 32) * 32)}"
            )
        at_least("data.batch_size", self.batch_size, 1)
        at_least("data.prefetch", self.prefetch, 1)
        for name in ("window", "hu_window"):
            window = getattr(self, name)
            empty = name == "window" and tuple(window) == (0, 0)
            if len(window) != 2 or not (window[0] < window[1] or empty):
                raise ValueError(f"data.{name} must increase, got {window}")
        if (
            len(self.ratio) != 3
            or min(self.ratio) < 0
            or abs(sum(self.ratio) - 1) > 1e-6
        ):
            raise ValueError(
                f"data.ratio must be three shares with sum 1, got {self.ratio}"
            )
        if not 0 <= self.hold_out < 1:
            raise ValueError(f"data.hold_out must be in [0, 1), got {self.hold_out}")

    def window_of(self, dtype: Any) -> tuple[float, float]:
        """The values of a stored image of that type that are shown as 0 and 1."""
        if any(self.window):
            return self.window[0], self.window[1]
        if np.issubdtype(dtype, np.signedinteger):
            return self.hu_window[0], self.hu_window[1]
        return 0.0, float(np.iinfo(dtype).max)


@dataclass
class Train:
    """The loop.

    Attributes:
      epochs: passes over the training images (§3.1).
      steps: stop after so many iterations; 0 means `epochs` decides. Schedules always
        follow `epochs`.
      eval_every: epochs between evaluations on the validation split; 0 means the last
        epoch only.
      checkpoint_every: epochs between checkpoints.
      keep: newest checkpoints to keep.
      parallel: "jit" (batch sharded over the devices, batch norm sees all of it) or
        "pmap".
      devices: how many to use; 0 means all. The batch must divide by it.
      log_every: iterations between lines of metrics.jsonl.
      tensorboard: write event files too.
    """

    epochs: int = 200
    steps: int = 0
    eval_every: int = 10
    checkpoint_every: int = 5
    keep: int = 2
    parallel: str = "jit"
    devices: int = 0
    log_every: int = 10
    tensorboard: bool = True

    def __post_init__(self) -> None:
        one_of("train.parallel", self.parallel, ("jit", "pmap"))
        for name in ("epochs", "checkpoint_every", "keep", "log_every"):
            at_least(f"train.{name}", getattr(self, name), 1)
        for name in ("steps", "eval_every", "devices"):
            at_least(f"train.{name}", getattr(self, name), 0)


@dataclass
class Eval:
    """From raw predictions to detections, and the metrics (YOLOv5's values).

    Attributes:
      min_score: detections below are not kept; low, because AP needs the whole curve.
      nms_iou: greedy suppression above this IoU.
      max_detections: per image, after suppression.
      batch_size: images per evaluation step.
    """

    min_score: float = 0.001
    nms_iou: float = 0.6
    max_detections: int = 300
    batch_size: int = 8

    def __post_init__(self) -> None:
        for name in ("min_score", "nms_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"eval.{name} must be in [0, 1], got {getattr(self, name)}"
                )
        at_least("eval.max_detections", self.max_detections, 1)
        at_least("eval.batch_size", self.batch_size, 1)


@dataclass
class Config:
    """One run. `seed` decides everything random."""

    seed: int = 0
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    eval: Eval = field(default_factory=Eval)


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raises ValueError naming the setting, the value, what is allowed and the nearest."""
    allowed = tuple(allowed)
    if value not in allowed:
        near = difflib.get_close_matches(str(value), [str(a) for a in allowed], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        there = ", ".join(str(a) for a in allowed)
        raise ValueError(f"{name}: unknown value {value!r}; there are: {there}{hint}")


def at_least(name: str, value: float, least: float) -> None:
    """Raises ValueError naming the setting when it is below `least`."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def checked(config: T) -> T:
    """A copy of a settings tree with every check run again.

    Overrides from the command line set fields after `__post_init__`.
    """
    assert dataclasses.is_dataclass(config)
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return type(config)(
        **{
            k: checked(v) if dataclasses.is_dataclass(v) else v
            for k, v in values.items()
        }
    )


def from_dict(kind: type[T], values: Mapping[str, Any], path: str = "config") -> T:
    """A settings tree from plain data, such as a `config.json`.

    Raises:
      ValueError: a field that `kind` does not have; the nearest one is named.
    """
    assert dataclasses.is_dataclass(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    made = {}
    for name, value in values.items():
        one_of(f"{path}: field", name, fields)
        default = fields[name].default_factory
        if dataclasses.is_dataclass(default):
            value = from_dict(default, value, f"{path}.{name}")
        made[name] = tuple(value) if isinstance(value, list) else value
    return kind(**made)


def differences(a: object, b: object, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields in which two settings trees differ, with both values."""
    assert dataclasses.is_dataclass(a)
    found = {}
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        name = f"{path}{f.name}"
        if dataclasses.is_dataclass(x):
            found |= differences(x, y, f"{name}.")
        elif x != y:
            found[name] = (x, y)
    return found
