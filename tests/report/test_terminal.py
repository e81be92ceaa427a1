"""The outcome on one screen."""

import copy

import pytest

from tests.report.studies import nothing, study
from tqgd_jax.evaluation import results as assemble
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report.text.terminal import interval, summary

ONE = "one patient: no interval"  # of statistics.bootstrap


def results(judged):
    rules = EvaluationSettings(bootstraps=20)
    return assemble.results(judged, rules, assemble.evaluators(judged, rules))


@pytest.fixture(scope="module")
def written():
    return results(study()[0])


def test_each_line_names_rule_iou_and_threshold_of_both_protocols(written):
    lines = summary(written).splitlines()
    assert len(lines) <= 28
    assert max(map(len, lines)) <= 88
    assert lines[0] == "4 patients, 4 scans, 12 images, 12 boxes, 24 detections"
    figure = written["protocols"]["paper"]["figures"]["ap.coco.0.5"]
    row = next(line for line in lines if line.startswith("AP, IoU 0.5, COCO rule"))
    assert row.endswith(interval(figure))
    assert sum("OPTIMISTIC" in line for line in lines) == 1
    assert any("chosen on validation" in line for line in lines)


def test_without_a_frozen_threshold_only_optimistic_figures_are_told():
    text = summary(results(study(threshold=None)[0]))
    assert "no frozen threshold" in text
    assert "(data.hold_out) gives one, or `tqgd evaluate --threshold`" in text.replace(
        "\n", " "
    )
    assert not any(line.startswith("recall, IoU") for line in text.splitlines())


def test_a_small_threshold_is_told_with_its_digits():
    text = summary(results(study(threshold=0.00012345)[0]))
    assert "threshold 0.000123, frozen, chosen on validation" in text


def test_an_empty_set_still_has_a_summary():
    text = summary(results(nothing()))
    assert "0 boxes" in text
    assert "no paper figures: no image has a labelled box" in text


def test_what_takes_from_the_figures_is_said_before_them(written):
    plain = summary(written)
    assert "NOT A RESULT" not in plain
    assert "NO HEADLINE" not in plain
    changed = copy.deepcopy(written)
    changed["stamp"] = "patients leak"
    changed["headline"]["reason"] = "fold 1 of 5: one fold is no result"
    changed["note"] = "a note " * 60
    lines = summary(changed).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("AP,"))
    assert any("NOT A RESULT: patients leak" in line for line in lines[:first])
    assert any("NO HEADLINE: fold 1 of 5" in line for line in lines[:first])
    assert len(lines) <= 28


def test_few_patients_are_a_caution_and_enough_are_none(written):
    assert written["caution"].startswith("4 patients")
    assert "Caution: 4 patients" in summary(written)
    assert results(study(patients=10, slices=2)[0])["caution"] == ""


@pytest.mark.parametrize(
    ("patients", "why"),
    # study()'s first patient has no lesion
    [(1, "no ground-truth boxes: nothing to find"), (4, "")],
)
def test_why_there_is_no_interval_is_said_in_a_line(patients, why):
    text = summary(results(study(patients=patients)[0]))
    assert (f"No interval, or no figure: {why}" in text) == bool(why)


def test_the_reason_of_one_patient_is_said_once(written):
    changed = copy.deepcopy(written)
    for protocol in changed["protocols"].values():
        for figure in protocol["figures"].values():
            if figure["value"] is not None:
                figure |= {"low": None, "high": None, "reason": ONE}
    lines = summary(changed).splitlines()
    assert [x for x in lines if "patient:" in x or "one patient" in x] == [
        "No interval, or no figure: one patient"
    ]


def test_an_interval_is_written_behind_its_figure():
    figure = {"value": 0.5, "low": 0.25, "high": 0.75, "reason": ""}
    assert interval(figure) == "0.500 (0.250 to 0.750)"
    alone = {"value": 0.5, "low": None, "high": None, "reason": "one patient"}
    assert interval(alone) == "0.500"
    assert interval({"value": None, "low": None, "high": None, "reason": "x"}) == ""
