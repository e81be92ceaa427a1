"""A run as large as orCaScore's: `python -m bench.speed.longrun --model tqgdnets`.

131 slices of 640 x 640 int16 HU that are made in memory, 200 epochs, batch 4, mosaic,
resident, through `Run.train` with its checkpoints and log: from the first trace to the
last file, so compilation is in it (and no cache of it is used). The goals on a GPU are
60 s for YOLOv5s and 240 s for TQGDNet-s. With `--steps` it stops early and says what
all would take: seconds of the first steps, plus the rest at the median pace.
"""

import json
import logging
import statistics
import tempfile
import time
from pathlib import Path

from bench import flags, scans, tables

COLUMNS = {
    "model": ("model", "{}"),
    "precision": ("precision", "{}"),
    "size": ("px", "{}"),
    "slices": ("slices", "{}"),
    "epochs": ("epochs", "{}"),
    "batch": ("batch", "{}"),
    "steps": ("steps done", "{}"),
    "of": ("of", "{}"),
    "wall_s": ("s, all included", "{:.1f}"),
    "images_per_s": ("images/s, median", "{:.1f}"),
    "whole_s": ("s, all steps", "{:.0f}"),
    "loss": ("loss, first and last epoch or step", "{}"),
}


def measure(args):
    """The row of a run."""
    from tqgd_jax.training.plan import make_plan
    from tqgd_jax.training.train import train

    cfg = scans.config(
        args.model, args.size, args.batch, args.precision,
        epochs=args.epochs, steps=args.steps,
        log_every=1 if args.steps else 10,
    )  # fmt: skip
    source = scans.source(args.slices, args.size)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        train(cfg, folder, {"train": source})
        wall = time.perf_counter() - start
        logs = {
            name: [
                json.loads(x)
                for x in (Path(folder) / f"{name}.jsonl").read_text().splitlines()
            ]
            for name in ("speed", "metrics")
        }
    run = make_plan(cfg, source, validates=False)
    total = args.epochs * run.steps_per_epoch
    rates = [row["images_per_s"] for row in logs["speed"][1:]]  # the first compiles
    pace = statistics.median(rates) if rates else None
    losses = [row["loss"] for row in logs["metrics"] if "loss" in row]
    n = min(run.steps_per_epoch, max(len(losses) // 2, 1))
    row = {
        "steps": run.stop,
        "of": total,
        "wall_s": wall,
        "images_per_s": pace,
        "loss": f"{statistics.mean(losses[:n]):.3f}, {statistics.mean(losses[-n:]):.3f}",
    }
    if run.stop == total:
        return row | {"whole_s": wall}
    if pace is None:
        return row
    rest = (total - run.stop) * args.batch / pace
    note = f"**extrapolated** from {run.stop} steps, later checkpoints left out"
    return row | {"whole_s": wall + rest, "note": note}


def main(argv=None):
    """Prints the row."""
    parser = flags.parser(
        __doc__, model="yolov5s", precision="fp32", size=640, batch=4,
        slices=scans.ORCASCORE, json=None,
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=0, help="stop after; 0: all")
    args = parser.parse_args(argv)
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    logging.getLogger("tqgd_jax").setLevel(logging.WARNING)
    names = ("model", "precision", "size", "slices", "epochs", "batch")
    row = {name: getattr(args, name) for name in names}
    tables.finish([tables.attempt(row, measure, args)], COLUMNS, args.json)


if __name__ == "__main__":
    main()
