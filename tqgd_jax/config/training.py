"""Settings of loss, optimiser, augmentation, loop and evaluation (§3.1)."""

from dataclasses import dataclass

from tqgd_jax.config.checks import above_0, at_least, fraction, one_of


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
        at_least("loss", self, 0, "box", "obj", "cls")
        at_least("loss", self, 1, "anchor_threshold")  # below, no box has an anchor
        fraction("loss", self, "label_smoothing", below_1=True)


@dataclass
class Optim:
    """SGD with Nesterov momentum and a warm-up of momentum and learning rate (§3.1).

    Attributes:
      method: "sgd", or "adam" (Kingma and Ba, 2015), of which `momentum` is the first
        beta and does not warm up.
      lr, lr_end: learning rate of the first and (approached, not reached) last epoch.
      schedule: "linear" or "cosine" in epochs, or "steps": a tenth after each share of
        the epochs in `drops`, for which `lr_end` is not read.
      drops: shares of the epochs, with "steps".
      momentum: after the warm-up.
      nesterov: SGD's momentum looks ahead.
      warmup: "ramp" (linear, YOLOv5) or "step" (`warmup_momentum` until the end of the
        warm-up, then `momentum`; the words of §3.1).
      warmup_epochs: length; never less than `warmup_min_steps` iterations.
      warmup_min_steps: iterations.
      warmup_momentum: at iteration 0.
      warmup_bias_lr: learning rate of biases at iteration 0; all others start at 0.
      beta2: of "adam".
      weight_decay: added to the gradient (before Adam, if that is used) of what `decay`
        names, per optimiser step.
      decay: "kernels", or "all" parameters.
      clip_norm: largest global gradient norm.
      nominal_batch: images per optimiser step; gradients are summed until they are
        reached. 0 means `data.batch_size` (no accumulation); YOLOv5's own is 64.
      ema_decay, ema_tau: moving average of the weights, decay * (1 - exp(-k / tau)) at
        optimiser step k.
    """

    method: str = "sgd"
    lr: float = 0.01
    lr_end: float = 0.0001
    schedule: str = "linear"
    drops: tuple[float, ...] = (0.665, 0.915)
    momentum: float = 0.937
    nesterov: bool = True
    beta2: float = 0.999
    warmup: str = "ramp"
    warmup_epochs: float = 3.0
    warmup_min_steps: int = 100
    warmup_momentum: float = 0.8
    warmup_bias_lr: float = 0.1
    weight_decay: float = 0.0005
    decay: str = "kernels"
    clip_norm: float = 10.0
    nominal_batch: int = 0
    ema_decay: float = 0.9999
    ema_tau: float = 2000.0

    def __post_init__(self) -> None:
        one_of("optim.method", self.method, ("sgd", "adam"))
        one_of("optim.decay", self.decay, ("kernels", "all"))
        one_of("optim.schedule", self.schedule, ("linear", "cosine", "steps"))
        if any(not 0 < share < 1 for share in self.drops):
            raise ValueError(
                f"optim.drops must be shares of the epochs in (0, 1), got {self.drops}"
            )
        unread = {"beta2": "method"} if self.method == "sgd" else {"nesterov": "method"}
        if self.schedule != "steps":
            unread["drops"] = "schedule"
        for name, other in unread.items():
            value = getattr(self, name)
            if value != getattr(Optim, name):
                raise ValueError(
                    f"optim.{name}={value} does nothing with optim.{other}="
                    f"{getattr(self, other)!r}; change one of them"
                )
        one_of("optim.warmup", self.warmup, ("ramp", "step"))
        above_0("optim", self, "lr", "clip_norm", "ema_tau")
        at_least("optim", self, 0, "lr_end", "nominal_batch", "weight_decay")
        at_least(
            "optim", self, 0, "warmup_epochs", "warmup_min_steps", "warmup_bias_lr"
        )
        fraction(
            *("optim", self, "momentum", "warmup_momentum", "beta2", "ema_decay"),
            below_1=True,
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
      offset: shift of all values drawn from [-offset, offset], as a fraction of the
        window; of a scan, an error of calibration. 0 in the paper.
      noise: standard deviation of white noise drawn from [0, noise] for each image, as a
        fraction of the window. 0 in the paper.
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
    offset: float = 0.0
    noise: float = 0.0
    min_side: float = 2.0
    min_area: float = 0.1

    def __post_init__(self) -> None:
        fraction("augment", self, "mosaic", "flip", "min_area")
        fraction("augment", self, "scale", "translate", "hue", below_1=True)
        fraction("augment", self, "saturation", "value", below_1=True)
        fraction("augment", self, "offset", "noise", below_1=True)
        at_least("augment", self, 0, "min_side")


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
      checkpoint_steps: iterations between further checkpoints; 0 means none.
      keep: newest checkpoints to keep, beside the one that was best in validation.
      steps_per_call: iterations that the device does by itself between two looks of the
        host, with placement "resident"; 0 means at most 100 on accelerators and 1 on a
        CPU. It does not change a bit of the result. A signal waits for them.
      non_finite: what a loss or gradient that is not finite does. It never changes the
        state. "stop" ends the run, "skip" goes on without the iteration. Neither is
        silent.
      non_finite_limit: iterations of a run that may be left out; one more stops it.
      parallel: "jit" (batch sharded over the devices, batch norm sees all of it) or
        "pmap".
      devices: how many to use; 0 means all. The batch must divide by it.
      log_every: iterations after which figures are read from the device and written
        (metrics.jsonl has a line for each iteration all the same).
      tensorboard: write event files too.
    """

    epochs: int = 200
    steps: int = 0
    eval_every: int = 10
    checkpoint_every: int = 5
    checkpoint_steps: int = 0
    keep: int = 2
    steps_per_call: int = 0
    non_finite: str = "stop"
    non_finite_limit: int = 10
    parallel: str = "jit"
    devices: int = 0
    log_every: int = 10
    tensorboard: bool = True

    def __post_init__(self) -> None:
        one_of("train.parallel", self.parallel, ("jit", "pmap"))
        one_of("train.non_finite", self.non_finite, ("stop", "skip"))
        at_least("train", self, 1, "epochs", "checkpoint_every", "keep", "log_every")
        at_least("train", self, 0, "steps", "eval_every", "devices", "checkpoint_steps")
        at_least("train", self, 0, "steps_per_call", "non_finite_limit")


@dataclass
class Eval:
    """From raw predictions to detections, and the metrics (YOLOv5's values).

    Attributes:
      min_score: detections below are not kept; low, because AP needs the whole curve.
      nms_iou: greedy suppression above this IoU.
      max_detections: per image, after suppression.
      batch_size: images per evaluation step.
      beyond_heart_mm: of CT that is cropped to the heart: detections in slices further
        than this below or above it do not count; 0 counts all.
        docs/design/0010-heart-crop.md.
      recalibrate: training batches over which the batch statistics are taken anew, with
        the averaged weights, before an evaluation (`tqgd_jax/recalibration.py`); 0
        means the running statistics, as YOLOv5 does.
    """

    min_score: float = 0.001
    nms_iou: float = 0.6
    max_detections: int = 300
    batch_size: int = 8
    beyond_heart_mm: float = 0.0
    recalibrate: int = 0

    def __post_init__(self) -> None:
        fraction("eval", self, "min_score", "nms_iou")
        at_least("eval", self, 1, "max_detections", "batch_size")
        at_least("eval", self, 0, "recalibrate", "beyond_heart_mm")
