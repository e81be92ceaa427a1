"""What a plan takes from runs that are done already."""

import numpy as np
import pytest

from tests.report.studies import study as evaluation_set
from tests.report.studies import undrawn
from tqgd_jax.config import Config
from tqgd_jax.evaluation.paired import Difference
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder
from tqgd_jax.study import plan, results
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
