"""What is done of a study: results of each cell, and of whole rows, folds pooled."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from tqdm import tqdm

from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder
from tqgd_jax.report.comparison import models
from tqgd_jax.report.comparison.models import Model
from tqgd_jax.study import cell as cells
from tqgd_jax.study.design import Cell, Row, Study

EVALUATION = Path(cells.RESULTS).parent


@dataclasses.dataclass(frozen=True)
class RowResults:
    """A row on a data set.

    Attributes:
      row: which.
      cells: that it has.
      done: results of each of them that is done, by seed and fold.
      pooled: by seed, all folds as one; of seeds whose folds are all done.
    """

    row: Row
    cells: Sequence[Cell]
    done: dict[tuple[int, int], dict[str, Any]]
    pooled: dict[int, Model]

    @property
    def whole(self) -> bool:
        """Whether every cell is done."""
        return len(self.done) == len(self.cells)


def read(
    study: Study, root: Path, settings: EvaluationSettings
) -> dict[str, list[RowResults]]:
    """The rows of each data set, in the order of the study."""
    by_row: dict[tuple[str, str], list[Cell]] = {}
    for cell in study.cells(root):
        by_row.setdefault((cell.data, cell.row), []).append(cell)
    return {
        data.name: [
            _row(row, by_row[data.name, row.name], root, settings)
            for row in tqdm(study.rows, f"read {data.name}", unit="row", delay=2)
        ]
        for data in study.data
    }


def _row(
    row: Row, own: list[Cell], root: Path, settings: EvaluationSettings
) -> RowResults:
    folders = {
        (cell.seed, cell.fold): root / cell.name / EVALUATION
        for cell in own
        if cells.state(cell, root) == "done"
    }
    done = {at: _sound(folder, root) for at, folder in folders.items()}
    pooled = {}
    for seed in dict.fromkeys(cell.seed for cell in own):
        of_seed = [c for c in own if c.seed == seed]
        parts = [folders[c.seed, c.fold] for c in of_seed if (seed, c.fold) in folders]
        if len(parts) == len(of_seed):
            pooled[seed] = models.pooled(row.label, parts, settings)
    return RowResults(row, own, done, pooled)


def _sound(folder: Path, root: Path) -> dict[str, Any]:
    try:
        return result_folder.read_results(folder)
    except ValueError as error:
        raise ValueError(
            f"{error}. Remove {folder}, and `tqgd study run --out {quote(str(root))}` "
            "judges it again"
        ) from error
