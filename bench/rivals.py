"""The competitors of Table 1 by short names, with settings and data for benches."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from tqgd_jax.config import Baseline, Foellmer, Zair, Zhao

CONFIGS = Path(__file__).parents[1] / "configs"
# Name: file in configs/, and its own settings.
RIVALS = {
    "zhao": ("zhao", {}),
    "zhao_small": ("zhao", {"zhao": Zhao(18, 64, 128, norm="batch", adaption="conv")}),
    "foellmer": ("foellmer", {}),
    "foellmer_both": ("foellmer", {"foellmer": Foellmer("both")}),
    "segnet": ("segnet", {}),
    "unet": ("unet", {}),
    "vgg16_fcn": ("vgg16_fcn", {}),
    "vgg16_fcn_bn": ("vgg16_fcn", {"zair": Zair("vgg16_fcn", batch_norm=True)}),
}
PUBLISHED = ("zhao", "foellmer", "segnet", "unet", "vgg16_fcn")


def named(words):
    """Names of networks for names or families; all published ones for none.

    Raises:
      SystemExit: no such name.
    """
    families = {"zair": ("segnet", "unet", "vgg16_fcn")}
    chosen = [name for word in words for name in families.get(word, (word,))]
    for name in chosen:
        if name not in RIVALS:
            raise SystemExit(
                f"no network {name!r}; there are: zair, {', '.join(RIVALS)}"
            )
    return chosen or list(PUBLISHED)


def config(name, size, batch, width=1.0, precision="fp32"):
    """Its configuration on one device."""
    file, changes = RIVALS[name]
    sys.path.insert(0, str(CONFIGS))  # configurations import each other
    try:
        whole = runpy.run_path(str(CONFIGS / f"{file}.py"))["get_config"]()
    finally:
        sys.path.remove(str(CONFIGS))
    baseline: Baseline = replace(whole.baseline, width=width, **changes)
    classes = ("LAD", "LCX", "RCA") if name == "foellmer_both" else ("calcium",)
    return replace(
        whole,
        model=replace(whole.model, precision=precision),
        baseline=baseline,
        data=replace(whole.data, image_size=size, batch_size=batch, classes=classes),
        train=replace(whole.train, devices=1, tensorboard=False),
    )


def batch_of(size, images, classes=1, channels=3):
    """Images in [0, 1], four boxes each, and the label map of what is in the boxes.

    A third of the pixels may be calcium by the window of a CT.
    """
    rng = np.random.default_rng(0)
    pixels = rng.random((images, size, size, 1), np.float32) ** 1.5
    wh = rng.uniform(0.02, 0.15, (images, 4, 2)) * size + 4
    low = rng.uniform(0, 1, (images, 4, 2)) * (size - wh)
    boxes = np.concatenate([low, low + wh], -1).astype(np.float32)
    labels = rng.integers(0, classes, (images, 4)).astype(np.int32)
    lesion = np.zeros((images, size, size), np.int32)
    for image, row, kinds in zip(lesion, boxes.astype(int), labels, strict=True):
        for (x0, y0, x1, y1), kind in zip(row, kinds, strict=True):
            image[y0:y1, x0:x1] = 1 + kind
    valid = np.ones((images, 4), bool)
    return pixels.repeat(channels, -1), (boxes, labels, valid), lesion
