"""Tables and a page from what is done of a study, at any time, from its files alone."""

from pathlib import Path

from tqgd_jax.evaluation.paired import Drawn
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.io import atomic
from tqgd_jax.io import tables as csv
from tqgd_jax.report.html.page import environment, part
from tqgd_jax.report.text import markup
from tqgd_jax.study import effects, paper_values, results, study_file, tables
from tqgd_jax.study.effects import KEY, Effect, Effects
from tqgd_jax.study.plan import measured_before
from tqgd_jax.study.results import RowResults
from tqgd_jax.study.tables import Table

KEY_NAME = "AP50"

PAGE = "report.html"
NOTHING = "The eight networks of Table 2 are not all done: nothing is said."


def make(root: Path, bootstraps: int, repeats: int) -> Path:
    """Writes `ROOT/report/`: for each data set Markdown, LaTeX, csv; and one page.

    Raises:
      ValueError: no study there, or nothing of it is done.
    """
    study = study_file.read(root)
    settings = EvaluationSettings(bootstraps=bootstraps).checked()
    by_data = results.read(study, root, settings)
    if not any(row.done for rows in by_data.values() for row in rows):
        raise ValueError(
            f"{root}: no run of the study is done; `tqgd study run --out {root}` first"
        )
    drawn = Drawn(bootstraps, repeats, settings.seed)
    networks = measured_before(root)
    sections = []
    out = root / "report"
    out.mkdir(exist_ok=True)
    for name, rows in by_data.items():
        if not any(row.done for row in rows):
            continue
        of_rows = Effects(rows, KEY, drawn)
        modules = of_rows.modules()
        made = _tables(rows, study.reference, of_rows, modules, drawn)
        made.append(tables.costs(rows, networks))
        sentences = [effects.sentence(effect) for effect in modules] or [NOTHING]
        made = [table for table in made if table.rows]
        sections.append((name, made, sentences, _disclaimers(rows)))
        folder = out / name
        folder.mkdir(exist_ok=True)
        for table in made:
            csv.write_table(folder / f"{table.name}.csv", table.columns, table.rows)
        for file, render in (
            ("tables.md", markup.markdown_table),
            ("tables.tex", markup.latex_table),
        ):
            with atomic.file(folder / file) as partial:
                partial.write_text("\n".join(render(*table[1:]) for table in made))
    with atomic.file(out / PAGE) as partial:
        partial.write_text(
            environment()
            .get_template("study.html")
            .render(
                title=f"Study {root.resolve().name}",
                sections=sections,
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
    made += [tables.folds(row) for row in rows if 4 in row.row.tables]
    how = (
        f"{KEY_NAME}, folds pooled. Intervals and p over patients ({drawn.bootstraps:,} "
        f"resamples, {drawn.repeats:,} exchanges), p Holm over the rows of the table. SD "
        "of runs: of the difference between folds and seeds. Patients needed: to show a "
        "difference of this size with 80 % power."
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


def _disclaimers(rows: list[RowResults]) -> list[str]:
    stamps = [r["stamp"] for row in rows for r in row.done.values()]
    return [*dict.fromkeys(filter(None, stamps))]
