"""A folder, or a packed file, to the splits of a prepared data set."""

from pathlib import Path

from tqgd_jax.config import Config, checked
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.prepared import packed


def open_data(config: Config) -> dict[str, Dataset]:
    """The splits ("train", "val", "test") that the data set has, prepared if needed.

    A `data.dir` that ends with `.npz` is a packed set: NumPy alone reads it.
    """
    config = checked(config)
    path = Path(config.data.dir).expanduser()
    if path.suffix == ".npz":
        return packed.open_packed(path, config)
    from tqgd_jax.data.prepared.prepare import open_prepared

    return open_prepared(config)[0]
