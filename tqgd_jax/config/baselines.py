"""Settings of the competitors of Table 1: detectors and segmentations of others."""

from dataclasses import dataclass, field

from tqgd_jax.config.checks import above_0, fraction, one_of


@dataclass
class Zhao:
    """Faster R-CNN with guided anchoring (Zhao et al., Electronics 2020).

    Attributes:
      depth: of the ResNet: 18, 34 or 50.
      channels: of the feature pyramid and the proposal network.
      hidden: width of the head that judges regions.
      base_scale: side of the square of a cell, in strides.
      norm: "" (group norm, or batch norm with `baseline.weights`), "group" or "batch".
      adaption: of features to anchors: "deformable", or "conv": a 3x3 convolution over
        features and the map of shapes.
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


@dataclass
class Foellmer:
    """Multi-task U-Net (Foellmer et al., 2022).

    Attributes:
      tasks: "lesion", or "both": regions of the arteries and lesions; needs
        `data.classes` of three arteries.
      region_px: radius of the weak region labels around a lesion, network px.
      dropout: share of the bottleneck that is dropped in training.
    """

    tasks: str = "lesion"
    region_px: float = 14.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        one_of("baseline.foellmer.tasks", self.tasks, ("lesion", "both"))
        above_0("baseline.foellmer", self, "region_px")
        fraction("baseline.foellmer", self, "dropout", below_1=True)


@dataclass
class Zair:
    """Segmentation networks of Zair et al., 2023.

    Attributes:
      network: "segnet" (SegNet-VGG16), "unet" or "vgg16_fcn" (FCN-8s).
      batch_norm: in VGG16 of vgg16_fcn; the others always have it.
    """

    network: str = "segnet"
    batch_norm: bool = False

    def __post_init__(self) -> None:
        networks = ("segnet", "unet", "vgg16_fcn")
        one_of("baseline.zair.network", self.network, networks)
        if self.batch_norm and self.network != "vgg16_fcn":
            raise ValueError(
                "baseline.zair.batch_norm=True does nothing with "
                f"baseline.zair.network={self.network!r}, which always has batch norm; "
                "leave it out"
            )


@dataclass
class Baseline:
    """A competitor instead of the detector of `model`.

    Attributes:
      family: "" (the detector of `model`), "zhao", "foellmer" or "zair".
      weights: safetensors file of an ImageNet backbone in torchvision's names; empty
        means from scratch.
      width: multiple of all channel counts of Foellmer's and Zair's networks and of
        Zhao's backbone, for small machines.
    """

    family: str = ""
    weights: str = ""
    width: float = 1.0
    zhao: Zhao = field(default_factory=Zhao)
    foellmer: Foellmer = field(default_factory=Foellmer)
    zair: Zair = field(default_factory=Zair)

    def __post_init__(self) -> None:
        one_of("baseline.family", self.family, ("", "zhao", "foellmer", "zair"))
        above_0("baseline", self, "width")
