"""Tables as Markdown and LaTeX; what stands in a cell is escaped."""

import re
from collections.abc import Sequence

MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~])")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}

FITTED = (
    r"\setlength{\tabcolsep}{3pt}"
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
)


def markdown_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    *,
    names: int = 1,
) -> str:
    """A GitHub table; all but the first `names` columns are numbers."""
    rule = ["---"] * names + ["---:"] * (len(columns) - names)
    titles, *body = [[markdown(cell) for cell in row] for row in [columns, *rows]]
    lines = [f"| {' | '.join(row)} |" for row in [titles, rule, *body]]
    first = [f"### {markdown(title)}", ""] if title else []
    return "\n".join([*first, *lines, "", *(f"{markdown(line)}\n" for line in notes)])


def latex_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    *,
    names: int = 1,
    fitted: bool = False,
) -> str:
    """A table with the rules of the package booktabs; title and notes are its caption.

    A row whose first cell is not empty begins a group. `fitted`: one that is wider than
    the text is made as narrow, by the package graphicx.
    """
    grouped = any(not row[0] for row in rows)
    caption = " ".join(f"{line.rstrip('.')}." for line in (title, *notes) if line)
    lines = [
        r"\begin{table}",
        rf"\caption{{{latex(caption)}}}",
        r"\centering",
        *([FITTED] * fitted),
        rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(columns) - names)}}}",
        r"\toprule",
        _line([latex(cell) for cell in columns]),
        r"\midrule",
    ]
    for k, row in enumerate(rows):
        if grouped and k and row[0]:
            lines.append(r"\addlinespace")
        numbers = [re.sub(r"-(?=\d)", "$-$", latex(cell)) for cell in row[names:]]
        lines.append(_line([*map(latex, row[:names]), *numbers]))
    lines += [r"\bottomrule", r"\end{tabular}", *(["}"] * fitted), r"\end{table}", ""]
    return "\n".join(lines)


def markdown(cell: str) -> str:
    """Text as it stands in Markdown."""
    return MARKDOWN.sub(r"\\\1", " ".join(cell.split()))


def latex(cell: str) -> str:
    """Text as it stands in LaTeX."""
    return "".join(LATEX.get(char, char) for char in " ".join(cell.split()))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
