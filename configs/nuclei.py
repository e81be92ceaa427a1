"""Cell nuclei (DSB 2018): real small objects that train in minutes on two cores.

Not calcium: it shows that the path works and learns, nothing about CT.
"""

from dataclasses import replace

from tqgd_jax.config import Config, Data, Model, Train


def get_config() -> Config:
    """TQGDNet-n with the 1x1 stem at 256 px, 40 epochs on what split.csv calls train."""
    return replace(
        Config(),
        model=Model(size="n", stem="thr:snapshot"),
        data=Data(image_size=256),
        train=Train(epochs=40),
    )
