"""A competitor of Table 1: the multi-task U-Net of Foellmer et al., 2022.

What the paper leaves open: docs/design/0030-foellmer.md.
"""

from dataclasses import replace

from tqgd_jax.config import Augment, Baseline, Config, Data, Optim


def get_config() -> Config:
    """The data of `configs/tqgdnet.py` at 512 px; the lesion alone is learnt."""
    return replace(
        Config(),
        baseline=Baseline(family="foellmer"),
        data=Data(slices="positive", image_size=512, pad_value=15.0),  # air
        augment=Augment(value=0.0),  # its input has a threshold in Hounsfield units
        optim=adam(lr=0.005, weight_decay=0.01, decay="all"),
    )


def adam(**settings) -> Optim:
    """Adam at one learning rate, which PyTorch's weight decay joins before it."""
    return Optim(
        method="adam",
        lr_end=settings["lr"],
        momentum=0.9,
        warmup_epochs=0.0,
        warmup_min_steps=0,
        warmup_bias_lr=settings["lr"],
        **settings,
    )
