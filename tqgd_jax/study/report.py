"""Tables and a page from what is done of a study, at any time, from its files alone."""

import base64
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from tqgd_jax.config import one_of
from tqgd_jax.evaluation.paired import Drawn
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.io import atomic
from tqgd_jax.report.html.template import environment, part
from tqgd_jax.study import (
    effects,
    files,
    honest_tables,
    paper_values,
    results,
    study_file,
    tables,
)
from tqgd_jax.study.effects import KEY, Effect, Effects
from tqgd_jax.study.figures import areas_figure, difficulty_figure
from tqgd_jax.study.figures.paper_figure import PaperFigure
from tqgd_jax.study.plan import measured_before
from tqgd_jax.study.results import RowResults
from tqgd_jax.study.run import simulated
from tqgd_jax.study.tables import Table

KEY_NAME = "AP50"

PAGE = "report.html"


class Section(NamedTuple):
    """What the page says of a data set.

    Attributes:
      name: of the data set.
      stamps: why nothing is a result; mostly empty.
      sentences: one for each module.
      tables, figures: their captions hold what every reader must know.
    """

    name: str
    stamps: list[str]
    sentences: list[str]
    tables: list[Table]
    figures: list[PaperFigure]


def make(root: Path, bootstraps: int, repeats: int, chosen: Sequence[str] = ()) -> Path:
    """Writes `ROOT/report/`: for each data set Markdown, LaTeX, csv, PNG; and one page.

    Args:
      root: folder of the study.
      bootstraps: resamples of the patients.
      repeats: exchanges of the networks in some patients.
      chosen: names of the rows that Fig. 8 shows; empty: all.

    Raises:
      ValueError: no study there, nothing of it is done, or no such row.
    """
    study = study_file.read(root)
    for name in chosen:
        one_of("--rows", name, [row.name for row in study.rows])
    settings = EvaluationSettings(bootstraps=bootstraps).checked()
    if repeats < 1:
        raise ValueError(f"--repeats must be 1 or more, got {repeats}")
    by_data = results.read(study, root, settings)
    if not any(row.done for rows in by_data.values() for row in rows):
        raise ValueError(
            f"{root}: no run of the study is done; `tqgd study run --out "
            f"{quote(str(root))}` first"
        )
    drawn = Drawn(bootstraps, repeats, settings.seed)
    networks = measured_before(root)
    sections = []
    out = root / "report"
    for name, rows in by_data.items():
        if not any(row.done for row in rows):
            continue
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        stamps = [r["stamp"] for row in rows for r in row.done.values()]
        stamps = [*dict.fromkeys(filter(None, stamps))]
        remarks = [f"NOT A RESULT: {text}" for text in stamps]
        if simulated(rows[0].cells[0].config.data.dir, root / name):
            remarks.insert(0, "Simulated patients")
        remark = ". ".join(remarks)
        of_rows = Effects(rows, KEY, drawn)
        modules = of_rows.modules()
        made = _tables(rows, study.reference, of_rows, modules, drawn)
        of_data = {k: n for k, n in networks.items() if n["data"] == name}
        made.append(tables.costs(rows, of_data))
        fig_8, in_numbers = difficulty_figure.slices(folder, rows, root, chosen, remark)
        drawings = [areas_figure.areas(folder, rows, name, remark), fig_8]
        section = Section(
            name,
            stamps,
            [effects.sentence(effect) for effect in modules],
            [
                table._replace(title=". ".join([table.title, *remarks]))
                for table in [*made, in_numbers]
                if table.rows
            ],
            [
                dataclasses.replace(each, title=". ".join([each.title, *remarks]))
                for each in drawings
            ],
        )
        files.write(folder, section.tables, section.figures)
        sections.append(section)
    with atomic.file(out / PAGE) as partial:
        partial.write_text(
            environment()
            .get_template("study.html")
            .render(
                title=f"Study {root.resolve().name}",
                sections=sections,
                images={
                    (section.name, figure.name): _base64(out / section.name, figure)
                    for section in sections
                    for figure in section.figures
                },
                errata=paper_values.ERRATA,
                css=part("page.css"),
            )
        )
    return out


def _tables(
    rows: list[RowResults],
    reference: str,
    of_rows: Effects,
    modules: list[Effect],
    drawn: Drawn,
) -> list[Table]:
    base = next(row for row in rows if row.row.name == reference)
    made = []
    for number in (1, 2, 3):
        if any(number in row.row.tables for row in rows):
            made += [tables.of_paper(number, rows), tables.honest(number, rows)]
    if any(cell.fold for cell in base.cells):
        made += [tables.folds(row) for row in rows if 4 in row.row.tables]
    made += [honest_tables.thresholds(rows, p) for p in honest_tables.PROTOCOLS]
    made += [honest_tables.froc(rows, unit) for unit in honest_tables.FROC]
    made.append(honest_tables.sizes(rows))
    how = (
        f"{KEY_NAME} on {tables.PROTOCOLS[tables.judged(rows)]}, on the seeds whose runs "
        "are all done. 95 % intervals over patients (images, where no patients are known), "
        f"{drawn.bootstraps:,} resamples; p of {drawn.repeats:,} exchanges of the "
        "networks, two-sided; p Holm over all that is planned with a p. Both are about "
        "other patients and these trained networks; what another training would change "
        "shows in the runs. With a gain: runs. SD of runs: of the difference between "
        "folds and seeds. SD of patients: of what a "
        "patient adds to the difference. Patients needed: to show a difference of this "
        "size with 80 % power (paired t test, two-sided 5 %, before Holm)."
    )
    made.append(
        tables.effects(
            "differences",
            f"Each row minus {base.row.label}",
            of_rows.against(base),
            [how],
        )
    )
    made.append(
        tables.effects(
            "modules",
            "Table 2 as a factorial design: what each module adds",
            modules + of_rows.interactions(),
            [
                how,
                "A module: mean over its four pairs of networks that differ in it alone. "
                "A x B: half of what A adds more with B than without it; no p, since "
                "exchanging networks would exchange main effects too.",
            ],
        )
    )
    return made


def _base64(folder: Path, figure: PaperFigure) -> str:
    """The picture for the page; empty where it is missing."""
    if figure.missing:
        return ""
    return base64.b64encode((folder / f"{figure.name}.png").read_bytes()).decode()
