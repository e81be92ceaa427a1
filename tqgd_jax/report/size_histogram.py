"""Areas of labelled boxes as a histogram: the paper's Fig. 2."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from tqgd_jax.report.html import charts
from tqgd_jax.report.pictures import save

DPI = 150
WIDTH = 0.8  # of all bars of a bin
LINE = 70  # letters in a line of the legend


@mpl.rc_context(charts.STYLE)
def draw(
    path: Path,
    counts: Mapping[str, Sequence[int]],
    bins: Sequence[str],
    remark: str = "",
) -> None:
    """Draws the share of boxes in each bin, their number above it, data sets abreast.

    Args:
      path: of the PNG.
      counts: boxes in each bin, by the name of the data set; one without a box has no
        bars.
      bins: names, such as "0-10".
      remark: of the first data set, beside its name; it says nothing of the others.
    """
    names = {
        name: textwrap.fill(f"{name}, {remark}" if remark and not k else name, LINE)
        for k, name in enumerate(counts)
    }
    empty = "\n".join(
        f"{names[name]}: no labelled box" for name, of in counts.items() if not sum(of)
    )
    counts = {name: of for name, of in counts.items() if sum(of)}
    figure, axes = charts.empty_axes(6.4, 3.8)
    figure.set(facecolor="white", dpi=DPI)
    figure.patch.set_alpha(1)
    width = WIDTH / max(1, len(counts))
    highest = 0.0
    for k, (name, of) in enumerate(counts.items()):
        share = 100 * np.array(of) / sum(of)
        highest = max(highest, float(share.max()))
        bars = axes.bar(
            np.arange(len(bins)) + (k - (len(counts) - 1) / 2) * width,
            share,
            width * 0.92,
            color=charts.COLOURS[k],
            hatch=("", "///", "...")[k % 3],
            edgecolor="white",
            label=f"{names[name]}: {sum(of):,} boxes",
        )
        axes.bar_label(bars, [f"{n:,}" for n in of], size=8, padding=2)
    axes.set_xticks(range(len(bins)), bins)
    axes.set(xlabel="area of the labelled box, px", ylabel="share of the boxes, %")
    axes.set_ylim(0, 1.12 * highest or 1)
    if counts:
        figure.legend(loc="outside upper center", title=empty or None)
    else:
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center")
    save(figure, path)
