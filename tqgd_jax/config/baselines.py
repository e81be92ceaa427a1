"""Settings of the competitors of Table 1 (`tqgd_jax/baselines/`)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass

from tqgd_jax.config.checks import above_0, at_least, differences, fraction, one_of

# Of the settings of the detector, what all families read.
READ = ("model.in_channels", "model.precision")


@dataclass
class Zhao:
    """Faster R-CNN with guided anchoring (Zhao et al., 2020).

    Attributes:
      depth: of the ResNet, 18, 34 or 50.
      channels: of FPN and RPN.
      hidden: of the two dense layers of the RoI head.
      base_scale: side of the square anchor in cells. 3 fits lesions; 8, the usual one,
        leaves most of them without a shape target.
      norm: "group" or "batch"; empty means batch norm with `baseline.weights`, group
        norm without.
      adaption: "deformable", or "conv": a 3x3 convolution that sees the shape map too.
    """

    depth: int = 50
    channels: int = 256
    hidden: int = 1024
    base_scale: float = 3.0
    norm: str = ""
    adaption: str = "deformable"

    def __post_init__(self) -> None:
        one_of("baseline.zhao.depth", self.depth, (18, 34, 50))
        one_of("baseline.zhao.norm", self.norm, ("", "group", "batch"))
        one_of("baseline.zhao.adaption", self.adaption, ("deformable", "conv"))
        above_0("baseline.zhao", self, "channels", "hidden", "base_scale")
        if self.channels % 4:
            raise ValueError(
                "baseline.zhao.channels must be a multiple of 4, the groups of the "
                f"deformable convolution; got {self.channels}"
            )


@dataclass
class Foellmer:
    """Multi-task U-Net (Foellmer et al., 2022).

    Attributes:
      tasks: "lesion", or "both": regions of the arteries too, which needs three classes
        (`data.classes="('LAD','LCX','RCA')"`).
      region_px: with both, how far around a lesion the region of its artery goes,
        network px; 14 are some 5 mm in a heart crop at 512 px.
      dropout: of the coarsest map.
      least_side: to which the input is padded with air, network px. At 256 the coarsest
        map is one pixel, and the statistics of batch norm are those of as many values as
        images.
    """

    tasks: str = "lesion"
    region_px: float = 14.0
    dropout: float = 0.5
    least_side: int = 512

    def __post_init__(self) -> None:
        one_of("baseline.foellmer.tasks", self.tasks, ("lesion", "both"))
        above_0("baseline.foellmer", self, "region_px")
        if self.tasks == "lesion" and self.region_px != Foellmer.region_px:
            raise ValueError(
                f"baseline.foellmer.region_px={self.region_px} does nothing with "
                "baseline.foellmer.tasks='lesion'; leave it out"
            )
        fraction("baseline.foellmer", self, "dropout", below_1=True)
        at_least("baseline.foellmer", self, 1, "least_side")


@dataclass
class Zair:
    """SegNet-VGG16, U-Net and VGG16-FCN8s (Zair et al., 2023).

    Attributes:
      network: "segnet" (the row of Table 1), "unet" or "vgg16_fcn".
      batch_norm: of "vgg16_fcn": after each convolution; the other two always have it.
    """

    network: str = "segnet"
    batch_norm: bool = False

    def __post_init__(self) -> None:
        one_of("baseline.zair.network", self.network, ("segnet", "unet", "vgg16_fcn"))
        if self.batch_norm and self.network != "vgg16_fcn":
            raise ValueError(
                "baseline.zair.batch_norm=True does nothing with baseline.zair.network="
                f"{self.network!r}, which always has batch norm; leave it out"
            )


@dataclass
class Baseline:
    """A network in place of the detector of `model`.

    Attributes:
      family: a folder in `tqgd_jax/baselines/`; empty for the detector of `model`.
      weights: safetensors file with a backbone in torchvision's names; empty for a
        network from scratch.
      width: multiple of the channels of backbones and segmentation networks, for small
        machines; 1 is the published network.
    """

    family: str = ""
    weights: str = ""
    width: float = 1.0
    zhao: Zhao = field(default_factory=Zhao)
    foellmer: Foellmer = field(default_factory=Foellmer)
    zair: Zair = field(default_factory=Zair)

    def __post_init__(self) -> None:
        above_0("baseline", self, "width")
        changed = differences(_Shared(), self) if not self.family else {}
        for section in fields(self):
            now, name = getattr(self, section.name), section.name
            if is_dataclass(now) and name != self.family:
                changed |= differences(type(now)(), now, f"{name}.")
        for name, (_, value) in changed.items():
            raise ValueError(
                f"baseline.{name}={value!r} does nothing with baseline.family="
                f"{self.family!r}; change one of them"
            )


@dataclass
class _Shared:
    """What the families of `Baseline` share, at rest."""

    weights: str = ""
    width: float = 1.0


def refuse_unread(baseline: Baseline, changed: Iterable[str]) -> None:
    """Raises ValueError for a setting of the detector beside a family.

    Only for what a user sets for one run: a study changes the detectors among its rows.

    Args:
      baseline: of the run.
      changed: dotted names.
    """
    for name in changed:
        unread = name.startswith(("model.", "loss.")) and name not in READ
        if baseline.family and unread:
            raise ValueError(
                f"{name} does nothing with baseline.family={baseline.family!r}, which "
                f"of model and loss reads {' and '.join(READ)} alone; leave it out"
            )
