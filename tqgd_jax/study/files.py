"""Tables and figures of a data set as Markdown, LaTeX and csv."""

import re
from collections.abc import Sequence
from pathlib import Path

from tqgd_jax.io import atomic
from tqgd_jax.io import tables as csv
from tqgd_jax.report.text import markup
from tqgd_jax.study.figures.paper_figure import PaperFigure
from tqgd_jax.study.tables import NONE, Table

NUMBER = r"([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
RANGE = f"{NUMBER} to {NUMBER}"
CELL = re.compile(rf"{NUMBER}(?: \((?:{NUMBER}|{RANGE})\))?")
INTERVAL = re.compile(RANGE)
ENDS = ("", " SD", " low", " high")  # of the titles, as CELL has its groups
SIZE = r"width=\linewidth,height=.7\textheight,keepaspectratio"


def write(
    folder: Path, tables: Sequence[Table], figures: Sequence[PaperFigure]
) -> None:
    """Writes `NAME.csv` of each table, and `tables` and `figures` as .md and .tex.

    The pictures are there already. Tables and pictures of an earlier report that this one
    has not are removed. LaTeX needs booktabs and graphicx.
    """
    made = {f"{figure.name}.png" for figure in figures if not figure.missing}
    for table in tables:
        made.add(name := f"{table.name}.csv")
        with atomic.file(folder / name) as partial:
            csv.write_table(partial, *numbers(table.columns, table.rows))
    for file in (*folder.glob("*.csv"), *folder.glob("fig-*.png")):
        if file.name not in made:
            file.unlink()
    texts = {
        "tables.md": [markup.markdown_table(*table[1:]) for table in tables],
        "tables.tex": [latex(table) for table in tables],
        "figures.md": [_markdown_figure(figure) for figure in figures],
        "figures.tex": [_latex_figure(figure) for figure in figures],
    }
    for name, parts in texts.items():
        with atomic.file(folder / name) as partial:
            partial.write_text("\n".join(parts))


def numbers(
    columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """A table for programs: a number a cell, and nothing where there is none.

    "value (low to high)" and "value (SD)" become columns of their own, and thousands have
    no commas. The first column, names, stays as it is, and so do all other texts.
    """
    titles, parts = [*columns[:1]], [[*row[:1]] for row in rows]
    for k, title in enumerate(columns[1:], 1):
        by_end = [_parts(row[k]) for row in rows]
        own = [end for end in ENDS if any(end in of for of in by_end)] or [""]
        if title.endswith("interval"):
            own = [" low", " high"]
        titles += [f"{title}{end}" for end in own]
        for line, of in zip(parts, by_end, strict=True):
            line += [of.get(end, "") for end in own]
    return titles, parts


def _parts(cell: str) -> dict[str, str]:
    """What a cell holds, by the end of its column's title; nothing for a dash."""
    if cell in ("", NONE):
        return {}
    if match := CELL.fullmatch(cell):
        ends = zip(ENDS, match.groups(), strict=True)
        return {end: part.replace(",", "") for end, part in ends if part}
    if match := INTERVAL.fullmatch(cell):
        low, high = match.groups()
        return {" low": low.replace(",", ""), " high": high.replace(",", "")}
    return {"": cell}


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
