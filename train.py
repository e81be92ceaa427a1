"""Trains a detector: `python train.py --config=configs/tqgdnet.py --config.data.dir=DIR`.

The same command resumes. `--config.section.field=value` overrides any setting of
`tqgd_jax/config`; `--dry_run` prints what a configuration amounts to.
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

from absl import flags

from tqgd_jax.commands import cli
from tqgd_jax.config import Config

cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run [runs/CONFIG]")
DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "print one JSON object and exit; as many classes as data.classes names, else one",
)
CERTIFY = flags.DEFINE_bool(
    "certify_resume",
    False,
    "train 20 steps at once, and 7, kill -9, 13 more; compare every bit, and exit",
)
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of the first of several processes; docs/scaling.md"
)
PROCESSES = flags.DEFINE_integer("processes", None, "how many processes train together")
PROCESS = flags.DEFINE_integer("process", None, "which of them this is, from 0")
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "one of several processes that Slurm or Open MPI started"
)


def main(_: list[str]) -> None:
    """Config, data, run."""
    config = cli.config()
    if DRY_RUN.value:
        from tqgd_jax.commands.dry_run import describe

        print(json.dumps(describe(config, max(1, len(config.data.classes))), indent=2))
        return
    folder = Path(WORKDIR.value or f"runs/{cli.config_name()}").absolute()
    if CERTIFY.value:
        if DISTRIBUTED.value or COORDINATOR.value:
            raise ValueError("--certify_resume is for one process, not for several")
        import jax

        jax.config.update("jax_platforms", "cpu")  # the device is for the two runs
        from tqgd_jax.training.records import workdir
        from tqgd_jax.training.records.resume_check import certify

        with workdir.claimed(folder):
            print(certify(folder, sys.argv[1:]))
        return

    from tqgd_jax.training.runtime import compile_cache, distributed

    compile_cache.use_cache()
    with distributed.joined(
        *(COORDINATOR.value, PROCESSES.value, PROCESS.value),
        automatic=DISTRIBUTED.value,
    ):
        _train(config, folder)


def _train(config: Config, folder: Path) -> None:
    from tqgd_jax.data import dataset
    from tqgd_jax.data.open import open_data
    from tqgd_jax.training.records import workdir
    from tqgd_jax.training.run import Run
    from tqgd_jax.training.runtime import distributed

    splits = open_data(config)
    train = dataset.required(splits, "train", config)
    if train.disclaimer:
        print(f"NOT A RESULT: {train.disclaimer}", file=sys.stderr)
    with workdir.claimed(folder) if distributed.first() else nullcontext():
        # What cannot work is refused before anything is written.
        run = Run(config, train, splits.get("val"))
        distributed.same(config, run.facts())
        if distributed.first():
            workdir.record(folder, config, run.facts())
        run.train(folder)
    judged = "test" if "test" in splits else "val" if "val" in splits else "train"
    if distributed.first():
        print(
            f"done: {folder}; next: python eval.py --workdir={folder} --split={judged}"
        )


if __name__ == "__main__":
    cli.run(main)
