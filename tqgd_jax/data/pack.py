"""Writes a prepared set as one `.npz` that a run reads with NumPy alone.

python -m tqgd_jax.data.pack --data_dir DIR --out FILE.npz [--config=configs/x.py]
    [--config.data.group=...]

Then train with `--config.data.dir=FILE.npz --config.data.placement=resident`.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from tqgd_jax.config import Config, checked
from tqgd_jax.data.prepare import prepare
from tqgd_jax.data.source import open_data


def pack(config: Config, out: Path) -> int:
    """Prepares the data if needed and writes `out`; returns its size in bytes."""
    if out.suffix != ".npz":
        raise ValueError(f"--out must end with .npz, got {out}")
    if config.data.dir.endswith(".npz"):
        raise ValueError(f"data.dir {config.data.dir} is packed already")
    with np.load(prepare(config) / "index.npz", allow_pickle=False) as index:
        arrays = dict(index)
    for part, source in open_data(config).items():
        images = [source.image(i).reshape(-1) for i in range(len(source.names))]
        arrays[f"{part}/pixels"] = np.concatenate(images)
    aside = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        os.replace(aside, out)
    finally:
        aside.unlink(missing_ok=True)
    return out.stat().st_size


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown words {argv[1:]}; settings begin with --config.")
    config: Config = FLAGS.config
    if FLAGS.data_dir:
        config.data.dir = FLAGS.data_dir
    out = Path(FLAGS.out).expanduser()
    try:
        size = pack(checked(config), out)
    except ValueError as error:
        raise SystemExit(f"pack: {error}") from error
    print(f"{out}: {size / 2**20:.1f} MiB")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    # "--config=FILE" or "--config FILE"; not "--config.data.dir=DIR"
    if any(w[:1] == "-" and w.lstrip("-").split("=")[0] == "config" for w in sys.argv):
        config_flags.DEFINE_config_file("config")
    else:
        config_flags.DEFINE_config_dataclass("config", Config())
    flags.DEFINE_string("data_dir", "", "Folder of the data set (config.data.dir).")
    flags.DEFINE_string("out", None, "File to write: *.npz.", required=True)
    app.run(main)
