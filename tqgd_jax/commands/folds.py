"""Writes a manifest of patient folds: each slice's patient, fold and SHA-256.

tqgd folds --data_dir DIR --out FOLDS.json [--folds 5]
    [--seed 0] [--level patient] [--config=configs/x.py] [--config.data.group=...]

Then train with `--config.data.split=FOLDS.json --config.data.fold=1`. `--level slice`
lets patients leak, to measure what that is worth; every result then says so.
"""

from pathlib import Path

from absl import flags

from tqgd_jax.commands.line import config_flags
from tqgd_jax.config import Config
from tqgd_jax.data.split import fold_manifest, folds


def make(
    config: Config, out: Path, count: int, seed: int, level: str
) -> fold_manifest.Manifest:
    """Reads every scan or image, writes the manifest, returns it."""
    from tqgd_jax.data.index_dataset import slices

    if out.suffix != ".json":
        raise ValueError(f"--out must end with .json, got {out}")
    if out.exists():
        raise ValueError(
            f"{out} is there already; folds that results were made with are not "
            "replaced. Choose another name, or remove it"
        )
    config_flags.make_room(out)
    manifest = folds.assign(slices(config), count, seed, level)
    fold_manifest.write(manifest, out)
    return manifest


def _main(config: Config, out: Path) -> None:
    made = make(config, out, FLAGS.folds, FLAGS.seed, FLAGS.level)
    for k, fold in enumerate(made.summary, 1):
        print(
            f"fold {k}: {fold.patients} patients, {fold.slices} slices, "
            f"{fold.positive_slices} with calcium, {fold.load:.0f} mm2, {fold.scanners}"
        )
    print(f"{out}" + (f": {folds.disclaimer(made)}" if folds.disclaimer(made) else ""))


FLAGS = flags.FLAGS


def main() -> None:
    """The command."""
    config_flags.define("File to write: *.json.")
    flags.DEFINE_integer("folds", 5, "Number of folds; the paper's 4:1 is fold 1 of 5.")
    flags.DEFINE_integer("seed", 0, "Decides among equally balanced folds.")
    flags.DEFINE_enum("level", "patient", fold_manifest.LEVELS, "What stays whole.")
    config_flags.run(_main)
