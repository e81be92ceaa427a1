"""The paper's Fig. 8: slices in rows, labels and then each network in columns."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tqgd_jax.io import tables
from tqgd_jax.report.html import charts
from tqgd_jax.report.pictures import save, show
from tqgd_jax.report.result_tables import BOX
from tqgd_jax.structures.thresholds import POINT_TAU
from tqgd_jax.study.figures.difficulty import Judged, Row, Shown

BLUE, RED = "#3D9BFF", "#FF3B30"  # the paper's, light enough for a dark slice
PANEL, DPI = 2.2, 150  # inches a side, px an inch
TEXT, MARGIN = 0.4, 0.03  # inches below a panel, and beside it
LETTERS, LINE = 26, 0.17  # of a column's title; inches of one of its lines
INSET, ZOOM = 0.44, 4.0  # of the panel's shorter side; how much larger than the panel
FILLED = 0.6  # of the inset's side, at most, by the lesion
GAP = 0.008  # of the slice: outlines stand off, so that a lesion of a few px stays visible
Window = tuple[float, float, float]  # left, top, side


@mpl.rc_context(charts.STYLE)
def draw(
    path: Path,
    slices: Sequence[Shown],
    pixels: Sequence[Float[np.ndarray, "_ _"]],
    names: Sequence[str],
    networks: Sequence[Mapping[str, Judged]],
    remark: str = "",
) -> None:
    """Draws the figure as PNG.

    Args:
      path: of the PNG.
      slices: at least one, a row each.
      pixels: of each slice, 0 black and 1 white.
      names: of the networks, a column each; at least one.
      networks: what each said.
      remark: above all.
    """
    heights = [TEXT + PANEL * p.shape[0] / p.shape[1] for p in pixels]
    titles = [textwrap.fill(name, LETTERS) for name in names]
    top = 0.38 + LINE * max(title.count("\n") + 1 for title in titles)
    wide, high = PANEL * (1 + len(networks)), top + sum(heights)
    figure = Figure(figsize=(wide, high), dpi=DPI, facecolor="white")
    text = ". ".join(filter(None, [remark, "Blue: labels. Red: detections"]))
    figure.text(0.5, 1 - 0.15 / high, text, ha="center", va="center", size=12)
    y = high - top  # inches from below
    for k, (one, image) in enumerate(zip(slices, pixels, strict=True)):
        each = [judged[one.name] for judged in networks]
        window = zoomed(each, image.shape)
        rows_of_all = [row for judged in each for row in judged.rows]
        corner = free_corner(rows_of_all, window, image.shape)
        columns = [("labels", each[0].boxes, described(one))]
        columns += [
            (name, judged.detections, outcomes_text(judged))
            for name, judged in zip(titles, each, strict=True)
        ]
        height = heights[k] - TEXT
        for column, (name, rows, text) in enumerate(columns):
            axes = figure.add_axes(
                (
                    (column * PANEL + MARGIN) / wide,
                    (y - height) / high,
                    (PANEL - 2 * MARGIN) / wide,
                    height / high,
                )
            )
            _panel(axes, image, rows, window, corner)
            if k == 0:
                axes.set_title(name, size=10, color="black")
            below = {"transform": axes.transAxes, "ha": "center", "va": "top"}
            axes.text(0.5, -0.02, text, size=7.5, **below)
        y -= heights[k]
    save(figure, path)


def described(one: Shown) -> str:
    """What stands below the labels of a slice."""
    errors = f"{one.difficulty:.2f} errors a network"
    return f"quantile {one.quantile:g}: {errors}\n{one.name}"


def outcomes_text(judged: Judged) -> str:
    """What stands below a network's detections."""
    of = judged.outcomes
    alarms = of["false alarm"]
    threshold = float(judged.slice["threshold"])
    least = f"threshold {threshold:.3f}" if threshold else f"p of pixels >= {POINT_TAU}"
    return (
        f"{of['found']} of {of['found'] + of['missed']} found, "
        f"{alarms} false alarm{'s' * (alarms != 1)}\n{least}"
    )


def zoomed(networks: Sequence[Judged], shape: tuple[int, ...]) -> Window:
    """The square that the inset shows: about the box that most networks miss.

    Of equals the smallest box, then the first. It is shown four times as large as in the
    panel, less if the lesion would fill more than `FILLED` of it.

    Args:
      networks: what each said of the slice.
      shape: height and width of the slice, px.
    """
    boxes = networks[0].boxes
    missed = [
        sum(one.boxes[k]["outcome"] == "missed" for one in networks)
        for k in range(len(boxes))
    ]
    areas = [float(row["width"]) * float(row["height"]) for row in boxes]
    judged = [k for k in range(len(boxes)) if boxes[k]["outcome"] != "ignored"]
    k = min(judged, key=lambda k: (-missed[k], areas[k]))
    x0, y0, x1, y1 = _corners(boxes[k])
    height, width = shape[:2]
    side = max(INSET * min(height, width) / ZOOM, max(x1 - x0, y1 - y0) / FILLED)
    side = min(side, height, width)
    left = min(max((x0 + x1 - side) / 2, 0.0), width - side)
    top = min(max((y0 + y1 - side) / 2, 0.0), height - side)
    return left, top, side


def free_corner(
    rows: Sequence[Row], window: Window, shape: tuple[int, ...]
) -> tuple[float, float]:
    """Left and top, px, of the inset: the corner where it covers least of boxes.

    Args:
      rows: labelled boxes and detections of all networks.
      window: that the inset shows; not to be covered either.
      shape: height and width of the slice, px.
    """
    height, width = shape[:2]
    side = INSET * min(height, width)
    left, top, wide = window
    areas = [(left, top, left + wide, top + wide), *map(_corners, rows)]

    def covered(corner: tuple[float, float]) -> float:
        x, y = corner
        return sum(
            max(0.0, min(x + side, x1) - max(x, x0))
            * max(0.0, min(y + side, y1) - max(y, y0))
            for x0, y0, x1, y1 in areas
        )

    right, bottom = width - side, height - side
    corners = [(right, bottom), (0.0, bottom), (right, 0.0), (0.0, 0.0)]
    return min(corners, key=covered)


def _panel(
    axes: Axes,
    image: Float[np.ndarray, "_ _"],
    rows: Sequence[Row],
    window: Window,
    corner: tuple[float, float],
) -> None:
    """A slice with boxes, and its inset with the same."""
    height, width = image.shape
    show(axes, image, "")
    axes.axis("off")
    left, top, side = window
    axes.add_patch(
        Rectangle((left, top), side, side, fill=False, color="white", lw=0.5)
    )
    inset = INSET * min(height, width)
    at = (corner[0] / width, 1 - (corner[1] + inset) / height)
    small = axes.inset_axes((*at, inset / width, inset / height))
    show(small, image, "")
    small.set(xticks=[], yticks=[], xlim=(left, left + side), ylim=(top + side, top))
    small.spines[:].set(visible=True, color="white", lw=0.8)
    for row in rows:
        colour = BLUE if row["kind"] == BOX else RED
        x0, y0, x1, y1 = _corners(row)
        for on, gap, line in (
            (axes, GAP * max(height, width), 0.9),
            (small, 0.03 * side, 1.4),
        ):
            on.add_patch(
                Rectangle(
                    (x0 - gap, y0 - gap),
                    *(x1 - x0 + 2 * gap, y1 - y0 + 2 * gap),
                    fill=False,
                    color=colour,
                    lw=line,
                )
            )


def _corners(row: Row) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(row[name]) for name in tables.BOX)
    return x0, y0, x1, y1
