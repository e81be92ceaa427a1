"""Runs what is missing of a study, one cell after the other, in this process's children."""

import logging
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tqgd_jax.config import Config
from tqgd_jax.data.split import fold_manifest, folds
from tqgd_jax.phantom import dataset as phantom
from tqgd_jax.study import cell as cells
from tqgd_jax.study import study_file
from tqgd_jax.study.design import Cell, DataSet, Study, manifest
from tqgd_jax.study.overrides import overridden

SIMULATED = "simulated.txt"
log = logging.getLogger("tqgd_jax")


def same_folds(study: Study, root: Path) -> None:
    """Makes the folds of each data set once: by patients, balanced, with seed 0.

    Of a data set that is not in `study.json` yet, folds and the note of simulated patients
    may stem from a plan for other data: they are held against the data.

    Raises:
      ValueError: the folder holds another study, the data cannot be read, or the folds
        that are there are others.
    """
    before = study_file.check(study, root)
    settled = [data.name for data in before.data] if before else []
    for data in study.data:
        config = overridden(study.base, data.settings, f"data set {data.name}")
        _folds(data, config, root, held=data.name not in settled)
        folder = Path(config.data.dir).expanduser()
        if data.name not in settled and not phantom.simulated(folder):
            (root / data.name / SIMULATED).unlink(missing_ok=True)
        simulated(config.data.dir, root / data.name)


def _folds(data: DataSet, config: Config, root: Path, *, held: bool) -> None:
    """Makes the folds of a data set; those there are `held` against the data."""
    from tqgd_jax.data.index_dataset import slices

    if not data.folds:
        return
    file = manifest(root, data)
    if file.exists():
        before = fold_manifest.read(file)
        if before.folds != data.folds:
            raise ValueError(
                f"{file} has {before.folds} folds, the study says {data.folds}; give "
                "--folds as before, or another --out"
            )
        if held:
            try:
                folds.check(before, slices(config), file)
            except ValueError as error:
                raise ValueError(
                    f"{error}. Data set {data.name} is {config.data.dir}: give the one "
                    "of before, or another --out"
                ) from error
        return
    log.info("making %d folds of %s", data.folds, data.name)
    made = folds.assign(slices(config), data.folds, 0, "patient")
    file.parent.mkdir(parents=True, exist_ok=True)
    fold_manifest.write(made, file)


def simulated(data_dir: str, folder: Path) -> bool:
    """Whether the patients of a data set are a phantom's.

    Kept in the study's folder of the data set: reports say it when the data have gone.
    """
    note = folder / SIMULATED
    if not note.exists() and phantom.simulated(Path(data_dir).expanduser()):
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text("The patients are simulated (tqgd phantom).\n")
    return note.exists()


def missing(todo: Sequence[Cell], root: Path, *, again: bool) -> list[Cell]:
    """The cells that are not done; those that failed only `again`."""
    leave = ("done",) if again else ("done", "failed")
    return [cell for cell in todo if cells.state(cell, root) not in leave]


def foreground(todo: Sequence[Cell], root: Path) -> None:
    """Runs the cells in order; one that fails does not end the others.

    Raises:
      Interrupted: a signal came; what was done is saved.
    """
    for cell in tqdm(todo, "study", unit="cell"):
        log.info("%s", cell.name)
        try:
            cells.run(cell, root)
        except cells.Failed as error:
            log.warning("%s", error)
