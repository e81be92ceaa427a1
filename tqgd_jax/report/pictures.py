"""Pictures for a talk, as PNG: a curve and slices of the page, each with a heading."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tqgd_jax.report.html import charts, figures
from tqgd_jax.report.html.gallery import OUTCOMES, GalleryImage
from tqgd_jax.report.html.numbers import cut
from tqgd_jax.report.html.page_sections import drawn_from
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

# By kind of mark: colour, line style, width in points, distance from the box in screen
# px, which keeps coinciding outlines apart and a lesion of a few pixels uncovered.
STYLES = {
    "ignored": ("#B9BEC4", "--", 0.9, 1.5),
    "found": ("#FFFFFF", "-", 0.9, 1.5),
    "detected": ("#56B4E9", "-", 1.5, 5.0),
    "hit": ("#2EE6A8", "-", 1.5, 5.0),
    "false-alarm": ("#FFA01E", "--", 1.6, 5.0),
    "missed": ("#FF4FD8", ":", 2.2, 3.5),
}
DARK = "#16181B"
DISCLAIMER = f"{NOT_A_DEVICE} For research."
GAP = 0.008  # of the image: outlines stand off, so that a lesion of a few px stays visible
PANEL = 700  # px: least width of a panel; small images are enlarged to it
DPI = 100
COLUMNS = 4


def precision_recall(path: Path, results: dict[str, Any], heading: str) -> None:
    """The page's precision-recall curve of the headline's protocol, 1050 x 900 px."""
    protocol, given = results["headline"]["protocol"], results["input"]
    of = results["protocols"][protocol]
    curve = of["curves"]["pr"] if "curves" in of else {"recall": []}
    area = of["figures"]["ap.yolo.0.5"]["value"] if "figures" in of else None
    counts = ", ".join(f"{given[k]} {k}" for k in ("images", "boxes", "detections"))
    title = "Precision and recall at IoU 0.5, YOLOv5 rule"
    if area is not None:
        title += f": AP50 {area:.3f}"
    with mpl.rc_context(charts.STYLE):
        figure = charts.precision_recall_figure(
            curve, figures.operating_point(of), protocol
        )
        figure.set(figwidth=7, figheight=6, dpi=150, facecolor="white")
        figure.suptitle(f"{heading}\n{title}\n{counts}".strip(), size=10)
        save(figure, path)


@mpl.rc_context({"text.parse_math": False})  # a name may hold a dollar
def overlays(
    path: Path, images: Sequence[GalleryImage], results: dict[str, Any], heading: str
) -> None:
    """A grid of slices with the marks that the page has on them.

    Args:
      path: of the PNG.
      images: at least one.
      results: that they are of.
      heading: stands above all.
    """
    panel = max(PANEL, *(max(s.width, s.height) for s in images)) / DPI
    figure, grid = panels(len(images), panel, (0.45, 1.6))
    columns = min(COLUMNS, len(images))
    least, rule = drawn_from(results)
    of_maps = results["settings"]["segmentation"]
    score = "" if least is None or of_maps else f"score >= {cut(least)}; "
    blind = results["settings"]["threshold_source"] == "none"
    first = "labelled boxes" if blind else "most errors"
    order = f"{len(images)} of {results['input']['images']} images, {first} first"
    figure.suptitle(
        f"{heading}\nIoU 0.5; {score}{rule}\n{order}",
        color="white",
        size=min(16, 8 + 3 * columns),
    )
    for image, axes in zip(images, grid, strict=False):
        _panel(axes, image, panel * DPI)
    names = dict(OUTCOMES.values())
    handles = [
        Line2D([], [], color=colour, ls=style, lw=width + 1, label=names[kind])
        for kind, (colour, style, width, _) in STYLES.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=6 if columns > 1 else 2,
        fontsize=12 + columns,
        facecolor=DARK,
        edgecolor=DARK,
        labelcolor="white",
    )
    save(figure, path)


def _panel(axes: Axes, image: GalleryImage, width: float) -> None:
    """One slice with its marks; `width` is that of the panel in screen px."""
    h, w = image.height, image.width
    show(axes, image.selected.pixels, f"{image.selected.image}: {image.caption}")
    scale = width / max(h, w)
    for mark in image.marks:
        kind, *where = mark.kind.split()
        colour, style, line, distance = STYLES[kind]
        gap = distance / scale
        x0, y0 = mark.left * w / 100 - gap, mark.top * h / 100 - gap
        wide, high = mark.width * w / 100 + 2 * gap, mark.height * h / 100 + 2 * gap
        box = Rectangle(
            (x0, y0), wide, high, fill=False, color=colour, ls=style, lw=line
        )
        axes.add_patch(box)
        left, low = "left" in where, "low" in where
        axes.annotate(
            mark.label,
            (x0 if left else x0 + wide, y0 + high if low else y0),
            xytext=(0, -3 if low else 3),
            textcoords="offset points",
            color=colour,
            size=8,
            ha="left" if left else "right",
            va="top" if low else "bottom",
        )


def panels(
    count: int, panel: float, more: tuple[float, float], least: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A dark sheet of empty panels, four abreast.

    Args:
      count: of the panels.
      panel: side of each, inches.
      more: inches added to the height of each row, and to that of the sheet.
      least: width of the sheet, inches.
    """
    columns = min(COLUMNS, max(1, count))
    rows = max(1, -(-count // columns))
    figure = Figure(
        figsize=(max(least, columns * panel), rows * (panel + more[0]) + more[1]),
        dpi=DPI,
        layout="constrained",
        facecolor=DARK,
    )
    grid = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes in grid:
        axes.axis("off")
    return figure, grid


def show(axes: Axes, pixels: np.ndarray, title: str) -> None:
    """Pixels in [0, 1], [h, w] or [h, w, 3], each a sharp square."""
    h, w = pixels.shape[:2]
    axes.imshow(
        pixels,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, w, h, 0),
    )
    axes.set_title(title, color="white", size=11)
    axes.set(xlim=(0, w), ylim=(h, 0))


def save(figure: Figure, path: Path) -> None:
    png = io.BytesIO()
    with charts.any_letters():
        FigureCanvasAgg(figure).print_png(png)
    path.write_bytes(png.getvalue())
