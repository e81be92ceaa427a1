"""Writes a manifest of patient folds: each slice's patient, fold and SHA-256.

python -m tqgd_jax.data.make_folds --data_dir DIR --out FOLDS.json [--folds 5]
    [--seed 0] [--level patient] [--config=configs/x.py] [--config.data.group=...]

Then train with `--config.data.split=FOLDS.json --config.data.fold=1`. `--level slice`
lets patients leak, to measure what that is worth; every result then says so.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from tqgd_jax.config import Config, checked
from tqgd_jax.data import cohort, ct, folds, image_folder


def make(
    config: Config, out: Path, count: int, seed: int, level: str
) -> folds.Manifest:
    """Reads every scan or image, writes the manifest, returns it."""
    if out.suffix != ".json":
        raise ValueError(f"--out must end with .json, got {out}")
    if out.exists():
        raise ValueError(
            f"{out} is there already; folds that results were made with are not "
            "replaced. Choose another name, or remove it"
        )
    found = cohort.find(config.data)
    every = image_folder.slices(config) if found is None else ct.slices(config, found)
    manifest = folds.assign(every, count, seed, level)
    folds.write(manifest, out)
    return manifest


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown words {argv[1:]}; settings begin with --config.")
    config: Config = FLAGS.config
    if FLAGS.data_dir:
        config.data.dir = FLAGS.data_dir
    out = Path(FLAGS.out).expanduser()
    try:
        made = make(checked(config), out, FLAGS.folds, FLAGS.seed, FLAGS.level)
    except ValueError as error:
        raise SystemExit(f"make_folds: {error}") from error
    for k, fold in enumerate(made.summary, 1):
        print(
            f"fold {k}: {fold.patients} patients, {fold.slices} slices, "
            f"{fold.positive_slices} with calcium, {fold.load:.0f} mm2, {fold.scanners}"
        )
    print(f"{out}" + (f": {folds.stamp(made)}" if folds.stamp(made) else ""))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    # "--config=FILE" or "--config FILE"; not "--config.data.dir=DIR"
    if any(w[:1] == "-" and w.lstrip("-").split("=")[0] == "config" for w in sys.argv):
        config_flags.DEFINE_config_file("config")
    else:
        config_flags.DEFINE_config_dataclass("config", Config())
    flags.DEFINE_string("data_dir", "", "Folder of the data set (config.data.dir).")
    flags.DEFINE_string("out", None, "File to write: *.json.", required=True)
    flags.DEFINE_integer("folds", 5, "Number of folds; the paper's 4:1 is fold 1 of 5.")
    flags.DEFINE_integer("seed", 0, "Decides among equally balanced folds.")
    flags.DEFINE_enum("level", "patient", folds.LEVELS, "What stays whole.")
    app.run(main)
