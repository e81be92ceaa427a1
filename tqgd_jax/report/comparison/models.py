"""Results to compare, found in the folders of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqgd_jax.evaluation import results as assemble
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.io.atomic import ASIDE
from tqgd_jax.report import result_folder
from tqgd_jax.report.comparison import pooling
from tqgd_jax.structures.evaluation_set import EvaluationSet

DEPTH = 2  # folders below a run that may hold results: fold-1/eval-test


class Model(NamedTuple):
    """One model's results.

    Attributes:
      name: of its folder, so long that no other has it.
      folders: of the results; several, when folds were pooled.
      eval_set: what was judged.
      results: see `evaluation.results.results`.
    """

    name: str
    folders: tuple[Path, ...]
    eval_set: EvaluationSet
    results: dict[str, Any]


def load(runs: Sequence[Path], settings: EvaluationSettings) -> list[Model]:
    """The results of each run.

    A run is a folder of results, or a folder with one of them in it, or with several
    that are folds of one cross-validation: these are pooled.

    Args:
      runs: folders.
      settings: for the figures of pooled folds; others are read from `results.json`.

    Raises:
      ValueError: for a folder without results or with several that are no folds, and for
        a folder that is named twice.
    """
    seen: dict[Path, Path] = {}
    models = []
    for run, name in zip(runs, names(runs), strict=True):
        folders = results_of(run)
        for folder in folders:
            if (other := seen.setdefault(folder.resolve(), run)) is not run:
                raise ValueError(
                    f"{run} and {other} are the same results ({folder}); a model is not "
                    "compared with itself"
                )
        if len(folders) == 1:
            models.append(Model(name, folders, *result_folder.read(folders[0])))
            continue
        if whole := [
            f for f in folders if not result_folder.read_results(f)["settings"]["part"]
        ]:
            raise ValueError(
                f"{run}: {len(folders)} results, and {whole[0]} is no fold of several; "
                f"name one of them: {', '.join(map(str, folders[:4]))}"
            )
        models.append(pooled(name, folders, settings))
    return models


def pooled(name: str, folders: Sequence[Path], settings: EvaluationSettings) -> Model:
    """The folds of a cross-validation as one model; ValueError as `pooling.pool`."""
    eval_set = pooling.pool(folders).eval_set
    results = assemble.results(
        eval_set, settings, assemble.evaluators(eval_set, settings)
    )
    return Model(name, tuple(folders), eval_set, results)


def results_of(run: Path) -> tuple[Path, ...]:
    """The folders of results in a run's folder: itself, or some below it."""
    if not run.is_dir():
        why = "is a file" if run.is_file() else "no such folder"
        raise ValueError(f"{run}: {why}; name folders that hold results.json")
    for depth in range(DEPTH + 1):
        pattern = "/".join(["*"] * depth + ["results.json"])
        files = sorted(f for f in run.glob(pattern) if f.parent.name != ASIDE)
        if files:
            return tuple(file.parent for file in files)
    raise ValueError(
        f"{run}: no results.json in it or below; judge the run first, with eval.py or "
        "`tqgd evaluate`"
    )


def names(runs: Sequence[Path]) -> list[str]:
    """The ends of the paths, as short as lets them differ."""
    paths = [run.resolve().parts for run in runs]
    twice = [k for k, path in enumerate(paths) if path in paths[:k]]
    if twice:
        raise ValueError(
            f"{runs[twice[0]]} is named twice; a model is not compared with itself"
        )
    length = next(
        n
        for n in range(1, max(map(len, paths), default=1) + 1)
        if len({path[-n:] for path in paths}) == len(paths)
    )
    return ["/".join(path[-length:]) for path in paths]
