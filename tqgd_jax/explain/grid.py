"""The picture of Fig. 9: rows are slices, columns networks or modules.

Another program may draw its own maps: `draw` knows nothing of networks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from tqgd_jax.report.pictures import DARK, DISCLAIMER, DPI, GAP, save, show

COLOURS = "turbo"  # red is high, blue is low, as in the paper
STRENGTH = 0.65  # of the highest colour over the slice; the lowest is clear
LABEL, DETECTION = "#4DA3FF", "#FF3B30"
PANEL = 3.1  # inches a side
HALO = [withStroke(linewidth=2, foreground="black")]


class Row(NamedTuple):
    """A slice.

    Attributes:
      name: of the slice.
      pixels: [h, w] or [h, w, 3] in [0, 1].
      labels: labelled boxes (x0, y0, x1, y1), px; none where nothing is labelled.
    """

    name: str
    pixels: Float[np.ndarray, "h w *c"]
    labels: Float[np.ndarray, "n 4"]


class Cell(NamedTuple):
    """What one column shows of a slice.

    Attributes:
      map: [h w] in [0, 1], px of the slice.
      boxes: detections that the map is of, px.
      scores: their confidence.
      note: such as "the scores do not depend on this module"; or empty.
      detected: whether the boxes are detections; else the best candidate, below the
        threshold, is drawn dashed.
    """

    map: Float[np.ndarray, "h w"]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    note: str = ""
    detected: bool = True


@rc_context({"text.parse_math": False})  # a name may hold a dollar
def draw(
    path: Path,
    rows: Sequence[Row],
    columns: Sequence[str],
    cells: Sequence[Sequence[Cell]],
    title: str,
) -> None:
    """Draws slices by columns as PNG, the slice itself first, with one colour bar.

    Args:
      path: of the PNG.
      rows: the slices.
      columns: their names.
      cells: of each row one for each column.
      title: stands above all.
    """
    figure = Figure(
        figsize=((len(columns) + 1) * PANEL + 0.9, len(rows) * (PANEL + 0.25) + 1.3),
        dpi=DPI,
        layout="constrained",
        facecolor=DARK,
    )
    grid = figure.subplots(len(rows), len(columns) + 1, squeeze=False)
    for of_row, row, of in zip(grid, rows, cells, strict=True):
        _panel(of_row[0], row, None)
        for axes, cell in zip(of_row[1:], of, strict=True):
            _panel(axes, row, cell)
    for axes, name in zip(grid[0], ["slice", *columns], strict=True):
        axes.set_title(name, color="white", size=13, weight="bold")
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=grid.ravel().tolist(), fraction=0.02, pad=0.01
    )
    bar.set_ticks([0, 1], labels=["low", "high"], color="white")
    bar.set_label("part in the score, each map on its own scale", color="white")
    figure.suptitle(f"{title}\n{DISCLAIMER}", color="white", size=13)
    handles = [
        Line2D([], [], color=colour, lw=2, ls=style, label=label)
        for colour, style, label in (
            (LABEL, "-", "label (dotted on maps)"),
            (DETECTION, "-", "detection, with its score"),
            (DETECTION, "--", "no detection: best candidate, below the threshold"),
        )
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        facecolor=DARK,
        labelcolor="white",
    )
    save(figure, path)


def _panel(axes: Axes, row: Row, cell: Cell | None) -> None:
    """A slice with its labels; with a map, detections and a note where there are."""
    axes.axis("off")
    show(axes, row.pixels, "")
    gap = GAP * max(row.pixels.shape[:2])
    if cell is None:
        _note(axes, row, row.name)
    else:
        overlay = colormaps[COLOURS](cell.map)
        overlay[..., 3] = STRENGTH * np.minimum(1, 2 * cell.map)
        h, w = cell.map.shape
        axes.imshow(overlay, extent=(0, w, h, 0), interpolation="nearest")
        _note(axes, row, cell.note)
        for box, score in zip(cell.boxes.tolist(), cell.scores.tolist(), strict=True):
            _outline(axes, box, gap, DETECTION, "-" if cell.detected else "--")
            axes.text(
                box[2] + gap, box[1] - gap, f"{score:.2f}", color="white", size=7,
                va="bottom", path_effects=HALO,
            )  # fmt: skip
    for box in row.labels.tolist():
        _outline(axes, box, 2.2 * gap, LABEL, "-" if cell is None else ":")


def _note(axes: Axes, row: Row, text: str) -> None:
    """Words in the lower left corner of a slice."""
    h, w = row.pixels.shape[:2]
    axes.text(
        0.02 * w, 0.98 * h, text, color="white", size=8, va="bottom", path_effects=HALO
    )


def _outline(
    axes: Axes, box: Sequence[float], gap: float, colour: str, style: str
) -> None:
    """A box that stands off, so that a lesion of a few px stays visible."""
    x0, y0, x1, y1 = box
    axes.add_patch(
        Rectangle(
            (x0 - gap, y0 - gap), x1 - x0 + 2 * gap, y1 - y0 + 2 * gap,
            fill=False, color=colour, lw=1.3, ls=style,
            path_effects=[withStroke(linewidth=2.4, foreground="black", alpha=0.6)],
        )
    )  # fmt: skip
