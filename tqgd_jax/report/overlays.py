"""A page of images with what is there and what was detected."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tqgd_jax.evaluation.evaluate import best_threshold
from tqgd_jax.evaluation.matching.matches import cohort
from tqgd_jax.evaluation.matching.outcomes import outcomes
from tqgd_jax.report.plots import save
from tqgd_jax.structures.image import Image

# Name: colour, line style, width in points, distance from the box in screen px. The
# distances keep coinciding outlines apart and a lesion of a few pixels uncovered.
STYLES = {
    "ground truth, found": ("#FFFFFF", "-", 0.9, 1.5),
    # Drawn around their boxes, not on them, so that a tiny lesion stays visible.
    "hit": ("#2EE6A8", "-", 1.5, 5.0),
    "false alarm": ("#FFA01E", "--", 1.6, 5.0),
    "missed": ("#FF4FD8", ":", 2.2, 3.5),
}
PANEL = 700  # px: least width of a panel; small images are enlarged to it
DPI = 100


@rc_context({"text.parse_math": False})  # a name may hold a dollar
def overlay_page(
    path: Path,
    items: Sequence[tuple[np.ndarray, Image]],
    classes: Sequence[str],
    threshold: float | None,
    title: str,
    *,
    most: int = 12,
    of: int | None = None,
    window: tuple[float, float] | None = None,
) -> None:
    """A grid of images as PNG: hits, false alarms and missed boxes at IoU 0.5.

    Args:
      path: of the PNG.
      items: pixels [h, w], [h, w, 1] or [h, w, 3], any type, and what belongs to them;
        `choose` picks which are drawn when there are more than `most`.
      classes: names; printed beside scores when there are several.
      threshold: detections below are not drawn; None takes the best one of `items`.
      title: first line of the page.
      most: images on the page.
      of: from how many `items` were chosen already; None: from none but themselves.
      window: values shown black and white; None takes the full range of unsigned
        images, [0, 1] for floats, and the image's own range for signed ones.
    """
    images = [image for _, image in items]
    shown, told = threshold, "detections with score >= "
    if shown is None:
        shown = best_threshold(images, len(classes))
        told = "no frozen threshold: best on these very images, optimistic, score >= "
    told = "all detections" if shown is None else f"{told}{shown:.3f}"
    threshold = -np.inf if shown is None else shown
    chosen = choose(images, threshold, most)
    columns = min(4, max(1, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    side = [max(items[i][0].shape[:2]) for i in chosen] or [PANEL]
    panel = max(PANEL, *side) / DPI
    figure = Figure(
        figsize=(columns * panel, rows * (panel + 0.45) + 1.6),
        dpi=DPI,
        layout="constrained",
        facecolor="#16181B",
    )
    of = len(items) if of is None else of
    order = f"{len(chosen)} of {of} images, half of them those with most errors"
    if len(chosen) == of:
        order = f"{of} images, those with most errors first"
    heading = f"{title}\n{told}; IoU 0.5\n{order}"
    figure.suptitle(heading, color="white", size=min(16, 8 + 3 * columns))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, axes in zip(chosen, grid.flat, strict=False):
        _panel(axes, *items[i], classes, threshold, window, panel * DPI)
    if not chosen:
        grid[0, 0].text(0.5, 0.5, "no images", color="white", ha="center", size=16)
    handles = [
        Line2D([], [], color=colour, ls=style, lw=width + 1, label=name)
        for name, (colour, style, width, _) in STYLES.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if columns > 1 else 2,
        fontsize=12 + columns,
        facecolor="#16181B",
        edgecolor="#16181B",
        labelcolor="white",
    )
    save(figure, path)


def choose(
    images: Sequence[Image], threshold: float | Sequence[float], most: int
) -> list[int]:
    """Which images to show: half those with most errors, half evenly spread.

    Errors are false alarms and missed boxes at IoU 0.5, at one threshold or one for each
    image; most first in either half.
    """
    limits = np.broadcast_to(threshold, len(images)).tolist()
    drawn = _drawn(images, limits)
    errors = np.array([one.alarms.sum() + one.missed.sum() for one in drawn], int)
    order = np.argsort(-errors, kind="stable")
    if len(images) <= most:
        return order.tolist()
    worst, rest = order[: (most + 1) // 2], order[(most + 1) // 2 :]
    spread = np.linspace(0, len(rest) - 1, most // 2).round().astype(int)
    return [*worst.tolist(), *rest[spread].tolist()]


class Drawn(NamedTuple):
    """Of one image, at IoU 0.5: what is neither hit nor alarm is not drawn."""

    hits: Bool[np.ndarray, "k"]
    alarms: Bool[np.ndarray, "k"]
    found: Bool[np.ndarray, "n"]
    missed: Bool[np.ndarray, "n"]


def _drawn(images: Sequence[Image], thresholds: Sequence[float]) -> list[Drawn]:
    """The outcomes in lesions.csv; they ask for no class, so none is named."""
    made = []
    for image, limit in zip(images, thresholds, strict=True):
        above = image.above(limit)
        (of,) = outcomes(cohort([image], (), [limit]))
        alarms = above & ~of.iou.hit & ~of.iou.ignored
        made.append(Drawn(above & of.iou.hit, alarms, of.iou.found, of.iou.missed))
    return made


def _panel(
    axes: Axes,
    pixels: np.ndarray,
    image: Image,
    classes: Sequence[str],
    threshold: float,
    window: tuple[float, float] | None,
    width: float,
) -> None:
    """One image with its outlines; `width` is that of the panel in screen px."""
    h, w = pixels.shape[:2]
    axes.imshow(
        windowed(pixels, window),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, w, h, 0),
    )
    scale = width / max(h, w)
    (outcome,) = _drawn([image], [threshold])
    for box, ok in zip(
        # what lies beyond the image is drawn at its edge
        np.clip(image.boxes[image.counting], 0, [w, h, w, h]),
        outcome.found[image.counting],
        strict=True,
    ):
        _outline(axes, box, "ground truth, found" if ok else "missed", scale)
    for k in np.flatnonzero(outcome.hits | outcome.alarms):
        kind = "hit" if outcome.hits[k] else "false alarm"
        _outline(axes, image.det_boxes[k], kind, scale)
        name = f"{classes[image.det_labels[k]]} " if len(classes) > 1 else ""
        _, y0, x1, y1 = image.det_boxes[k].tolist()
        above = y0 * scale > 25  # else the score would run into the panel's title
        axes.annotate(
            f"{name}{image.det_scores[k]:.2f}",
            (max(x1, 60 / scale), y0 if above else y1),
            xytext=(4, 5 if above else -5),
            textcoords="offset points",
            color=STYLES[kind][0],
            size=8,
            ha="right",
            va="bottom" if above else "top",
            annotation_clip=True,
        )
    counts = (
        f"hits {outcome.hits.sum()}, false alarms {outcome.alarms.sum()}, "
        f"missed {outcome.missed.sum()}"
    )
    axes.set_title(f"{image.name}: {counts}", color="white", size=11)
    axes.set(xlim=(0, w), ylim=(h, 0))


def _outline(axes: Axes, box: np.ndarray, kind: str, scale: float) -> None:
    colour, style, width, distance = STYLES[kind]
    gap = distance / scale
    x0, y0, x1, y1 = box.astype(float)
    axes.add_patch(
        Rectangle(
            (x0 - gap, y0 - gap),
            x1 - x0 + 2 * gap,
            y1 - y0 + 2 * gap,
            fill=False,
            color=colour,
            ls=style,
            lw=width,
        )
    )


def windowed(pixels: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Values in [0, 1] for the screen, [h, w] or [h, w, 3]; see `overlay_page`."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if window is None:
        kind = pixels.dtype
        if np.issubdtype(kind, np.unsignedinteger):
            window = 0.0, float(np.iinfo(kind).max)
        elif np.issubdtype(kind, np.floating):
            window = 0.0, 1.0
        else:
            window = float(pixels.min()), float(pixels.max())
    low, high = window
    shown = (pixels.astype(np.float64) - low) / max(high - low, 1e-9)
    return np.clip(shown, 0, 1)
