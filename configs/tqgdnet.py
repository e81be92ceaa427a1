"""TQGDNet-s as in the paper: ThrConvs stem, Queen-fusion, gather-and-distribute."""

from tqgd_jax.config import Config


def get_config() -> Config:
    """The defaults are the paper's; point `data.dir` at a folder of slices."""
    return Config()
