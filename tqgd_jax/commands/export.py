"""Writes the weights of a run as one file that needs neither the run nor its data.

tqgd export --workdir RUN --out FILE.safetensors

The file holds EMA weights and batch statistics, settings, anchors, classes, window,
threshold, and where they are from. `tqgd_jax.load(FILE)` and `tqgd predict` read it.
"""

from pathlib import Path

from absl import flags

from tqgd_jax.commands.line import cli

flags.disclaim_key_flags()


def main() -> None:
    """The command."""
    flags.DEFINE_string("workdir", None, "folder of a run of train.py", required=True)
    flags.DEFINE_string("out", None, "file to write: *.safetensors", required=True)
    flags.DEFINE_string(
        "step", None, "checkpoint: its number, or best (in validation) [the newest]"
    )
    cli.run(_main)


def _main(_: list[str]) -> None:
    from tqgd_jax.commands.line.config_flags import make_room
    from tqgd_jax.report.html.numbers import cut
    from tqgd_jax.trained import load

    out = Path(flags.FLAGS.out).expanduser()
    make_room(out)
    predictor = load(flags.FLAGS.workdir, flags.FLAGS.step)
    predictor.save(out)
    size = out.stat().st_size / 2**20
    chosen = "chosen in validation" if predictor.chosen else "not validated"
    print(f"{out}: {size:.1f} MiB, threshold {cut(predictor.threshold)} ({chosen})")
