"""The baseline of Table 1: YOLOv5s, plain stem and PANet neck."""

from dataclasses import replace

from tqgd_jax.config import Config, Model


def get_config() -> Config:
    """TQGDNet's recipe on YOLOv5's network; only the network differs."""
    return replace(Config(), model=Model(stem="conv", neck=("pan",)))
