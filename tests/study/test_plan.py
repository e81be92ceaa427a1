"""What a plan takes from runs that are done already."""

import dataclasses

import numpy as np
import pytest

from tests.report.studies import study as evaluation_set
from tests.report.studies import undrawn
from tqgd_jax.commands import study as command
from tqgd_jax.config import Config
from tqgd_jax.evaluation.paired import Difference
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder
from tqgd_jax.study import plan, results, study_file
from tqgd_jax.study.design import DataSet, Row, Study

ROWS = tuple(Row(name, name, {}) for name in ("base", "same", "blind", "later"))
STUDY = Study(Config(), ROWS, (DataSet("ct", {"data.dir": "ct"}, 2),), reference="base")


def test_the_sd_of_a_difference_is_that_between_patients():
    """Of a figure that is a mean over patients: the SD of what they add."""
    rng = np.random.default_rng(0)
    each = rng.normal(0.1, 0.3, 40)
    resampled = each[rng.integers(0, 40, (20_000, 40))].mean(axis=1)
    none = np.zeros(0)
    difference = Difference(each.mean(), 0.0, none, resampled, none, 40, "")
    assert difference.sd == pytest.approx(each.std(), rel=0.02)  # standard error .5 %


def test_a_pilot_pairs_the_folds_that_both_have_done(tmp_path):
    """Fold 2 of "same" has no partner; "blind" finds nothing in one patient of three."""
    for row, fold in (("base", 1), ("same", 1), ("same", 2), ("blind", 1)):
        judged, _ = evaluation_set(fold=str(fold), seed=fold, one_fold=f"{fold} of 2")
        if row == "blind":
            images = [
                i._replace(det_scores=i.det_scores * (i.patient != "1P1"))
                for i in judged.images
            ]
            judged = judged._replace(images=tuple(images))
        folder = tmp_path / "ct" / row / f"fold-{fold}" / "seed-0" / results.EVALUATION
        folder.parent.mkdir(parents=True)
        with undrawn():
            result_folder.make(folder, judged, EvaluationSettings(bootstraps=50))
    spreads = plan.piloted(STUDY, tmp_path)
    assert set(spreads) == {"same", "blind"}
    assert spreads["same"] == (0.0, 4)
    sd, patients = spreads["blind"]
    assert patients == 4
    assert sd > 0


def test_without_a_partner_there_is_no_pilot(tmp_path):
    assert plan.piloted(STUDY, tmp_path) == {}


def test_a_plan_of_some_cells_measures_and_counts_these_alone(tmp_path, monkeypatch):
    of_row = dict.fromkeys(("parameters", "gflops", "step_s", "epoch_s"), 1)
    monkeypatch.setattr(
        plan, "_pilot", lambda *_: of_row | {"compile_s": 1, "patients": 7}
    )
    monkeypatch.setattr(plan, "same_folds", lambda *_: None)
    own = DataSet("own", {"data.dir": "own"}, 0)
    two = dataclasses.replace(STUDY, data=(*STUDY.data, own))
    text = plan.text(two, tmp_path, 1, 0.1, ["own", "same", "blind"])
    assert [*plan.measured_before(tmp_path)] == ["same", "blind"]
    assert "2 of 2 cells are left" in text
    assert "all as on own, " in text
    assert "own: 7 patients" in text


def test_plan_takes_only_as_run_does(tmp_path, capsys):
    study_file.write(STUDY, tmp_path)
    assert command.main(["plan", "--out", str(tmp_path), "--only", "nobody"]) == 1
    assert "--only: 'nobody' is no data set, row" in capsys.readouterr().err
