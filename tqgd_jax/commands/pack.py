"""Writes a prepared set as one `.npz` that a run reads with NumPy alone.

tqgd pack --data_dir DIR --out FILE.npz [--config=configs/x.py]
    [--config.data.group=...]

Then train with `--config.data.dir=FILE.npz --config.data.placement=resident`.
"""

from pathlib import Path

import numpy as np

from tqgd_jax.commands.line import config_flags
from tqgd_jax.config import Config, checked
from tqgd_jax.io import atomic


def pack(config: Config, out: Path) -> int:
    """Prepares the data if needed and writes `out`; returns its size in bytes."""
    from tqgd_jax.data.prepared import packed
    from tqgd_jax.data.prepared.prepare import open_prepared

    if out.suffix != ".npz":
        raise ValueError(f"--out must end with .npz, got {out}")
    if config.data.dir.endswith(".npz"):
        raise ValueError(f"data.dir {config.data.dir} is packed already")
    config_flags.make_room(out)
    splits, seeded = open_prepared(checked(config))
    arrays = packed.pack(splits, config, seeded=seeded)
    with atomic.file(out) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return out.stat().st_size


def _main(config: Config, out: Path) -> None:
    size = pack(config, out)
    print(f"{out}: {size / 2**20:.1f} MiB")


def main() -> None:
    """The command."""
    config_flags.define("File to write: *.npz.")
    config_flags.run(_main)
