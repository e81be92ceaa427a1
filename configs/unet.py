"""A network of Zair et al., 2023, beside the row of Table 1 (`configs/segnet.py`)."""

from segnet import get_config as segnet  # configs/segnet.py

from tqgd_jax.config import Config


def get_config() -> Config:
    """`configs/segnet.py` with this network."""
    return segnet("unet")
