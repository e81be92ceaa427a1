"""A comparison as text, Markdown and LaTeX: one table, a row for each figure and model."""

import textwrap
from typing import Any

from tqgd_jax.report.comparison.differences import PROTOCOLS
from tqgd_jax.report.text import markup
from tqgd_jax.report.text.terminal import ROWS, WIDTH, interval

LABELS = dict(ROWS) | {
    "point.centre.precision": "precision, centre hit, frozen",
    "point.centre.f1": "F1, centre hit, frozen",
}
HEADER = (
    *("figure", "model", "value (interval)", "difference (interval)", "p", "p Holm"),
)


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Cells of the table below `HEADER`; a figure's first row is the reference's."""
    pairs = {pair["model"]: pair["figures"] for pair in result["pairs"]}
    table = []
    for key in result["keys"]:
        label = LABELS.get(key, key)
        for model in result["models"]:
            value = interval(model["figures"][key]) or "-"
            row = pairs[model["name"]][key] if model["name"] in pairs else None
            table.append((label, model["name"], value, *_difference(row)))
            label = ""
    return table


def caption(result: dict[str, Any]) -> str:
    """What the numbers are, in one paragraph."""
    settings, protocol = result["settings"], result["protocol"]
    tests = sum(
        row["p"] is not None
        for pair in result["pairs"]
        for row in pair["figures"].values()
    )
    how = "all" if settings["exact"] else f"{settings['repeats']:,} random"
    return (
        f"{result['patients']} patients, {result['images']} images, {result['boxes']} "
        f"boxes; protocol {protocol}: {PROTOCOLS[protocol]}. "
        f"Intervals: {settings['level']:.0%}, "
        f"resampled patients ({settings['bootstraps']:,} times for differences). "
        f"Difference: model minus {result['reference']}. p: two-sided paired permutation "
        f"test over patients, {how} exchanges; p Holm: adjusted for the {tests} "
        "comparisons of this table."
    )


def beside(result: dict[str, Any]) -> list[str]:
    """What stands below the table: caption, notes, reasons of empty cells."""
    return [caption(result), *result["notes"], *reasons(result)]


def text(result: dict[str, Any]) -> str:
    """For the terminal: warnings, then aligned columns."""
    table = [HEADER, *rows(result)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    width = max(WIDTH, max(map(len, lines)))
    first = [textwrap.fill(line, width) for line in result["warnings"]]
    wrapped = [textwrap.fill(line, width) for line in beside(result)]
    return "\n".join([*first, *lines, "", *wrapped])


def markdown(result: dict[str, Any]) -> str:
    """A GitHub table; names are escaped."""
    first = (f"**{markup.markdown(line)}**\n" for line in result["warnings"])
    table = markup.markdown_table("", HEADER, rows(result), beside(result), names=2)
    return "\n".join([*first, table])


def latex(result: dict[str, Any]) -> str:
    """A table with the rules of the package booktabs; names are escaped."""
    notes = [*result["warnings"], *beside(result)]
    return markup.latex_table("", HEADER, rows(result), notes, names=2)


def reasons(result: dict[str, Any]) -> list[str]:
    """Why cells are empty, each reason once."""
    given: dict[str, list[str]] = {}
    figures = [(m["name"], m["figures"]) for m in result["models"]]
    figures += [(pair["model"], pair["figures"]) for pair in result["pairs"]]
    for name, of in figures:
        for key, row in of.items():
            if row["reason"]:
                places = given.setdefault(row["reason"], [])
                places += [
                    k for k in [f"{name}: {LABELS.get(key, key)}"] if k not in places
                ]
    return [f"-: {reason} ({'; '.join(of)})" for reason, of in given.items()]


def _difference(row: dict[str, Any] | None) -> tuple[str, str, str]:
    if row is None:
        return "", "", ""
    if row["difference"] is None:
        return "-", "-", "-"
    shown = f"{row['difference']:+.3f}"
    if row["low"] is not None:
        shown += f" ({row['low']:+.3f} to {row['high']:+.3f})"
    return shown, p_text(row["p"]), p_text(row["p_holm"])


def p_text(value: float | None) -> str:
    """As papers print it."""
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
