"""A fold alone is no result, and folds are told apart."""

import numpy as np
import pytest

from tests.report.studies import study
from tqgd_jax.evaluation import fold_summary
from tqgd_jax.evaluation import results as assemble
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report.text.terminal import summary


def results(judged):
    rules = EvaluationSettings(bootstraps=20)
    return assemble.results(judged, rules, assemble.evaluators(judged, rules))


def with_folds(judged, *names):
    """Patients take the names in turn."""
    return judged._replace(
        images=tuple(
            i._replace(
                place=i.place._replace(fold=names[int(i.patient[1:]) % len(names)])
            )
            for i in judged.images
        )
    )


def test_images_of_one_named_fold_are_no_headline_though_nothing_else_says_so():
    judged = with_folds(study()[0], "3")
    assert judged.one_fold == ""
    actual = results(judged)
    assert actual["settings"]["part"] == "fold 3"
    assert actual["headline"]["keys"] == []
    assert "NO HEADLINE: fold 3: one fold is no result" in summary(actual)
    assert actual["protocols"]["clinical"]["folds"] == []
    assert results(with_folds(study()[0], "3", "4"))["headline"]["keys"]


def test_a_patient_without_a_fold_beside_others_is_refused():
    with pytest.raises(ValueError, match="2 of 4 patients name no fold, such as 'P1'"):
        results(with_folds(study()[0], "a", ""))


def test_a_patient_in_two_folds_is_refused():
    judged = with_folds(study()[0], "a", "b")
    first = judged.images[0]
    moved = first._replace(place=first.place._replace(fold="b"))
    with pytest.raises(ValueError, match="'P0' is in fold 'b' and in fold 'a'"):
        results(judged._replace(images=(moved, *judged.images[1:])))


def test_a_fold_has_one_threshold():
    judged = with_folds(study()[0], "a", "b")
    each = [0.3 if i.place.fold == "a" else 0.4 for i in judged.images]
    assert fold_summary.thresholds(judged._replace(thresholds=tuple(each))) == {
        "a": 0.3,
        "b": 0.4,
    }
    each[0] = 0.5
    with pytest.raises(ValueError, match=r"fold 'a': two thresholds, 0\.5 and 0\.3"):
        fold_summary.thresholds(judged._replace(thresholds=tuple(each)))
    alone = study()[0]
    assert fold_summary.thresholds(alone) == {}
    with pytest.raises(ValueError, match="no fold: two thresholds"):
        fold_summary.thresholds(alone._replace(thresholds=(0.1, *alone.thresholds[1:])))


def test_folds_stand_in_their_natural_order():
    judged = with_folds(study()[0], "10", "9")
    rows = fold_summary.weights(judged.images, ["P0", "P1", "P2", "P3"])
    assert list(rows) == ["9", "10"]
    np.testing.assert_array_equal(rows["10"], [1, 0, 1, 0])
