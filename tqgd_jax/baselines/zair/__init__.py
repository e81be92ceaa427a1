"""Zair et al., 2023: SegNet-VGG16, U-Net and VGG16-FCN on 2-D slices.

Known of the paper (doi 10.1007/s11517-023-02797-z) are the networks and that they had
ImageNet weights; loss, optimiser and size of the image are ours.
"""

from pathlib import Path
from typing import Any

from tqgd_jax.baselines.pretrained import Weights
from tqgd_jax.baselines.vgg import torchvision_names
from tqgd_jax.baselines.zair.fcn import FCN8s
from tqgd_jax.baselines.zair.network import LesionSegmentation
from tqgd_jax.baselines.zair.segnet import SegNet
from tqgd_jax.baselines.zair.unet import UNet
from tqgd_jax.config import Config


def build(
    config: Config, num_classes: int, axis_name: str | None = None
) -> LesionSegmentation:
    """The network of `config.baseline.zair`, see `tqgd_jax.network.Network`.

    Raises:
      ValueError: several classes, an image of more than three channels, or weights for
        a network that has no VGG16.
    """
    if num_classes != 1:
        raise ValueError(
            f"baseline.family='zair' tells lesion from none, not {num_classes} classes; "
            "set data.classes=('calcium',)"
        )
    channels = config.model.in_channels
    if channels not in (1, 3):
        raise ValueError(
            f"baseline.family='zair' reads images of 1 or 3 channels, got "
            f"model.in_channels={channels}; set it to 3"
        )
    baseline, zair = config.baseline, config.baseline.zair
    of_all: dict[str, Any] = {
        "width": baseline.width,
        "precision": config.model.precision,
        "axis_name": axis_name,
    }
    if zair.network == "unet":
        if baseline.weights:
            raise ValueError(
                f"baseline.weights={baseline.weights}: baseline.zair.network='unet' has "
                "no encoder of torchvision's; leave it empty, or take 'segnet' or "
                "'vgg16_fcn'"
            )
        return LesionSegmentation(UNet(**of_all), channels)
    batch_norm = zair.network == "segnet" or zair.batch_norm
    weights = Weights(
        Path(baseline.weights).expanduser(),
        "vgg16_bn" if batch_norm else "vgg16",
        torchvision_names(batch_norm=batch_norm, encoder="encoder"),
    )
    module = (
        SegNet(**of_all)
        if zair.network == "segnet"
        else FCN8s(zair.batch_norm, **of_all)
    )
    return LesionSegmentation(module, channels, weights if baseline.weights else None)
