"""Tables, captions and figures of a study's report."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report import made_up
from tests.report.browser import browser, visit
from tests.report.studies import study as evaluation_set
from tests.study import studies
from tqgd_jax.config import Config
from tqgd_jax.evaluation.measures.froc import NAMES
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.io.tables import read_cells
from tqgd_jax.report import size_histogram
from tqgd_jax.report.comparison.models import Model
from tqgd_jax.study import honest_tables, report, results, study_file, tables
from tqgd_jax.study.design import Cell, Row
from tqgd_jax.study.figures import areas_figure, difficulty
from tqgd_jax.study.results import RowResults

LATEX = r"""\documentclass[a4paper]{article}
\usepackage{graphicx}
\IfFileExists{booktabs.sty}{\usepackage{booktabs}}{%
\let\toprule\hline\let\midrule\hline\let\bottomrule\hline
\newcommand{\addlinespace}{\noalign{\smallskip}}}
\begin{document}\input{tables.tex}\input{figures.tex}\end{document}
"""
SIMULATED = "Simulated patients"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A study in `study`, on a phantom in `data`, with its report."""
    home = tmp_path_factory.mktemp("study")
    studies.write(home / "study", home / "data")
    (home / "data" / "phantom.json").write_text("{}")
    report.make(home / "study", 20, 20)
    return home


def made_up_row() -> RowResults:
    """Invented figures, each of its own value."""
    results = made_up.results(folds=0)
    model = Model("x", (), evaluation_set(patients=1)[0], results)
    cell = Cell("d", "x", 1, 0, Config())
    return RowResults(Row("x", "X", {}), [cell], {(0, 1): results}, {0: model})


def cell_of(figure: dict) -> str:
    """A figure of results.json as the tables have it."""
    if figure["value"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**figure)


@pytest.mark.parametrize("unit", ["scan", "slice", "lesion"])
def test_froc_has_the_values_of_results(unit):
    row = made_up_row()
    of = row.done[0, 1]["protocols"]["clinical"]["figures"]
    table = honest_tables.froc([row], unit)
    assert table.columns == ["", "runs", "mean in a run", "mean", *NAMES]
    keys = [f"froc.{unit}.{rate}" for rate in ("cpm", *NAMES)]
    first = ["X", "1 of 1", f"{of[keys[0]]['value']:.3f}"]
    assert table.rows == [[*first, *(cell_of(of[key]) for key in keys)]]


def test_sizes_have_the_values_of_results():
    row = made_up_row()
    of = row.done[0, 1]["protocols"]["clinical"]["figures"]
    boxes, network = honest_tables.sizes([row]).rows
    names = ("0-10", "10-100", "100-200", ">200")
    counts = [f"{of[f'size.px.{n}.boxes']['value']:.0f}" for n in names]
    assert boxes == ["labelled boxes", "", *counts, *counts]
    keys = [f"size.px.{n}.{how}" for how in ("recall", "centre") for n in names]
    assert network[2:] == [cell_of(of[key]) for key in keys]
    assert network[5] == "-"  # no box above 200 px


@pytest.mark.parametrize("protocol", ["clinical", "paper"])
def test_frozen_thresholds_stand_beside_the_best(protocol):
    row = made_up_row()
    of = row.done[0, 1]["protocols"][protocol]["figures"]
    (cells,) = honest_tables.thresholds([row], protocol).rows
    keys = ["ap.yolo.0.5"]
    for kind in ("point.iou0.5", "optimistic"):
        keys += [f"{kind}.{name}" for name in ("precision", "recall", "f1")]
    gain = f"{of['optimistic.gain']['value']:.3f}"
    assert cells[2:] == [*(cell_of(of[key]) for key in keys), gain]
    row.done[0, 1]["protocols"][protocol] = {"reason": "not judged"}
    assert honest_tables.thresholds([row], protocol).rows == []


def test_where_only_slices_with_a_lesion_were_judged_the_tables_say_so():
    row = made_up_row()
    of = row.done[0, 1]["protocols"]
    of["clinical"] = {"reason": "not judged"}
    figure = of["paper"]["figures"]["froc.scan.cpm"]
    for table in (
        tables.honest(
            1, [dataclasses.replace(row, row=Row("x", "X", {}, tables=(1,)))]
        ),
        honest_tables.froc([row], "scan"),
        honest_tables.sizes([row]),
    ):
        assert "slices with a lesion" in table.title
        assert table.rows
    assert honest_tables.froc([row], "scan").rows[0][3] == cell_of(figure)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([(1, 0), (2, 0)], ["Folds pooled", "95 % intervals"]),
        ([(0, 0)], ["own test split", "95 % intervals"]),
        ([(1, 0), (2, 0), (1, 1), (2, 1)], ["Folds pooled", "mean (SD) over seeds"]),
    ],
)
def test_notes_say_how_figures_come_from_runs(cells, words):
    own = [Cell("d", "x", fold, seed, Config()) for fold, seed in cells]
    text = tables.how_pooled([RowResults(Row("x", "X", {}), own, {}, {})])
    assert all(word in text for word in words)
    assert ("interval" in text) != ("over seeds" in text)


def test_costs_are_those_that_were_measured():
    row, trained = made_up_row(), ["640", "200", "none"]
    assert tables.costs([row], {}).rows == [["X", *["-"] * 6, *trained]]
    measured = {key: 2.0 for _, key, _ in tables.COSTS} | {"parameters": 1234567}
    measured |= {"parameters_fused": 7, "device": "cpu: x", "steps": 3}
    table = tables.costs([row], {"x": measured})
    counts = ["1,234,567", "7", "2.0", "2.000", "2.0", "2.0"]
    assert table.rows == [["X", *counts, *trained]]
    assert "cpu: x" in table.notes[1]


@pytest.mark.parametrize(
    ("aps", "text"),
    [
        ((0.3, 0.6), []),
        ((0.01, 0.02), ["X did not learn here: AP50 is at most 0.020 in every run,"]),
        ((0.3, 0.02), ["X did not learn in 1 of 2 runs: AP50 is at most 0.020 there,"]),
    ],
)
def test_runs_that_learnt_nothing_are_named(aps, text):
    row, done = made_up_row(), {}
    for fold, ap in enumerate(aps, 1):
        figures = {"ap.yolo.0.5": {"value": ap}}
        done[0, fold] = {"protocols": {"paper": {"figures": figures}}}
    cells = [Cell("d", "x", fold, 0, Config()) for _, fold in done]
    row = dataclasses.replace(row, cells=cells, done=done)
    said = [sentence.partition(" on slices")[0] for sentence in tables.unlearnt([row])]
    assert said == text


def test_outcomes_add_up_to_the_counts_of_results(home):
    folder = home / "study" / "ct" / "base" / "fold-1" / "seed-0" / "eval-test"
    results = json.loads((folder / "results.json").read_text())
    of = results["protocols"]["clinical"]["figures"]
    judged = difficulty.read([folder])
    assert len(judged) == results["input"]["images"]
    for outcome, key in (("found", "tp"), ("missed", "fn"), ("false alarm", "fp")):
        count = sum(one.outcomes[outcome] for one in judged.values())
        assert count == of[f"point.iou0.5.{key}"]["value"]
        assert count > 0


def lines(path: Path) -> list[list[str]]:
    return [cells for _, cells in read_cells(path)]


def captions(folder: Path) -> dict[str, list[str]]:
    """Of each kind of file, the caption of every table and figure."""
    data = folder / "ct"
    page = (folder / "report.html").read_text("utf-8")
    of = {
        f"{name}.{kind}": re.findall(pattern, (data / f"{name}.{kind}").read_text())
        for name in ("tables", "figures")
        for kind, pattern in (("md", "(?m)^### .*"), ("tex", r"\\caption\{.*"))
    }
    of["html"] = re.findall(
        "(?s)<caption>.*?</caption>|<figcaption>.*?</figcaption>", page
    )
    return of


def test_every_caption_says_that_patients_are_simulated(home):
    found = captions(home / "study" / "report")
    tables, drawn = (len(found[f"{name}.md"]) for name in ("tables", "figures"))
    assert (tables, drawn) == (12, 2)
    assert {kind: len(of) for kind, of in found.items()} == {
        **{"tables.md": tables, "tables.tex": tables, "html": tables + drawn},
        **{"figures.md": drawn, "figures.tex": drawn},
    }
    for of in found.values():
        assert all(SIMULATED in caption for caption in of)


def test_every_caption_has_the_disclaimer_of_the_results(tmp_path):
    root = tmp_path / "study"
    studies.write(root, tmp_path / "data")
    for file in root.glob("ct/base/fold-1/*/eval-test/results.json"):
        stamp = "slices of one patient are in train & test"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"stamp": stamp}))
    report.make(root, 20, 20)
    for kind, of in captions(root / "report").items():
        for caption in of:
            assert "NOT A RESULT: slices of one patient are in train" in caption, kind
            assert SIMULATED not in caption


def test_figures_are_drawn_and_stand_in_the_page(home):
    folder = home / "study" / "report"
    page = (folder / "report.html").read_text("utf-8")
    assert page.count('src="data:image/png;base64,') == 2
    assert len(re.findall(r'<img [^>]*alt="[^"]{20,}"', page)) == 2
    with Image.open(folder / "ct" / "fig-8.png") as image:
        seen = np.asarray(image.convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(seen, -1, 0)
    assert ((blue > 200) & (red < 120)).any()  # labels
    assert ((red > 200) & (green < 120)).any()  # detections
    rows = lines(folder / "ct" / "fig-8-slices.csv")
    assert rows[0] == ["", "quantile", "errors a network", "base & 50 %", "a_b & 50 %"]
    assert [float(row[1]) for row in rows[1:]] == [*difficulty.QUANTILES]
    for row in rows[1:]:
        (_, missed_a, alarms_a), (_, missed_b, alarms_b) = (
            map(int, cell.split(", ")) for cell in row[3:]
        )
        errors = (missed_a + alarms_a + missed_b + alarms_b) / 2
        assert float(row[2]) == pytest.approx(errors, abs=0.006)


def test_without_the_data_the_report_says_what_is_missing(home, tmp_path):
    shutil.copytree(home / "study", tmp_path / "study")
    text = (tmp_path / "study" / "study.json").read_text()
    gone = text.replace(str(home / "data"), str(tmp_path / "gone"))
    (tmp_path / "study" / "study.json").write_text(gone)
    folder = report.make(tmp_path / "study", 20, 20, ["a_b"])
    page = (folder / "report.html").read_text("utf-8")
    assert re.search(rf"Fig. 8.* is missing: no pixels: {tmp_path}/gone: no such", page)
    assert page.count('src="data:image/png;base64,') == 1
    for of in captions(folder).values():
        assert all(SIMULATED in caption for caption in of)  # it was written down
    rows = lines(folder / "ct" / "fig-8-slices.csv")
    assert rows[0] == ["", "quantile", "errors a network", "a_b & 50 %"]
    with pytest.raises(ValueError, match="--repeats must be 1 or more, got 0"):
        report.make(tmp_path / "study", 20, 0)
    with pytest.raises(ValueError, match="--rows"):
        report.make(tmp_path / "study", 20, 20, ["none"])


def test_areas_are_counted_over_folds(home, monkeypatch, tmp_path):
    bars = {}
    monkeypatch.setattr(
        size_histogram, "draw", lambda _, counts, bins, __: bars.update(counts)
    )
    study = home / "study"
    rows = results.read(
        study_file.read(study), study, EvaluationSettings(bootstraps=20)
    )
    figure = areas_figure.areas(tmp_path, rows["ct"], "ct", "")
    by_hand = [0, 0, 0, 0]
    for fold in (1, 2):
        for image in evaluation_set(fold=str(fold), seed=fold)[0].images:
            for x0, y0, x1, y1 in image.boxes.tolist():
                area = (x1 - x0) * (y1 - y0)
                by_hand[(area > 10) + (area > 100) + (area > 200)] += 1
    assert bars["ct"] == by_hand
    assert by_hand[0] > 0
    assert by_hand[1] > 0
    assert f"{by_hand[1]} of 10-100 px" in figure.caption


def test_bars_are_shares_of_the_boxes(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(size_histogram, "save", lambda figure, _: seen.append(figure))
    size_histogram.draw(
        tmp_path / "x.png", {"a": [1, 3], "b": [2, 2], "c": [0, 0]}, "xy"
    )
    heights = [bar.get_height() for bar in seen[0].axes[0].patches]
    assert heights == [25, 75, 50, 50]


def test_latex_compiles(home, tmp_path):
    tex = next(filter(None, map(shutil.which, ("pdflatex", "tectonic"))), None)
    if tex is None:
        pytest.skip(
            "neither pdflatex nor tectonic is installed: no LaTeX to compile with"
        )
    folder = tmp_path / "tex"
    shutil.copytree(home / "study" / "report" / "ct", folder)
    (folder / "all.tex").write_text(LATEX)
    options = ["-halt-on-error"] if tex.endswith("pdflatex") else []
    done = subprocess.run(
        [tex, *options, "all.tex"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "all.pdf").stat().st_size > 10_000
    assert "Overfull \\hbox" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_only_regions_that_scroll_are_wider_than_the_screen(home, width):
    with (
        browser() as opened,
        visit(
            opened,
            home / "study" / "report" / "report.html",
            viewport={"width": width, "height": 800},
        ) as page,
    ):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
