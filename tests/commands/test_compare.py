"""`tqgd compare`: from folders of results to tables."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.report.studies import undrawn
from tests.report.test_comparison import study
from tqgd_jax.commands.compare import main
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder

ROOT = Path(__file__).parents[2]
RULES = EvaluationSettings(bootstraps=40)
QUICK = ["--bootstraps=40", "--repeats=300", "--keys", "point.iou0.5.recall"]


def of_fold(hits, fold, first):
    """One of two folds: patients have names of their own."""
    of = study(hits, patients=4, one_fold=f"fold {fold} of 2")
    images = []
    for image in of.images:
        patient = f"p{first + int(image.patient[1:])}"
        place = image.place._replace(patient=patient, scan=patient, fold=str(fold))
        name = f"{patient}_{image.place.z}"
        images.append(image._replace(name=name, place=place))
    return of._replace(images=tuple(images))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of results: good, poor, and poor again as two folds."""
    root = tmp_path_factory.mktemp("runs")
    made = {
        "good": study(8),
        "poor": study(2),
        "folds/fold-1/eval-test": of_fold(2, 1, 0),
        "folds/fold-2/eval-test": of_fold(1, 2, 4),
    }
    with undrawn():
        for name, of in made.items():
            result_folder.make(root / name, of, RULES)
    for name in ("deep/eval-test", "two/eval-test", "two/eval-val"):
        shutil.copytree(root / "poor", root / name)
    (root / "empty").mkdir()
    return root


def test_a_table_is_printed_and_no_file_written_without_out(runs, capsys, monkeypatch):
    monkeypatch.chdir(runs / "empty")
    assert main([str(runs / "poor"), str(runs / "good"), *QUICK]) == 0
    output = capsys.readouterr().out
    assert "recall, IoU 0.5, frozen  poor   0.250" in output
    assert "+0.750" in output
    assert "8 patients, 16 images, 8 boxes; protocol clinical: all slices" in output
    assert not list((runs / "empty").iterdir())


def test_files_are_written_whole(runs, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    words = [str(runs / "poor"), str(runs / "good"), *QUICK]
    assert main([*words, f"--out={out}"]) == 0
    names = ["comparison.json", "comparison.md", "comparison.tex"]
    assert sorted(path.name for path in out.iterdir()) == names
    actual = json.loads((out / "comparison.json").read_text())
    row = actual["pairs"][0]["figures"]["point.iou0.5.recall"]
    assert row["difference"] == 0.75
    assert (out / "comparison.md").read_text().startswith("| figure | model |")
    assert r"\toprule" in (out / "comparison.tex").read_text()
    assert f"written to {out}" in capsys.readouterr().out


def test_a_run_may_have_its_results_below_it(runs, capsys):
    assert main([str(runs / "deep"), str(runs / "good"), *QUICK]) == 0
    assert "deep" in capsys.readouterr().out


def test_folds_are_pooled_and_a_single_one_is_no_headline(runs, capsys):
    assert main([str(runs / "folds"), str(runs / "good"), *QUICK]) == 0
    output = capsys.readouterr().out
    assert "folds  0.375" in output  # 3 of 8 boxes, of both folds
    assert "8 patients" in output
    assert "not a headline" not in output
    one = runs / "folds" / "fold-1"
    assert main([str(one), str(runs / "good"), *QUICK]) == 1  # 4 of its 8 patients
    assert "16 images of A, 8 of B" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["poor", "poor"], "is named twice"),
        (["deep", "deep/eval-test"], "are the same results"),
        (["poor", "empty"], "no results.json in it or below"),
        (["poor", "gone"], "no such folder"),
        (["poor", "two"], "2 results, and .*eval-test is no fold of several"),
        (["poor", "good", "--keys", "ap50"], "no figure 'ap50'"),
        (["poor", "good", "--out=poor/results.json"], "name a folder"),
    ],
)
def test_a_fault_is_one_line(runs, monkeypatch, capsys, words, message):
    monkeypatch.chdir(runs)
    assert main([*words, "--bootstraps=40", "--repeats=300"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert re.search(message, printed.err)


@pytest.mark.parametrize(
    "words", [["poor"], [], ["a", "b", "--repeats=0"], ["a", "b", "--protocol=all"]]
)
def test_a_wrong_command_line_ends_with_its_usage(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: tqgd compare" in capsys.readouterr().err
