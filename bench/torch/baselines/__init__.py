"""The competitors of Table 1 in PyTorch: see `same` and `bench.speed.baselines`.

Written from the specification in plain PyTorch. Modules have the names that the package
has, so that weights are copied by name; the graphs are written anew.
"""

from bench.torch.baselines.foellmer import MultiTaskUNet
from bench.torch.baselines.zair import FCN8s, SegNet, UNet
from bench.torch.baselines.zhao import GuidedFasterRCNN

__all__ = ["build"]


def build(config, num_classes=1):
    """The network of `config.baseline`, as `tqgd_jax.network.build` has it."""
    channels, baseline = config.model.in_channels, config.baseline
    if baseline.family == "zhao":
        zhao = baseline.zhao
        return GuidedFasterRCNN(
            zhao.depth, zhao.channels, zhao.hidden, num_classes, channels,
            zhao.norm or "group", zhao.adaption, baseline.width, zhao.base_scale,
        )  # fmt: skip
    if baseline.family == "foellmer":
        foellmer = baseline.foellmer
        return MultiTaskUNet(
            foellmer.tasks == "both", config.data.hu_window, config.data.lesion_hu,
            foellmer.dropout, foellmer.least_side, baseline.width,
        )  # fmt: skip
    zair = baseline.zair
    if zair.network == "vgg16_fcn":
        return FCN8s(channels, zair.batch_norm, baseline.width)
    return {"segnet": SegNet, "unet": UNet}[zair.network](
        channels, width=baseline.width
    )
