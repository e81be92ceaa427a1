"""The paper's Fig. 2 and Fig. 8 of a data set of a study, with their captions."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.inputs import image_pixels
from tqgd_jax.evaluation.measures.strata import size_names
from tqgd_jax.report import result_tables, size_histogram
from tqgd_jax.report.html.pixels import Pixels
from tqgd_jax.report.html.slice_selection import grey
from tqgd_jax.study import paper_values
from tqgd_jax.study.figures import difficulty, slices_figure
from tqgd_jax.study.figures.difficulty import Judged, Shown
from tqgd_jax.study.results import EVALUATION, RowResults
from tqgd_jax.study.tables import Table


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


def areas(
    folder: Path, rows: Sequence[RowResults], data: str, remark: str
) -> PaperFigure:
    """Draws the areas of the labelled boxes beside the paper's: Fig. 2.

    From the results of the row that has most runs, of one seed.

    Args:
      folder: where the PNG is written.
      rows: of the data set; one run at least is done.
      data: name of the data set.
      remark: what the figure must say.
    """
    row = max(rows, key=lambda row: len(row.done))
    first = min(seed for seed, _ in row.done)
    done = [results for (seed, _), results in row.done.items() if seed == first]
    of_seed = sum(cell.seed == first for cell in row.cells)
    names = size_names(done[0]["settings"]["size_px"])
    counts = [0] * len(names)
    for results in done:
        of = results["protocols"]
        figures = of["clinical" if "figures" in of["clinical"] else "paper"]["figures"]
        for k, name in enumerate(names):
            counts[k] += round(figures[f"size.px.{name}.boxes"]["value"] or 0)
    other, others = paper_values.AREAS
    bars: dict[str, Sequence[int]] = {data: counts}
    if len(others) == len(names):
        bars[other] = others
    size_histogram.draw(folder / "fig-2.png", bars, names, remark)
    tested = (
        f"{len(done)} of {of_seed} test folds" if len(done) < of_seed else "all folds"
    )
    listed = ", ".join(
        f"{n} of {name} px" for n, name in zip(counts, names, strict=True)
    )
    return PaperFigure(
        "fig-2",
        "Fig. 2: areas of the labelled boxes",
        f"Boxes of {tested}, in the paper's bins: {listed}. {paper_values.AREAS_SOURCE}",
        f"Bars: share of the labelled boxes by area; {listed}.",
        most="44rem",
    )


def slices(
    folder: Path,
    rows: Sequence[RowResults],
    root: Path,
    chosen: Sequence[str],
    remark: str,
) -> tuple[PaperFigure, Table]:
    """Draws slices chosen by difficulty with what each network found in them: Fig. 8.

    Of the first seed alone.

    Args:
      folder: where the PNG is written.
      rows: of the data set.
      root: folder of the study.
      chosen: names of the rows to show; empty: all. The slices are the same.
      remark: what the figure must say.

    Returns:
      The figure, and the same in numbers; the table has no rows where there are no slices.
    """
    name, title = "fig-8", "Fig. 8: slices, and what each network found in them"
    judged = {
        row.row.name: difficulty.read(_evaluations(row, root))
        for row in tqdm(rows, name, unit="row", delay=2)
    }
    judged = {row: of for row, of in judged.items() if of}
    of = difficulty.difficulties([*judged.values()]) if judged else {}
    shown = difficulty.at_quantiles(of)
    columns = [row for row in rows if row.row.name in judged]
    columns = [row for row in columns if not chosen or row.row.name in chosen]
    networks = {row.row.label: judged[row.row.name] for row in columns}
    table = _in_numbers(f"{name}-slices", f"{title}, in numbers", shown, networks)
    if not shown or not networks:
        missing = (
            "there is no slice with a lesion that all networks have judged, each at a "
            "frozen threshold and in the same crop"
        )
        return PaperFigure(name, title, missing=missing), table
    try:
        first = next(iter(networks.values()))
        pixels = _pixels([first[one.name] for one in shown], columns[0])
    except (ValueError, LookupError, OSError) as error:
        return PaperFigure(name, title, missing=f"no pixels: {error}"), table
    slices_figure.draw(folder / f"{name}.png", shown, pixels, networks, remark)
    caption = (
        f"Rows: of {len(of)} slices with a lesion that all {len(judged)} networks have "
        "judged, those at quantiles "
        f"{', '.join(f'{one.quantile:g}' for one in shown)} of difficulty, which is the "
        "number of errors (missed boxes and false alarms at IoU .5), mean over the "
        "networks; equal slices by name. Blue: labels. Red: detections of the fold's own "
        "network, which has not seen the patient, at the threshold that validation chose. "
        "Inset: the box that most networks miss, up to "
        f"{slices_figure.ZOOM:g} times as large as in the slice."
    )
    if left := [row.row.label for row in rows if row.row.name not in judged]:
        caption += f" Not judged yet: {', '.join(left)}."
    alt = f"{len(shown)} slices in rows; labels and {len(networks)} networks in columns"
    alt += ". The table has the numbers."
    wide = 10 * (1 + len(networks))
    return PaperFigure(name, title, caption, alt, wide, f"{2 * wide}rem"), table


def _evaluations(row: RowResults, root: Path) -> list[Path]:
    """Folders of what is done with the first seed."""
    first = row.cells[0].seed
    own = [c for c in row.cells if c.seed == first and (first, c.fold) in row.done]
    return [root / cell.name / EVALUATION for cell in own]


def _in_numbers(
    name: str,
    title: str,
    shown: Sequence[Shown],
    networks: Mapping[str, Mapping[str, Judged]],
) -> Table:
    cells = []
    for one in shown:
        each = [judged[one.name].outcomes for judged in networks.values()]
        texts = [f"{of['found']}, {of['missed']}, {of['false alarm']}" for of in each]
        cells.append([one.name, f"{one.quantile:g}", f"{one.difficulty:.2f}", *texts])
    return Table(
        name,
        title,
        ["", "quantile", "errors a network", *networks],
        cells,
        ["Of each network: boxes found, boxes missed, false alarms."],
    )


def _pixels(shown: Sequence[Judged], row: RowResults) -> list[Float[np.ndarray, "_ _"]]:
    """The slices in the window of the runs, 0 black and 1 white.

    Raises:
      ValueError: there is no such folder, or it holds other files.
      LookupError: names the first slice that is not there.
    """
    images = result_tables.images([one.slice for one in shown], [], (), Path())
    configs = {str(cell.fold): cell.config for cell in row.cells}
    own = [configs.get(i.place.fold, row.cells[0].config) for i in images]
    folder = Path(own[0].data.dir).expanduser()
    if folder.suffix == ".npz":
        tests = [open_data(config)["test"] for config in own]

        def packed(k: int) -> np.ndarray:
            return tests[k].image(tests[k].names.index(images[k].name))

        pixels: Pixels = packed
    else:
        sizes = [(int(one.slice["height"]), int(one.slice["width"])) for one in shown]
        pixels = image_pixels.from_folder(folder, images, sizes)
    seen = []
    for k, (image, config) in enumerate(zip(images, own, strict=True)):
        values = pixels(k)
        window = None if values is None else config.data.window_of(values.dtype)
        drawn = grey(pixels, k, window)
        if drawn is None:
            raise LookupError(f"{folder} has no {image.name}")
        seen.append(drawn)
    return seen
