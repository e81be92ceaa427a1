"""The baseline of Table 1: YOLOv5s, plain stem and PANet neck."""

from dataclasses import replace

from tqgd_jax.config import Config, Data, Model


def get_config() -> Config:
    """TQGDNet's recipe and data (`configs/tqgdnet.py`) on YOLOv5's network."""
    return replace(
        Config(),
        model=Model(stem="conv", neck=("pan",)),
        data=Data(slices="positive"),
    )
