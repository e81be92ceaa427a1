"""TQGDNet-s as in the paper: ThrConvs stem, Queen-fusion, gather-and-distribute."""

from dataclasses import replace

from tqgd_jax.config import Config, Data


def get_config() -> Config:
    """The defaults are the paper's; point `data.dir` at a folder of scans or slices.

    Like the paper it trains on slices that contain calcium. `eval.py` judges all slices
    of the held-out patients all the same (of a packed set those that were packed).
    """
    return replace(Config(), data=Data(slices="positive"))
