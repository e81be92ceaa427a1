"""Fig. 8: slices by difficulty, a column for each network, with its caption."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.inputs import image_pixels
from tqgd_jax.report import result_tables
from tqgd_jax.report.html.pixels import Pixels
from tqgd_jax.report.html.slice_selection import grey
from tqgd_jax.structures.thresholds import POINT_TAU
from tqgd_jax.study.figures import difficulty, slices_figure
from tqgd_jax.study.figures.difficulty import Judged, Shown
from tqgd_jax.study.figures.paper_figure import (
    PaperFigure,
    first_seed,
    folds_text,
    planned_folds,
)
from tqgd_jax.study.results import EVALUATION, RowResults
from tqgd_jax.study.tables import Table


def slices(
    folder: Path,
    rows: Sequence[RowResults],
    root: Path,
    chosen: Sequence[str],
    remark: str,
) -> tuple[PaperFigure, Table]:
    """Draws slices chosen by difficulty with what each network found in them: Fig. 8.

    Of the first seed alone. Networks that have less than half of the folds of the one with
    most are left out: with them, few slices would be common to all.

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
    titles = _titles(rows)
    of_rows = [
        _Network(row, title, _judged(row, root))
        for row, title in zip(tqdm(rows, name, delay=2), titles, strict=True)
    ]
    compared, remarks = _enough_folds(of_rows)
    of = difficulty.difficulties([one.slices for one in compared]) if compared else {}
    shown = difficulty.at_quantiles(of)
    columns = [n for n in compared if not chosen or n.row.row.name in chosen]
    networks = [one.slices for one in columns]
    table = _in_numbers(f"{name}-slices", f"{title}, in numbers", shown, columns)
    seed = rows[0].cells[0].seed
    if not shown or not networks:
        missing = (
            f"with seed {seed} there is no slice with a lesion that all networks have "
            "judged, each at a frozen threshold and in the same crop"
        )
        if shown:
            missing = "none of the networks that were asked for can be shown"
        missing = " ".join([f"{missing}.", *remarks]).rstrip(".")
        return PaperFigure(name, title, missing=missing), table
    try:
        pixels = _pixels([networks[0][one.name] for one in shown], columns[0].row)
    except (ValueError, LookupError, OSError) as error:
        return PaperFigure(name, title, missing=f"no pixels: {error}"), table
    slices_figure.draw(
        folder / f"{name}.png",
        shown,
        pixels,
        [one.title for one in columns],
        networks,
        remark,
    )
    common = set.intersection(*(set(one.folds) for one in compared))
    own_split = common == {0}
    network = "the network" if own_split else "the fold's own network"
    unseen = "" if own_split else ", which has not seen the patient,"
    caption = (
        f"Rows: of {len(of)} slices with a lesion that {_all(len(compared))} judged with "
        f"seed {seed} ({folds_text(common, planned_folds(rows[0]))}), those at quantiles "
        f"{', '.join(f'{one.quantile:g}' for one in shown)} of difficulty, which is the "
        "number of errors (missed boxes and false alarms at IoU .5), mean over the "
        f"networks; equal slices by name. Blue: labels. Red: detections of {network}"
        f"{unseen} at the threshold that validation chose, of a segmentation the "
        f"components of p >= {POINT_TAU}. "
        "Inset: the box that most networks miss, up to "
        f"{slices_figure.ZOOM:g} times as large as in the slice."
    )
    caption = " ".join([caption, *remarks])
    alt = f"{len(shown)} slices in rows; labels and {len(networks)} networks in columns"
    alt += ". The table has the numbers."
    wide = 10 * (1 + len(networks))
    return PaperFigure(name, title, caption, alt, wide, f"{2 * wide}rem"), table


class _Network(NamedTuple):
    """A row, its title, and the slices that it judged at a frozen threshold, by fold."""

    row: RowResults
    title: str
    folds: Mapping[int, Mapping[str, Judged]]

    @property
    def slices(self) -> dict[str, Judged]:
        """Of all folds, by name."""
        return {name: one for of in self.folds.values() for name, one in of.items()}


def _judged(row: RowResults, root: Path) -> dict[int, dict[str, Judged]]:
    """By fold, what is done with the first seed and has a frozen threshold."""
    of = {
        cell.fold: difficulty.read([root / cell.name / EVALUATION])
        for cell in first_seed(row)
    }
    return {fold: judged for fold, judged in of.items() if judged}


def _enough_folds(networks: Sequence[_Network]) -> tuple[list[_Network], list[str]]:
    """Networks whose slices are compared, and what the caption says of folds and others."""
    most = max(len(one.folds) for one in networks)
    compared = [one for one in networks if most and 2 * len(one.folds) >= most]
    union = {fold for one in compared for fold in one.folds}
    groups = {
        "Folds are limited by": [one for one in compared if union - one.folds.keys()],
        "Left out, with less than half of the folds of another network": [
            one for one in networks if one.folds and one not in compared
        ],
        "Judged without a frozen threshold": [
            one for one in networks if not one.folds and first_seed(one.row)
        ],
        "Not judged yet": [one for one in networks if not first_seed(one.row)],
    }
    remarks = []
    for text, of in groups.items():
        names = [one.title for one in of]
        if text.startswith(("Folds", "Left")):
            names = [
                f"{name} ({len(one.folds)} of {len(planned_folds(one.row))} folds)"
                for name, one in zip(names, of, strict=True)
            ]
        if names:
            remarks.append(f"{text}: {', '.join(names)}.")
    return compared, remarks


def _all(networks: int) -> str:
    return "the network" if networks == 1 else f"all {networks} networks"


def _titles(rows: Sequence[RowResults]) -> list[str]:
    """Labels; equal ones have the row's name beside them."""
    own = [row.row for row in rows]
    count = Counter(row.label for row in own)
    return [f"{r.label} ({r.name})" if count[r.label] > 1 else r.label for r in own]


def _in_numbers(
    name: str,
    title: str,
    shown: Sequence[Shown],
    networks: Sequence[_Network],
) -> Table:
    cells, judged = [], [network.slices for network in networks]
    for one in shown:
        each = [of[one.name].outcomes for of in judged]
        texts = [f"{of['found']}, {of['missed']}, {of['false alarm']}" for of in each]
        cells.append([one.name, f"{one.quantile:g}", f"{one.difficulty:.2f}", *texts])
    return Table(
        name,
        title,
        ["", "quantile", "errors a network", *(network.title for network in networks)],
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
