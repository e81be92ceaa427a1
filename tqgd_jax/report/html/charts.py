"""Curves and bars of the page, as SVG that stands inside it.

Drawn in one ink that takes the page's text colour, so a chart reads on light and on
dark; text stays text. Equal input gives equal bytes.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tqgd_jax.evaluation.measures.froc import NAMES, RATES
from tqgd_jax.report.html.numbers import DASH

# Okabe and Ito's colours, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK = "#010203"  # stands for the page's text colour until the SVG is in the page
PAPER = "#fcfbfa"  # stands for the page's background
# What stands for these in the page, which has lighter ones on dark.
INKS = {
    INK: "currentColor",
    PAPER: "var(--paper)",
    COLOURS[0].lower(): "var(--first)",
    COLOURS[1].lower(): "var(--second)",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tqgd_jax",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a scanner may be called anything, "$" in it too
    **dict.fromkeys(
        (
            "text.color",
            "axes.labelcolor",
            "axes.edgecolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "hatch.linewidth": 1.0,
}
LONG = 14  # letters of a bar's name that fit below it
MOST = 40  # that are drawn at all: more leave no room for the bars
MARKS = {"clinical": (COLOURS[0], "-"), "paper": (COLOURS[1], "--")}


class Bar(NamedTuple):
    """One bar: its place on the axis, its height and its interval, None where unknown."""

    name: str
    value: float | None
    low: float | None
    high: float | None


@mpl.rc_context(STYLE)
def precision_recall(
    curve: dict[str, Any], point: tuple[float, float] | None, protocol: str, alt: str
) -> Markup:
    """See `precision_recall_figure`."""
    figure = precision_recall_figure(curve, point, protocol)
    return _svg(figure, f"pr-{protocol}", alt)


def precision_recall_figure(
    curve: dict[str, Any], point: tuple[float, float] | None, protocol: str
) -> Figure:
    """Envelope of precision over recall; `point` is (recall, precision) in use.

    Dotted beyond the highest recall that is reached.
    """
    figure, axes = empty_axes(4.4, 3.9)
    colour, dash = MARKS[protocol]
    if curve["recall"]:
        recall, precision = np.array([curve["recall"], curve["precision"]])
        end = np.searchsorted(recall, curve.get("reached", 1.0), "right")
        axes.plot(recall[:end], precision[:end], color=colour, ls=dash, lw=2)
        beyond = slice(max(end - 1, 0), None)
        axes.plot(recall[beyond], precision[beyond], color=colour, ls=":", lw=1.5)
    else:
        _nothing(axes)
    if point is not None:
        axes.plot(*point, "o", ms=8, mfc=PAPER, mec=colour, mew=2, clip_on=False)
    ticks = np.linspace(0, 1, 6)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set(xticks=ticks, yticks=ticks)
    return figure


@mpl.rc_context(STYLE)
def froc(
    curve: dict[str, Any],
    dots: Sequence[float | None],
    protocol: str,
    unit: str,
    alt: str,
) -> Markup:
    """Sensitivity over false alarms per unit, log2 axis; `dots` at the seven rates."""
    figure, axes = empty_axes(4.0, 3.4)
    colour, dash = MARKS[protocol]
    # A logarithmic axis has no 0; what lies left of 1/8 is outside it anyway.
    rate = np.maximum(_numbers(curve["fp"]), 1e-6)
    low, high = _numbers(curve.get("low") or []), _numbers(curve.get("high") or [])
    if len(low) == len(high) == len(rate) > 0:
        axes.fill_between(rate, low, high, color=colour, alpha=0.2, lw=0)
    if len(rate):
        # To the right of the last detection nothing more is found.
        x, y = np.append(rate, 1e6), _numbers(curve["sensitivity"])
        axes.plot(x, np.append(y, y[-1]), color=colour, ls=dash, lw=2)
    else:
        _nothing(axes)
    known = [(r, d) for r, d in zip(RATES, dots, strict=True) if d is not None]
    for r, d in known:
        axes.plot(r, d, "o", ms=5, mfc=PAPER, mec=colour, mew=1.5, clip_on=False)
    axes.set_xscale("log", base=2)
    axes.set(xlim=(1 / 8, 8), ylim=(0, 1.02), ylabel="sensitivity")
    axes.set_xticks(RATES, NAMES)
    axes.set_xticks([], minor=True)
    axes.set_yticks(np.linspace(0, 1, 6))
    per = "slice" if unit == "slice" else "scan"
    axes.set_xlabel(f"false alarms per {per}")
    return _svg(figure, f"froc-{protocol}-{unit}", alt)


@mpl.rc_context(STYLE)
def bars(groups: dict[str, Sequence[Bar]], name: str, axis: str, alt: str) -> Markup:
    """Bars from 0 to 1 with intervals, side by side by group; hatching tells groups."""
    names = [bar.name for bar in next(iter(groups.values()), ())]
    figure, axes = empty_axes(max(4.4, 1.0 + 0.95 * len(names)), 3.4)
    width = 0.8 / max(1, len(groups))
    for k, (group, row) in enumerate(groups.items()):
        x = np.arange(len(row)) + (k - (len(groups) - 1) / 2) * width
        known = [i for i, bar in enumerate(row) if bar.value is not None]
        axes.bar(
            x[known],
            [row[i].value or 0.0 for i in known],
            width * 0.92,
            color=COLOURS[k],
            alpha=0.75,
            hatch=("", "///", "...")[k % 3],
            edgecolor=PAPER,
            label=group,
        )
        for i in known:
            low, high = row[i].low, row[i].high
            if low is not None and high is not None:
                axes.plot([x[i]] * 2, [low, high], color=INK, lw=1.5)
        for i in set(range(len(row))) - set(known):
            axes.text(x[i], 0.02, DASH, ha="center")
    if not names:
        _nothing(axes)
    short = [n if len(n) <= MOST else f"{n[: MOST - 3]}..." for n in names]
    axes.set_xticks(range(len(names)), short)
    # Without a bar there is none to set the ends, and a dash would lie far beyond them.
    axes.set_xlim(-0.5, max(1, len(names)) - 0.5)
    if any(len(name) > LONG for name in names):
        axes.tick_params("x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set(xlabel=axis, ylabel="share found", ylim=(0, 1.02))
    axes.set_yticks(np.linspace(0, 1, 6))
    if len(groups) > 1 and names:
        figure.legend(loc="outside upper center", ncols=len(groups))
    return _svg(figure, name, alt)


@mpl.rc_context(STYLE)
def bland_altman(
    mean: Sequence[float],
    difference: Sequence[float],
    lines: tuple[float | None, float | None, float | None],
    labels: tuple[str, str],
    name: str,
    alt: str,
) -> Markup:
    """Differences over means; `lines` are lower limit, bias and upper limit."""
    figure, axes = empty_axes(4.4, 3.6)
    axes.axhline(0, color=INK, lw=0.6)
    bias = lines[1]
    if bias is not None:
        axes.axhline(bias, color=COLOURS[0], lw=1.8, label="bias")
    label = "limits of agreement"
    for limit in (lines[0], lines[2]):
        if limit is not None:
            axes.axhline(limit, color=COLOURS[1], lw=1.6, ls="--", label=label)
            label = "_"  # one line of the legend for both
    if len(mean):
        axes.plot(mean, difference, "o", ms=5, color=COLOURS[0], alpha=0.65)
    else:
        _nothing(axes)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if any(line is not None for line in lines):
        figure.legend(loc="outside upper center", ncols=2)
    return _svg(figure, name, alt)


@contextlib.contextmanager
def any_letters() -> Iterator[None]:
    """Draws names in letters that the font has not as boxes, without a warning each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def empty_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Empty axes with a pale grid; sizes in inches, which the page scales."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(color=INK, alpha=0.14, lw=0.8)
    return figure, axes


def _nothing(axes: Axes) -> None:
    where = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, "nothing to draw", **where)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], float)


def _svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as an element of the page.

    Ids get the chart's name, so that two charts have none in common; namespaces and
    metadata, which name addresses on the network, are dropped.
    """
    text = io.StringIO()
    with any_letters():
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # A style element in a page is the whole page's; the page's own css says the same.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]+;? ?", "", svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    for colour, ours in INKS.items():
        svg = svg.replace(colour, ours)
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box, "matplotlib writes a viewBox"
    width = figure.get_figwidth()
    head = (
        f'<svg class="chart" role="img" aria-label="{escape(alt)}" {box.group()} '
        f'style="max-width:{width * 6.2:.0f}rem">'
    )
    return Markup(head + svg[svg.index(">") + 1 :])
