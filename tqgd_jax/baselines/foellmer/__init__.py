"""Foellmer et al., 2022: a multi-task U-Net for lesions and the regions of arteries.

Architecture and input are those of the authors' release; its training code is not
public, so losses and region labels are ours.
"""

from tqgd_jax.baselines.foellmer.network import FoellmerNetwork
from tqgd_jax.baselines.foellmer.unet import REGIONS, MultiTaskUNet
from tqgd_jax.config import Config


def build(
    config: Config, num_classes: int, axis_name: str | None = None
) -> FoellmerNetwork:
    """The network of `config.baseline.foellmer`, see `tqgd_jax.network.Network`.

    Raises:
      ValueError: a number of classes that the tasks do not have, neighbouring slices,
        or weights.
    """
    settings = config.baseline.foellmer
    both = settings.tasks == "both"
    wanted = REGIONS - 1 if both else 1
    if num_classes != wanted:
        classes = "('LAD', 'LCX', 'RCA')" if both else "('calcium',)"
        other = "lesion" if both else "both"
        raise ValueError(
            f"baseline.foellmer.tasks={settings.tasks!r} needs {wanted} class"
            f"{'es' if both else ''}, got {num_classes}; set data.classes={classes} or "
            f"baseline.foellmer.tasks={other}"
        )
    if config.data.neighbours:
        raise ValueError(
            f"baseline.family='foellmer' reads one slice, got data.neighbours="
            f"{config.data.neighbours}; set it to 0"
        )
    if config.baseline.weights:
        raise ValueError(
            f"baseline.weights={config.baseline.weights}: baseline.family='foellmer' "
            "has no backbone of torchvision's; leave it empty"
        )
    if config.augment.value:
        raise ValueError(
            f"baseline.family='foellmer' reads which pixels are above data.lesion_hu, and "
            f"augment.value={config.augment.value} changes Hounsfield units; set it to 0"
        )
    window = config.data.window
    if any(window) and window[0] >= 0:
        raise ValueError(
            "baseline.family='foellmer' reads Hounsfield units, and with data.window="
            f"{window} it cannot tell them from the grey values of pictures; set one "
            "that begins below 0, or none"
        )
    # Pictures are taken to show the same Hounsfield units as a scan.
    low, high = window if any(window) else config.data.hu_window
    module = MultiTaskUNet(
        both,
        (low, high),
        config.data.lesion_hu,
        settings.dropout,
        settings.least_side,
        config.baseline.width,
        config.model.precision,
        axis_name,
    )
    return FoellmerNetwork(module, config.model.in_channels, settings.region_px)
