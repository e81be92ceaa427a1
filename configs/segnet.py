"""A competitor of Table 1: SegNet-VGG16 (Zair et al., 2023).

What the paper leaves open: docs/design/0031-zair.md.
"""

from dataclasses import replace

from foellmer import adam  # configs/foellmer.py

from tqgd_jax.config import Augment, Baseline, Config, Data, Model, Zair


def get_config(network: str = "segnet") -> Config:
    """The data of `configs/tqgdnet.py` at 512 px; flips and shifts, no mosaic."""
    channels = 1 if network == "unet" else 3  # VGG16 is made for colours
    return replace(
        Config(),
        model=Model(in_channels=channels),
        baseline=Baseline(family="zair", zair=Zair(network=network)),
        data=Data(slices="positive", image_size=512, pad_value=15.0),  # air
        augment=Augment(mosaic=0.0, scale=0.0, value=0.0),
        optim=adam(lr=1e-4, weight_decay=0.0),
    )
