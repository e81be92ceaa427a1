"""Every number of a result made again from its tables, and compared."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqgd_jax.evaluation import calcium_section, results
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import lesion_rows, result_folder, result_tables
from tqgd_jax.report.html import page_reader
from tqgd_jax.report.html.gallery import caption, drawn, outcome
from tqgd_jax.report.html.html_tables import lesion_table, patient_table
from tqgd_jax.report.html.numbers import differences, same, verify
from tqgd_jax.report.html.page_sections import drawn_from
from tqgd_jax.report.result_files import json_bytes

BESIDE = ("inputs", "versions")  # of results.json, what the tables do not tell
# Of pixels, which a result does not hold: told by the table alone.
MEASURED = "hu_max"


def again(folder: Path) -> tuple[int, list[str]]:
    """Makes a result's figures, tables and page again from what was judged.

    Outcomes and counts in the csv files, all of `results.json`, and numbers, tables and
    counts of slices on the page; not the drawings, which show the same figures.

    Returns:
      How many numbers of `results.json` were compared, and a line for each difference
      of more than 1e-9.
    """
    eval_set, written = result_folder.read(folder)
    recorded = written["settings"]
    settings = EvaluationSettings(
        **{k: recorded[k] for k in EvaluationSettings._fields}
    )
    settings = settings._replace(
        size_px=tuple(settings.size_px), size_mm2=tuple(settings.size_mm2)
    ).checked()
    scores = result_folder.scores(folder)
    unscored = "" if scores else written["calcium"].get("reason", "")
    evaluators = results.evaluators(eval_set, settings)
    made = results.results(eval_set, settings, evaluators, scores, unscored)
    made = json.loads(json_bytes(made)) | {k: written.get(k) for k in BESIDE}
    wrong = [f"results.json{line}" for line in differences(written, made)]

    path = folder / "slices.csv"
    wrong += _other(path, result_tables.SLICES, result_tables.slice_rows(eval_set))
    patients = calcium_section.table(scores, eval_set, settings)
    wrong += _other(folder / "patients.csv", calcium_section.COLUMNS, patients)
    rows, path = lesion_rows.rows(eval_set, evaluators, None), folder / "lesions.csv"
    wrong += _other(path, result_tables.LESIONS, rows, MEASURED)

    path = folder / "report.html"
    try:
        page = page_reader.read(path.read_bytes().decode())
    except OSError as error:
        return _numbers(written), [*wrong, f"report.html: {error.strerror}"]
    wrong += [f"report.html: {line}" for line in verify(page, made)]
    cut, _ = drawn_from(made)
    used, total = [], 0
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in result_tables.read(folder / "lesions.csv", result_tables.LESIONS):
        total += 1
        if drawn(row, cut):
            used.append(row)
            counts[row["image"]][outcome(row)] += 1
    boxes = lesion_table(used, total, (), eval_set.classes)
    wrong += _cells("boxes", page.lesions, [line.cells for line in boxes.rows])
    cells = patient_table(patients, made).rows
    wrong += _cells("patients", page.patients, cells)
    for name, shown in page.slices:
        if not shown.endswith(caption(counts[name])):
            wrong.append(f"report.html: slice {name} has {caption(counts[name])!r}")
    return _numbers(written), wrong


def _other(
    path: Path,
    columns: tuple[str, ...],
    rows: Iterable[Mapping[str, Any]],
    but: str = "",
) -> list[str]:
    """Cells of a csv that are others than those of `rows`; column `but` may differ."""
    wrong, made = [], iter(rows)
    names = [name for name in columns if name != but]
    for k, row in enumerate(result_tables.read(path, columns)):
        want = next(made, None)
        if want is None:
            return [*wrong, f"{path.name}: row {k} and those after it are too many"]
        wrong += [
            f"{path.name}: row {k}, {name}: {row[name]!r} against {str(want[name])!r}"
            for name in names
            if not _same(row[name], str(want[name]))
        ]
    if next(made, None) is not None:
        wrong.append(f"{path.name}: rows are missing at its end")
    return wrong


def _same(a: str, b: str) -> bool:
    """Whether two cells are equal, or numbers that agree to 1e-9."""
    if a == b:
        return True
    try:
        return same(float(a), float(b))
    except ValueError:
        return False


def _cells(
    what: str, page: list[list[tuple[str, str]]], made: list[list[tuple[str, str]]]
) -> list[str]:
    """Rows of a table on the page that are others than those of the csv."""
    where = f"report.html: table of {what}"
    if len(page) != len(made):
        return [f"{where}: {len(page)} against {len(made)} rows"]
    wrong = []
    for k, (ours, theirs) in enumerate(zip(page, made, strict=True)):
        # the first cell names the row and is sorted by its name
        theirs = [(t, s if i else "") for i, (t, s) in enumerate(theirs)]
        if ours != theirs:
            wrong.append(f"{where}, row {k}: {ours} against {theirs}")
    return wrong


def _numbers(value: Any) -> int:
    """How many numbers a json document holds."""
    if isinstance(value, dict):
        return sum(_numbers(v) for v in value.values())
    if isinstance(value, list):
        return sum(_numbers(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
