"""Tables and figures of a data set as Markdown, LaTeX and csv."""

import re
from collections.abc import Sequence
from pathlib import Path

from tqgd_jax.io import atomic
from tqgd_jax.io import tables as csv
from tqgd_jax.report.text import markup
from tqgd_jax.study.figures.paper_figures import PaperFigure
from tqgd_jax.study.tables import Table

SIZE = r"width=\linewidth,height=.7\textheight,keepaspectratio"


def write(
    folder: Path, tables: Sequence[Table], figures: Sequence[PaperFigure]
) -> None:
    """Writes `NAME.csv` of each table, and `tables` and `figures` as .md and .tex.

    The pictures are there already. LaTeX needs booktabs and graphicx.
    """
    for table in tables:
        csv.write_table(folder / f"{table.name}.csv", table.columns, table.rows)
    texts = {
        "tables.md": [markup.markdown_table(*table[1:]) for table in tables],
        "tables.tex": [latex(table) for table in tables],
        "figures.md": [_markdown_figure(figure) for figure in figures],
        "figures.tex": [_latex_figure(figure) for figure in figures],
    }
    for name, parts in texts.items():
        with atomic.file(folder / name) as partial:
            partial.write_text("\n".join(parts))


def latex(table: Table) -> str:
    """A table no wider than the text: what is in brackets stands below, and small."""
    rows = []
    for first, *cells in table.rows:
        parts = [cell.partition(" (") for cell in cells]
        rows.append([first, *(value for value, _, _ in parts)])
        if any(rest for _, _, rest in parts):
            below = [rest and f"({rest}" for _, _, rest in parts]
            dash = "\N{EN DASH}"
            rows.append(
                ["", *(b if "-" in b else b.replace(" to ", dash) for b in below)]
            )
    text = markup.latex_table(
        _of_the_paper(table.title), table.columns, rows, table.notes, fitted=True
    )
    return re.sub(r"(?<=& )\([^()&]*\)", r"{\\scriptsize \g<0>}", text)


def _of_the_paper(title: str) -> str:
    """LaTeX has numbers of its own for tables and figures."""
    return f"The paper's {title}" if title.startswith(("Table ", "Fig. ")) else title


def _markdown_figure(figure: PaperFigure) -> str:
    first = f"### {markup.markdown(figure.title)}\n"
    if figure.missing:
        return f"{first}\nMissing: {markup.markdown(figure.missing)}\n"
    image = f"![{markup.markdown(figure.alt)}]({figure.name}.png)"
    return f"{first}\n{image}\n\n{markup.markdown(figure.caption)}\n"


def _latex_figure(figure: PaperFigure) -> str:
    title = _of_the_paper(figure.title)
    caption = f"{title}. {figure.caption}"
    image = rf"\includegraphics[{SIZE}]{{{figure.name}.png}}"
    if figure.missing:
        caption, image = f"{title}. Missing: {figure.missing}", ""
    lines = [r"\begin{figure}", r"\centering", image]
    lines += [rf"\caption{{{markup.latex(caption)}}}", r"\end{figure}", ""]
    return "\n".join(filter(None, lines)) + "\n"
