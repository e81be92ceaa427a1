"""Fig. 2: the areas of the labelled boxes of a data set, with its caption."""

from collections.abc import Sequence
from pathlib import Path

from tqgd_jax.evaluation.measures.size_strata import size_names
from tqgd_jax.report import size_histogram
from tqgd_jax.study import paper_values
from tqgd_jax.study.figures.paper_figure import (
    PaperFigure,
    first_seed,
    folds_text,
    planned_folds,
)
from tqgd_jax.study.results import RowResults


def areas(
    folder: Path, rows: Sequence[RowResults], data: str, remark: str
) -> PaperFigure:
    """Draws the areas of the labelled boxes beside the paper's: Fig. 2.

    From the results of the row that has most runs, of the first seed.

    Args:
      folder: where the PNG is written.
      rows: of the data set.
      data: name of the data set.
      remark: what the figure must say of the data set.
    """
    name, title = "fig-2", "Fig. 2: areas of the labelled boxes"
    by_row = [first_seed(row) for row in rows]
    cells = max(by_row, key=len)
    seed = rows[0].cells[0].seed
    if not cells:
        return PaperFigure(name, title, missing=f"no run with seed {seed} is done")
    row = rows[by_row.index(cells)]
    done = [row.done[cell.seed, cell.fold] for cell in cells]
    names = size_names(done[0]["settings"]["size_px"])
    counts = [0] * len(names)
    for results in done:
        of = results["protocols"]
        figures = of["clinical" if "figures" in of["clinical"] else "paper"]["figures"]
        for k, px in enumerate(names):
            counts[k] += round(figures[f"size.px.{px}.boxes"]["value"] or 0)
    other, others = paper_values.AREAS
    bars: dict[str, Sequence[int]] = {data: counts}
    if len(others) == len(names):
        bars[other] = others
    own = remark.replace("Simulated", "simulated", 1)
    size_histogram.draw(folder / f"{name}.png", bars, names, own)
    tested = folds_text({cell.fold for cell in cells}, planned_folds(row))
    listed = ", ".join(f"{n} of {px} px" for n, px in zip(counts, names, strict=True))
    return PaperFigure(
        name,
        title,
        f"Boxes of {tested}, in the paper's bins: {listed}. {paper_values.AREAS_SOURCE}",
        f"Bars: share of the labelled boxes by area; {listed}.",
        most="44rem",
    )
