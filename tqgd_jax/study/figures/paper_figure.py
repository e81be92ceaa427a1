"""A figure of the paper in the report of a study, or why there is none."""

import dataclasses

from tqgd_jax.study.design import Cell
from tqgd_jax.study.results import RowResults


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """A figure, or why there is none.

    Attributes:
      name: of its file, without ".png".
      title: first words of the caption.
      caption: the others.
      alt: what a reader who cannot see it must know.
      least: width on the page below which it is scrolled, rem.
      most: greatest width on the page, as css has it.
      missing: why it could not be drawn; empty when it is there.
    """

    name: str
    title: str
    caption: str = ""
    alt: str = ""
    least: int = 0
    most: str = "none"
    missing: str = ""


def first_seed(row: RowResults) -> list[Cell]:
    """The cells that are done with the first seed of the study."""
    first = row.cells[0].seed
    own = [cell for cell in row.cells if cell.seed == first]
    return [cell for cell in own if (first, cell.fold) in row.done]


def planned_folds(row: RowResults) -> set[int]:
    """Folds that the study asks for."""
    return {cell.fold for cell in row.cells}


def folds_text(folds: set[int], planned: set[int]) -> str:
    """Which folds, such as "all folds" or "folds 1 and 2 of 5"."""
    if planned == {0}:
        return "the data set's own test split"
    if folds == planned:
        return "all folds"
    *others, last = map(str, sorted(folds))
    listed = f"folds {', '.join(others)} and {last}" if others else f"fold {last}"
    return f"{listed} of {len(planned)}"
