"""What a study would take, and what it could show, before anything of it runs."""

import dataclasses
import hashlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tqgd_jax.data.split import fold_manifest
from tqgd_jax.evaluation import paired
from tqgd_jax.evaluation.paired import Drawn
from tqgd_jax.io import atomic
from tqgd_jax.report.comparison import pooling
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.study import cell as cells
from tqgd_jax.study.design import Cell, Study, chosen, manifest
from tqgd_jax.study.effects import KEY, LEVEL, detectable, patients_for
from tqgd_jax.study.run import same_folds

NETWORKS = "networks.json"
TENSORS = 3  # of a checkpoint for each parameter: itself, its average, its momentum
GAINS = (0.01, 0.02, 0.04)  # of AP50, as the paper has them
RESAMPLES = Drawn(bootstraps=2000, repeats=1, seed=0)


def measured(todo: Iterable[Cell], root: Path, steps: int) -> dict[str, dict[str, Any]]:
    """What `pilot.measure` says of each row, on the first of its cells.

    Kept in `networks.json`, with the name of the data set as `data`; what stands there is
    measured again only when settings have changed.

    Raises:
      ValueError: a row cannot be trained; its own message.
    """
    if steps < 1:
        raise ValueError(f"--steps must be 1 or more, got {steps}")
    known = measured_before(root)
    first: dict[str, Cell] = {}
    for cell in todo:
        first.setdefault(cell.row, cell)
    for name, cell in tqdm(first.items(), "measure", unit="row"):
        settings = json.dumps(dataclasses.asdict(cell.config), sort_keys=True)
        of = {"data": cell.data, "of": hashlib.sha256(settings.encode()).hexdigest()}
        if not of.items() <= known.get(name, {}).items():
            known[name] = _pilot(cell, root, steps) | of
            with atomic.file(root / NETWORKS) as partial:
                partial.write_text(json.dumps(known, indent=1) + "\n")
    return known


def measured_before(root: Path) -> dict[str, dict[str, Any]]:
    """What stands in `networks.json`, by row."""
    path = root / NETWORKS
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _pilot(cell: Cell, root: Path, steps: int) -> dict[str, Any]:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.json"
        settings.write_text(json.dumps(dataclasses.asdict(cell.config)))
        done = subprocess.run(
            [sys.executable, "-m", "tqgd_jax.study.pilot", str(settings), str(steps)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise ValueError(f"row {cell.row}: {' '.join(last)}")
    return json.loads(done.stdout.splitlines()[-1])


def text(
    study: Study,
    root: Path,
    steps: int,
    spread: float | None,
    only: Sequence[str] = (),
) -> str:
    """The plan for the terminal.

    Args:
      study: what is planned.
      root: its folder.
      steps: to time of each row.
      spread: SD between patients of a difference of AP50; None takes the largest that
        `piloted` finds.
      only: cells, as of `design.chosen`. What the study can show is told of all cells
        of their first data set.
    """
    todo = chosen(study, root, only)
    same_folds(study, root)
    networks = measured(todo, root, steps)
    planned = [data for data in study.data if data.name == todo[0].data]
    study = dataclasses.replace(study, data=(planned[0],))
    left = [c for c in todo if cells.state(c, root) != "done"]
    header = (
        f"{'row':12}{'parameters':>12}{'GFLOPs':>9}{'s a step':>10}{'s an epoch':>12}"
    )
    lines = [header + f"{'compile s':>11}{'cells left':>12}{'hours':>8}"]
    total = disk = 0.0
    for row in dict.fromkeys(c.row for c in todo):
        network = networks[row]
        own = [c for c in left if c.row == row]
        seconds = sum(network["epoch_s"] * c.config.train.epochs for c in own)
        seconds += network["compile_s"] * bool(own)
        total += seconds
        checkpoints = 1 + max((c.config.train.keep for c in own), default=0)
        disk += len(own) * checkpoints * TENSORS * 4 * network["parameters"]
        lines.append(
            f"{row:12}{network['parameters']:>12,}{network['gflops']:>9.2f}"
            f"{network['step_s']:>10.3f}{network['epoch_s']:>12.1f}"
            f"{network['compile_s']:>11.1f}{len(own):>12}{seconds / 3600:>8.2f}"
        )
    free = shutil.disk_usage(root).free
    lines += [
        "",
        f"{len(left)} of {len(todo)} cells are left: about {total / 3600:.1f} hours one "
        f"after the other on this machine, all as on {todo[0].data}, without starts "
        "and evaluations; "
        f"{disk / 2**30:.2f} GiB of checkpoints, {free / 2**30:.0f} GiB are free",
    ]
    if disk > free:
        lines.append(f"NOT ENOUGH ROOM in {root}: choose another disk for --out")
    pilot = {} if spread is not None else piloted(study, root)
    for name, (sd, patients) in pilot.items():
        lines.append(
            f"done already: {name} minus {study.reference}, SD between {patients} "
            f"patients {sd:.3f}"
        )
    spread = max((sd for sd, _ in pilot.values()), default=spread)
    patients = _patients(study, root, networks[todo[0].row]["patients"])
    return "\n".join([*lines, *_power(study, patients, spread)])


def piloted(study: Study, root: Path) -> dict[str, tuple[float, int]]:
    """SD between patients of a difference of AP50 to the reference, by row.

    From the folds of the first data set and seed that the row and the reference have done,
    with their patients; rows whose SD cannot be told are left out.
    """
    done: dict[str, dict[int, Path]] = {}
    for cell in study.cells(root):
        first = cell.data == study.data[0].name and cell.seed == study.seeds[0]
        if first and cells.state(cell, root) == "done":
            folder = (root / cell.name / cells.RESULTS).parent
            done.setdefault(cell.row, {})[cell.fold] = folder
    base, spreads = done.pop(study.reference, {}), {}

    @cache  # the reference is read once for all rows
    def pooled(folders: tuple[Path, ...]) -> EvaluationSet:
        return pooling.pool(folders).eval_set

    for row, folders in done.items():
        if not (both := sorted(base.keys() & folders.keys())):
            continue
        a, b = (pooled(tuple(of[k] for k in both)) for of in (folders, base))
        difference = paired.differences(
            *(a.images, a.thresholds, b.images, b.thresholds, a.classes),
            [KEY],
            RESAMPLES,
        )[KEY]
        if not math.isnan(sd := difference.sd):
            spreads[row] = (sd, difference.patients)
    return spreads


def _patients(study: Study, root: Path, measured: int) -> int:
    """Of the first data set; those without a lesion are judged too.

    `measured` is what counts without folds.
    """
    file = manifest(root, study.data[0])
    if file.exists():
        slices = fold_manifest.read(file).slices
        return len({entry.patient for entry in slices.values()})
    return measured


def _power(study: Study, patients: int, spread: float | None) -> list[str]:
    """What can be shown with the patients of the first data set."""
    rows = len(study.rows) - 1
    first = f"{study.data[0].name}: {patients} patients"
    if spread is None:
        return [
            f"{first}; the smallest difference that they can show is told once a row "
            f"and {study.reference} have done a fold, or by --spread, the SD between "
            "patients of a difference of AP50"
        ]
    if not spread > 0:
        raise ValueError(f"--spread must be above 0, got {spread}")
    alpha = 1 - LEVEL
    single, holm = (
        detectable(spread, patients, a) for a in (alpha, alpha / max(rows, 1))
    )
    lines = [
        f"{first}, SD of a difference {spread:g}: the smallest difference of AP50 that "
        f"shows with 80 % power is {single:.3f}, or {holm:.3f} as the first of {rows} "
        "after Holm"
    ]
    return lines + [
        f"  a gain of {gain:.2f} needs {patients_for(gain, spread):,} patients"
        for gain in GAINS
    ]
