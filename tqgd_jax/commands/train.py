"""Trains a detector: `tqgd train --config=configs/tqgdnet.py --config.data.dir=DIR`.

The same command resumes. `--config.section.field=value` overrides any setting of
`tqgd_jax/config`; `--dry_run` prints what a configuration amounts to.
"""

import json
import shlex
import sys
from pathlib import Path

from absl import flags

from tqgd_jax.commands.line import cli

flags.disclaim_key_flags()


def main() -> None:
    """The command."""
    cli.define_config()
    flags.DEFINE_string("workdir", None, "folder of the run [runs/CONFIG]")
    flags.DEFINE_bool(
        "dry_run",
        False,
        "print one JSON object and exit; as many classes as data.classes names, else one",
    )
    flags.DEFINE_bool(
        "certify_resume",
        False,
        "train 20 steps at once, and 7, kill -9, 13 more; compare every bit, and exit",
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "HOST:PORT of the first of several processes; docs/scaling.md",
    )
    flags.DEFINE_integer("processes", None, "how many processes train together")
    flags.DEFINE_integer("process", None, "which of them this is, from 0")
    flags.DEFINE_bool(
        "distributed", False, "one of several processes that Slurm or Open MPI started"
    )
    cli.run(_main)


def _main(_: list[str]) -> None:
    given, config = flags.FLAGS, cli.config()
    if given.dry_run:
        from tqgd_jax.description import describe

        print(json.dumps(describe(config, max(1, len(config.data.classes))), indent=2))
        return
    folder = Path(given.workdir or f"runs/{cli.config_name()}").absolute()
    if given.certify_resume:
        if given.distributed or given.coordinator:
            raise ValueError("--certify_resume is for one process, not for several")
        import jax

        jax.config.update("jax_platforms", "cpu")  # the device is for the two runs
        from tqgd_jax.training.records import workdir
        from tqgd_jax.training.records.resume_check import certify

        with workdir.claimed(folder):
            print(certify(folder, sys.argv[1:]))
        return

    from tqgd_jax.training.runtime import compile_cache, distributed
    from tqgd_jax.training.train import train

    compile_cache.use_cache()
    with distributed.joined(
        *(given.coordinator, given.processes, given.process),
        automatic=given.distributed,
    ):
        split = train(config, folder)
        if distributed.first():
            place = shlex.quote(str(folder))
            print(
                f"done: {folder}; next: python eval.py --workdir={place} --split={split}"
            )
