"""results.json is what results.schema.json says."""

import copy
import json
from importlib.resources import files

import pytest

from tests.report import made_up
from tests.report.studies import nothing, study
from tqgd_jax.evaluation import results as assemble
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report.result_files import json_bytes

jsonschema = pytest.importorskip("jsonschema", reason="see requirements-dev.txt")


@pytest.fixture(scope="module")
def validator():
    text = files("tqgd_jax.report").joinpath("results.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator.check_schema(schema := json.loads(text))
    return jsonschema.Draft202012Validator(schema)


def results(judged, pixels=None):
    """What bundle.make would write, without its files."""
    from tqgd_jax.report.result_folder import _scored

    rules = EvaluationSettings(bootstraps=20)
    scores, why = _scored(judged, pixels, rules)
    actual = assemble.results(
        judged, rules, assemble.evaluators(judged, rules), scores, why
    ) | {"inputs": {}, "versions": {}}
    return json.loads(json_bytes(actual))


def folds():
    first, pixels = study(fold="1", seed=1)
    second, others = study(fold="2", seed=2, threshold=0.6)
    both = first._replace(
        images=first.images + second.images,
        thresholds=first.thresholds + second.thresholds,
        sizes=first.sizes + second.sizes,
    )
    n = len(first.images)
    return both, lambda k: pixels(k) if k < n else others(k - n)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: study(), ("calcium", "figures")),
        (lambda: study(threshold=None), ("calcium", "reason")),
        (lambda: folds(), ("calcium", "figures")),
        (lambda: study(patients=1), ("calcium", "reason")),
        (lambda: (nothing(), None), ("calcium", "reason")),
        (lambda: study(one_fold="fold 1 of 5"), ("headline", "reason")),
    ],
    ids=("usual", "no threshold", "folds", "one patient", "nothing", "one fold"),
)
def test_results_of_every_kind_fit_the_schema(validator, make, part):
    actual = results(*make())
    assert [e.message for e in validator.iter_errors(actual)] == []
    assert actual[part[0]][part[1]]  # the kind that was meant


def test_a_single_fold_with_a_headline_breaks_the_schema(validator):
    actual = results(*study())
    actual["settings"]["part"] = "fold 1 of 5"
    assert not validator.is_valid(actual)
    actual["headline"] |= {"keys": [], "reason": "one fold"}
    assert validator.is_valid(actual)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.pop("coco"),
        lambda r: r["coco"].pop("ARl"),
        lambda r: r["yolo"].update(AP50="0.5"),
        lambda r: r["input"].update(boxes=-1),
        lambda r: r.update(schema="tqgd_jax.results/2"),
        lambda r: r["protocols"]["clinical"]["figures"].update({"map": {}}),
        lambda r: r["protocols"]["clinical"]["figures"]["ap.yolo.0.5"].update(
            value=None, reason=""
        ),
        lambda r: r["protocols"]["clinical"].update(folds=[{"fold": "1"}]),
        lambda r: r["headline"].update(keys=[]),
    ],
)
def test_a_wrong_result_breaks_the_schema(validator, spoil):
    actual = results(*study())
    spoilt = copy.deepcopy(actual)
    spoil(spoilt)
    assert validator.is_valid(actual)
    assert not validator.is_valid(spoilt)


def test_what_the_page_is_tested_with_fits_the_schema(validator):
    for made in (made_up.results(), made_up.results(folds=0), made_up.nothing()):
        made |= {"inputs": {}, "versions": {}}
        assert [e.message for e in validator.iter_errors(made)] == []
