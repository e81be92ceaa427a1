"""Curves of an evaluation."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tqgd_jax.evaluation.evaluate import ranked_by_class
from tqgd_jax.evaluation.matching import average_precision as ap
from tqgd_jax.evaluation.measures.operating_point import Ranked, at_threshold
from tqgd_jax.structures.image import Image

# Okabe and Ito's colours, told apart with any colour vision; then again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.")
UNREACHED = "recall not reached; counted in AP (YOLOv5 rule)"


@rc_context({"text.parse_math": False})  # a name may hold a dollar
def precision_recall(
    path: Path,
    images: Sequence[Image],
    classes: Sequence[str],
    threshold: float | None,
    heading: str = "",
) -> None:
    """Precision-recall curves at IoU 0.5 as PNG, one per class with ground truth.

    The thick line is the envelope under which AP50 is the area, the thin one precision
    and recall after each detection, the dotted one the rule's way from the highest
    recall reached to (1, 0), which counts; the circle is the operating point at
    `threshold`. `heading` stands above all.
    """
    figure = Figure(figsize=(7, 6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    ranked, _ = ranked_by_class(images, len(classes))
    there = [c for c in range(len(classes)) if ranked[c].boxes]
    for number, c in enumerate(there):
        _curve(axes, ranked[c], classes[c], threshold, number)
    if not there:
        message = "no ground-truth boxes:\nnothing to draw a curve of"
        axes.text(0.5, 0.5, message, ha="center", va="center", size=14)
    else:
        axes.plot([], [], color="0.3", ls=(0, (1, 3)), lw=1.5, label=UNREACHED)
    boxes, dets = sum(r.boxes for r in ranked), sum(len(r.hit) for r in ranked)
    title = f"{len(images)} images, {boxes} boxes, {dets} detections"
    axes.set(
        xlabel="recall (share of boxes found)",
        ylabel="precision (share of detections that are right)",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.04),
        xticks=np.linspace(0, 1, 11),
        yticks=np.linspace(0, 1, 11),
    )
    title = f"{heading}\nPrecision and recall at IoU 0.5\n{title}"
    axes.set_title(title.strip(), fontsize=10, wrap=True)
    axes.grid(color="0.88")
    axes.set_axisbelow(True)
    if there:
        axes.legend(loc="lower left", framealpha=0.95, fontsize=9)
    save(figure, path)


@contextlib.contextmanager
def any_letters() -> Iterator[None]:
    """Draws names in letters that the font has not as boxes, without a warning each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    png = io.BytesIO()
    with any_letters():
        FigureCanvasAgg(figure).print_png(png)
    path.write_bytes(png.getvalue())


def _curve(
    axes: Axes, ranked: Ranked, name: str, threshold: float | None, number: int
) -> None:
    """One class: curve, operating point and their lines of the legend."""
    colour = COLOURS[number % len(COLOURS)]
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    area = ap.average_precision(ranked.hit, ranked.boxes)
    precision, recall = ap.precision_recall(ranked.hit, ranked.boxes)
    axes.plot(recall, precision, color=colour, lw=0.8, alpha=0.5)
    if len(ranked.hit):
        label = f"{name}: AP50 {area:.3f} ({ranked.boxes} boxes)"
        reached, height = ap.envelope(ranked.hit, ranked.boxes)
        axes.plot(reached[:-1], height[:-1], color=colour, ls=dash, lw=2.2, label=label)
        # What the rule supposes between the highest recall reached and 1.
        axes.plot(reached[-2:], height[-2:], color=colour, ls=(0, (1, 3)), lw=1.5)
    else:
        label = f"{name}: AP50 0, no detections ({ranked.boxes} boxes)"
        axes.plot([], [], color=colour, ls=dash, lw=2.2, label=label)
    if threshold is None:
        return
    counts = at_threshold(ranked, threshold)
    if counts.precision is None or counts.recall is None:
        return
    axes.plot(
        [counts.recall],
        [counts.precision],
        marker="o",
        ms=9,
        mfc="white",
        mec=colour,
        mew=2.2,
        ls="none",
        clip_on=False,
        label=(
            f"  at score {threshold:.3f}: "
            f"P {counts.precision:.3f}, R {counts.recall:.3f}"
        ),
    )
