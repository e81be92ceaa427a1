"""A comparison as text, Markdown and LaTeX: one table, a row for each figure and model."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from tqgd_jax.report.comparison.differences import PROTOCOLS
from tqgd_jax.report.text.terminal import ROWS, WIDTH, interval

LABELS = dict(ROWS) | {
    "point.centre.precision": "precision, centre hit, frozen",
    "point.centre.f1": "F1, centre hit, frozen",
}
HEADER = (
    *("figure", "model", "value (interval)", "difference (interval)", "p", "p Holm"),
)
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~])")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Cells of the table below `HEADER`; a figure's first row is the reference's."""
    pairs = {pair["model"]: pair["figures"] for pair in found["pairs"]}
    table = []
    for key in found["keys"]:
        label = LABELS.get(key, key)
        for model in found["models"]:
            value = interval(model["figures"][key]) or "-"
            row = pairs[model["name"]][key] if model["name"] in pairs else None
            table.append((label, model["name"], value, *_difference(row)))
            label = ""
    return table


def caption(found: dict[str, Any]) -> str:
    """What the numbers are, in one paragraph."""
    settings, protocol = found["settings"], found["protocol"]
    tests = sum(
        row["p"] is not None
        for pair in found["pairs"]
        for row in pair["figures"].values()
    )
    how = "all" if settings["exact"] else f"{settings['repeats']:,} random"
    return (
        f"{found['patients']} patients, {found['images']} images, {found['boxes']} boxes; "
        f"protocol {protocol}: {PROTOCOLS[protocol]}. Intervals: {settings['level']:.0%}, "
        f"resampled patients ({settings['bootstraps']:,} times for differences). "
        f"Difference: model minus {found['reference']}. p: two-sided paired permutation "
        f"test over patients, {how} exchanges; p Holm: adjusted for the {tests} "
        "comparisons of this table."
    )


def beside(found: dict[str, Any]) -> list[str]:
    """What stands below the table: caption, notes, reasons of empty cells."""
    return [caption(found), *found["notes"], *reasons(found)]


def text(found: dict[str, Any]) -> str:
    """For the terminal: warnings, then aligned columns."""
    table = [HEADER, *rows(found)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    width = max(WIDTH, max(map(len, lines)))
    first = [textwrap.fill(line, width) for line in found["warnings"]]
    wrapped = [textwrap.fill(line, width) for line in beside(found)]
    return "\n".join([*first, *lines, "", *wrapped])


def markdown(found: dict[str, Any]) -> str:
    """A GitHub table; names are escaped."""
    table = [HEADER, ("---",) * 2 + ("---:",) * 4]
    body = [[_markdown(cell) for cell in row] for row in rows(found)]
    lines = [f"| {' | '.join(row)} |" for row in [*table, *body]]
    first = (f"**{_markdown(line)}**\n" for line in found["warnings"])
    told = (f"{_markdown(line)}\n" for line in beside(found))
    return "\n".join([*first, *lines, "", *told])


def latex(found: dict[str, Any]) -> str:
    """A table with the rules of the package booktabs; names are escaped."""
    lines = [*found["warnings"], *beside(found)]
    told = " ".join(f"{line.rstrip('.')}." for line in lines)
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(told)}}}",
        r"\centering",
        r"\begin{tabular}{llrrrr}",
        r"\toprule",
        _line(HEADER),
        r"\midrule",
    ]
    for k, row in enumerate(rows(found)):
        if k and row[0]:
            lines.append(r"\addlinespace")
        numbers = [re.sub(r"-(?=\d)", "$-$", _latex(cell)) for cell in row[2:]]
        lines.append(_line([*map(_latex, row[:2]), *numbers]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def reasons(found: dict[str, Any]) -> list[str]:
    """Why cells are empty, each reason once."""
    given: dict[str, list[str]] = {}
    figures = [(m["name"], m["figures"]) for m in found["models"]]
    figures += [(pair["model"], pair["figures"]) for pair in found["pairs"]]
    for name, of in figures:
        for key, row in of.items():
            if row["reason"]:
                told = given.setdefault(row["reason"], [])
                told += [
                    k for k in [f"{name}: {LABELS.get(key, key)}"] if k not in told
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
    return shown, _p(row["p"]), _p(row["p_holm"])


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _markdown(cell: str) -> str:
    return MARKDOWN.sub(r"\\\1", " ".join(cell.split()))


def _latex(cell: str) -> str:
    return "".join(LATEX.get(char, char) for char in " ".join(cell.split()))
