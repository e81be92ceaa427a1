"""Compares networks over folds, seeds and data sets: `tqgd study run --out STUDY`.

Each cell of the study is an ordinary run. Killed at any moment, the same command goes on.
docs/study.md.
"""

import argparse
import logging
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tqgd_jax.commands.line import plain
from tqgd_jax.commands.line.config_flags import INSTALLED

if TYPE_CHECKING:
    from tqgd_jax.study.design import Cell, Study

logger = logging.getLogger("tqgd_jax")
ENGINES = ("foreground", "ray", "slurm")
SETTING = "--config."
EPILOG = """
tqgd study plan   --config paper:phantom --data gated=runs/phantom-gated --out runs/study
tqgd study run    --config paper:phantom --data gated=runs/phantom-gated --out runs/study
tqgd study status --out runs/study     what is done, running, failed, missing
tqgd study list   --out runs/study     a shell command for each cell that is not done
tqgd study report --out runs/study     tables and pages of what is done
"""


def main(argv: list[str] | None = None) -> int:
    """Parses the command line; returns the exit status."""
    parser = _parser()
    args, more = parser.parse_known_args(argv)
    args.settings = [word.removeprefix(SETTING) for word in more]
    if others := [word for word in more if not word.startswith(SETTING)]:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    actions = {
        "plan": _plan,
        "run": _run,
        "status": _status,
        "list": _list,
        "cell": _cell,
        "report": _report,
    }
    return plain.run(actions[args.action], args)


def _parser() -> argparse.ArgumentParser:
    parser = plain.parser("study", __doc__, EPILOG)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=text)
        added.add_argument(
            "--out", type=Path, required=True, help="folder of the study"
        )
        return added

    def narrowed(name: str, text: str) -> argparse.ArgumentParser:
        added = action(name, text)
        words = "of these rows, folds, seeds, data sets"
        added.add_argument("--only", nargs="+", default=[], help=words)
        return added

    def designed(name: str, text: str) -> argparse.ArgumentParser:
        added = narrowed(name, text)
        add = added.add_argument
        add(
            "--config",
            metavar="FILE[:PRESET]",
            help="[the study in --out]; --config.train.epochs=20 changes all rows",
        )
        add("--data", nargs="+", metavar="NAME=DIR", help="these data sets alone")
        add("--folds", type=int, help="of each data set; 0: its own split")
        add("--seeds", type=int, nargs="+", help="a run of each row for each of them")
        return added

    plan = designed("plan", "what would run: size, time, disk, and what it can show")
    plan.add_argument("--steps", type=int, default=3, help="timed steps a row")
    plan.add_argument(
        "--spread", type=float, help="SD between patients of a difference of AP50"
    )
    run = designed("run", "runs what is missing")
    run.add_argument("--again", action="store_true", help="also what has failed")
    run.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    run.add_argument("--address", help="of a Ray cluster [one on this machine]")
    run.add_argument(
        "--gpus", type=float, help="of a cell: ray [1 if there are], slurm [none]"
    )
    run.add_argument("--cpus", type=float, default=1, help="of a cell: ray, slurm [1]")
    run.add_argument("--submit", action="store_true", help="slurm: submits the array")
    action("status", "what is done, running, failed, missing")
    narrowed("list", "a shell command for each cell that is not done")
    action("cell", "runs one cell").add_argument("name", help="DATA/ROW/fold-K/seed-S")
    report = action("report", "tables and pages of what is done")
    report.add_argument("--bootstraps", type=int, default=2000, help="resamples [2000]")
    report.add_argument("--repeats", type=int, default=10_000, help="exchanges [10000]")
    report.add_argument("--rows", nargs="+", default=[], help="that Fig. 8 shows [all]")
    return parser


def _designed(args: argparse.Namespace) -> "Study":
    """The study of the command line, or the one that is in the folder."""
    import dataclasses

    from tqgd_jax.study import overrides, study_file

    if args.config is None:
        study = study_file.read(args.out)
        if args.data or args.seeds or args.settings or args.folds is not None:
            raise ValueError("--data, --folds, --seeds and settings need --config")
        return study
    name, _, preset = args.config.partition(":")
    study = study_file.load(_file(name), preset, INSTALLED)
    folders = {data.name: data.settings["data.dir"] for data in study.data}
    if args.data:
        pairs = [word.partition("=") for word in args.data]
        for name, equals, folder in pairs:
            if not (name and equals and folder):
                raise ValueError(f"--data: NAME=DIR, got {name + equals + folder!r}")
        folders = {name: folder for name, _, folder in pairs}
    # a cell runs in any folder, and on another machine
    study = study.with_data(
        {n: str(Path(dir).expanduser().absolute()) for n, dir in folders.items()}
    )
    if args.folds is not None:
        sets = [dataclasses.replace(d, folds=args.folds) for d in study.data]
        study = dataclasses.replace(study, data=tuple(sets))
    if args.seeds:
        study = dataclasses.replace(study, seeds=tuple(args.seeds))
    settings = overrides.parsed(study.base, args.settings)
    return dataclasses.replace(
        study, base=overrides.overridden(study.base, settings, "--config")
    )


def _file(name: str) -> str:
    """`paper` and `configs/paper.py` name a file that is installed."""
    if Path(name).is_file():
        return name
    files = [(folder / Path(name).name).with_suffix(".py") for folder in INSTALLED]
    return str(next((file for file in files if file.is_file()), name))


def _plan(args: argparse.Namespace) -> int:
    from tqgd_jax.study import plan

    print(plan.text(_designed(args), args.out, args.steps, args.spread, args.only))
    return 0


def _run(args: argparse.Namespace) -> int:
    from tqgd_jax.study import design, study_file
    from tqgd_jax.study import run as runs
    from tqgd_jax.study.cell import Interrupted
    from tqgd_jax.study.engines import ray_cluster, slurm_array

    study = _designed(args)
    chosen = design.chosen(study, args.out, args.only)
    runs.same_folds(study, args.out)
    study_file.write(study, args.out)
    todo = runs.missing(chosen, args.out, again=args.again)
    logger.info("%d cells to run", len(todo))
    try:
        if args.engine == "ray":
            ray_cluster.run(todo, args.out, args.address, args.cpus, args.gpus)
        elif args.engine == "slurm":
            print(
                slurm_array.submit(
                    todo, args.out, args.cpus, args.gpus, now=args.submit
                )
            )
            return 0
        else:
            runs.foreground(todo, args.out)
    except Interrupted as error:
        print(error, file=sys.stderr)
        return error.status
    return _status(args)


def _states(args: argparse.Namespace) -> "list[tuple[Cell, str]]":
    from tqgd_jax.study import cell, study_file

    study = study_file.read(args.out)
    return [(each, cell.state(each, args.out)) for each in study.cells(args.out)]


def _status(args: argparse.Namespace) -> int:
    """Prints how far the study is; 1 if a cell has failed."""
    from tqgd_jax.study.cell import failure

    states = _states(args)
    rows: dict[tuple[str, str], Counter[str]] = {}
    for cell, state in states:
        rows.setdefault((cell.data, cell.row), Counter())[state] += 1
    names = ("done", "running", "stopped", "failed", "missing")
    widths = [max(len(n) for n in column) for column in zip(*rows, strict=True)]
    print(" ".join([*(f"{'':{w}}" for w in widths), *(f"{n:>8}" for n in names)]))
    for (data, row), count in rows.items():
        words = [f"{data:{widths[0]}}", f"{row:{widths[1]}}"]
        print(" ".join([*words, *(f"{count[n] or '-':>8}" for n in names)]))
    failed = [cell for cell, state in states if state == "failed"]
    for cell in failed:
        print(f"failed: {cell.name}: {failure(cell, args.out)}")
    if failed:
        print("`tqgd study run --again` runs once more what has failed")
    return int(bool(failed))


def _list(args: argparse.Namespace) -> int:
    from tqgd_jax.study import cell, design, study_file
    from tqgd_jax.study import run as runs

    todo = design.chosen(study_file.read(args.out), args.out, args.only)
    for each in runs.missing(todo, args.out, again=True):
        print(shlex.join(cell.words(each, args.out)))
    return 0


def _cell(args: argparse.Namespace) -> int:
    from tqgd_jax.study import cell, study_file

    by_name = {each.name: each for each in study_file.read(args.out).cells(args.out)}
    if args.name not in by_name:
        raise ValueError(
            f"{args.out} has no cell {args.name!r}; `tqgd study list` prints them, such "
            f"as {next(iter(by_name))}"
        )
    try:
        cell.run(by_name[args.name], args.out)
    except cell.Interrupted as error:
        print(error, file=sys.stderr)
        return error.status
    except cell.Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _report(args: argparse.Namespace) -> int:
    from tqgd_jax.study import report

    folder = report.make(args.out, args.bootstraps, args.repeats, args.rows)
    print(f"written to {folder}; open {folder / 'report.html'}")
    return 0
