"""Effects against hand calculations, SciPy and published sample sizes."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tests.report.studies import study as evaluation_set
from tqgd_jax.config import Config
from tqgd_jax.evaluation import paired
from tqgd_jax.evaluation.paired import Difference, Drawn
from tqgd_jax.report.comparison.models import Model
from tqgd_jax.study import effects, tables
from tqgd_jax.study.design import Cell, Row
from tqgd_jax.study.effects import Effect, Effects
from tqgd_jax.study.results import RowResults


@pytest.mark.parametrize(("size", "patients"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_patients_needed_are_those_of_the_tables(size, patients):
    """Cohen's d of .2, .5, .8, paired t test, two-sided 5 %, 80 % (G*Power 3.1)."""
    assert effects.patients_for(size, 1.0) == patients
    assert (
        effects.detectable(1.0, patients)
        <= size
        < effects.detectable(1.0, patients - 1)
    )


def test_the_power_at_the_detectable_difference_is_80_percent():
    rng, n = np.random.default_rng(0), 12
    size = effects.detectable(2.0, n)
    drawn = rng.normal(size, 2.0, (20_000, n))
    p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
    assert abs((p < 0.05).mean() - 0.8) < 0.01  # standard error .003
    assert effects.detectable(1.0, 1) == math.inf


def pair(a: float, b: float, swapped: list[float]) -> Difference:
    rest = np.array([a - b, a - b + 0.1, a - b - 0.1])
    return Difference(a, b, rest, rest, np.array(swapped), 3, "")


def test_the_mean_of_pairs_exchanges_all_at_once():
    one, two = pair(0.6, 0.4, [0.2, -0.2]), pair(0.5, 0.1, [0.4, 0.0])
    mean = paired.mean([one, two])
    assert (mean.a, mean.b) == pytest.approx((0.55, 0.25))
    np.testing.assert_allclose(mean.exchanged, [0.3, -0.1])
    np.testing.assert_allclose(mean.resampled, [0.3, 0.4, 0.2])
    signed = paired.mean([one, two], [1, -1])
    assert signed.a - signed.b == pytest.approx((0.2 - 0.4) / 2)
    assert signed.exchanged.size == 0
    assert signed.row(0.95)["p"] is None


def network(*modules: str, hits: int, name: str = "") -> RowResults:
    """A row whose detections are right in the first `hits` patients of six."""
    whole, _ = evaluation_set(patients=6, slices=2)
    images = []
    for image in whole.images:
        right = int(image.patient[1:]) < hits
        boxes = image.boxes.astype(float) + (0 if right else 200)
        images.append(
            image._replace(
                det_boxes=boxes,
                det_scores=np.full(len(boxes), 0.9),
                det_labels=image.labels,
            )
        )
    made = whole._replace(images=tuple(images), point=())
    row = Row(name or "-".join(modules) or "none", name, {}, modules=modules)
    figures = {"clinical": {"figures": {"ap.yolo.0.5": {"value": hits / 6}}}}
    results = {"protocols": figures | {"paper": {"reason": "none"}}}
    model = Model(row.name, (), made, results)
    return RowResults(row, [CELL], {(0, 1): results}, {0: model})


CELL = Cell("d", "r", 1, 0, Config())
DRAWN = Drawn(bootstraps=200, repeats=64, seed=0)


def test_main_effects_are_means_over_the_networks_of_the_others():
    """AP50 is `base + thr + queen + thr x queen`; GD does nothing."""
    hits = {(): 1, ("thr",): 2, ("queen",): 2, ("thr", "queen"): 5}
    rows = []
    for n in range(4):
        for modules in itertools.combinations(("thr", "queen", "gd"), n):
            without = tuple(m for m in modules if m != "gd")
            rows.append(network(*modules, hits=hits[without]))
    ap = {key: rows_of(rows, key) for key in hits}
    found = {e.name: e for e in Effects(rows, "ap.yolo.0.5", DRAWN).modules()}
    thr = (ap[("thr",)] - ap[()] + ap[("thr", "queen")] - ap[("queen",)]) / 2
    assert found["ThrConvs"].row["difference"] == pytest.approx(thr)
    assert found["gather-and-distribute"].row["difference"] == pytest.approx(0)
    interaction = {
        e.name: e for e in Effects(rows, "ap.yolo.0.5", DRAWN).interactions()
    }["ThrConvs x Queen-fusion"]
    expected = (ap[("thr", "queen")] - ap[("queen",)] - ap[("thr",)] + ap[()]) / 2
    assert interaction.row["difference"] == pytest.approx(expected)
    assert interaction.row["p"] is None
    # Of the one run: the same of the figures in its results, hits / 6.
    assert interaction.by_cell == [pytest.approx((5 - 2 - (2 - 1)) / 6 / 2)]
    assert found["ThrConvs"].by_cell == [pytest.approx((2 - 1 + 5 - 2) / 6 / 2)]
    assert Effects(rows[:-1], "ap.yolo.0.5", DRAWN).modules() == []


def test_only_seeds_that_every_network_has_count():
    """A seed of two of the eight networks must not weigh on their pairs alone."""
    rows = [
        network(*modules, hits=5 if "queen" in modules else 2)
        for n in range(4)
        for modules in itertools.combinations(("thr", "queen", "gd"), n)
    ]
    before = Effects(rows, "ap.yolo.0.5", DRAWN)
    more = [
        dataclasses.replace(row, pooled={**row.pooled, 1: row.pooled[0]})
        if row.row.modules in ((), ("queen",))
        else row
        for row in rows
    ]
    after = Effects(more, "ap.yolo.0.5", DRAWN)
    for one, other in (
        (before.modules(), after.modules()),
        (before.interactions(), after.interactions()),
    ):
        assert [e.row for e in one] == [e.row for e in other]
    assert all(e.row["difference"] == 0 for e in after.interactions())


def test_holm_counts_rows_whose_runs_are_missing():
    base, a = network(hits=1, name="base"), network(hits=5, name="a")
    waiting = dataclasses.replace(network(hits=5, name="b"), pooled={}, done={})
    first, second = Effects([base, a, waiting], "ap.yolo.0.5", DRAWN).against(base)
    assert first.row["p_holm"] == pytest.approx(2 * first.row["p"])
    assert second.row == dict.fromkeys(("difference", "low", "high", "p", "p_holm")) | {
        "reason": "b: not yet (b: 0 of 1 runs)"
    }
    table = tables.effects("x", "X", [first, second], [])
    assert table.rows[1][:4] == ["b", "-", "-", "-"]
    assert table.notes == [second.row["reason"]]


def test_rows_on_other_images_are_named_and_the_others_are_told():
    base, a = network(hits=1, name="base"), network(hits=5, name="a")
    model = a.pooled[0]
    fewer = model.eval_set._replace(images=model.eval_set.images[1:])
    other = dataclasses.replace(
        network(hits=2, name="b"), pooled={0: model._replace(eval_set=fewer)}
    )
    first, second = Effects([base, a, other], "ap.yolo.0.5", DRAWN).against(base)
    assert first.row["difference"] > 0
    assert "b and base cannot be compared" in second.row["reason"]
    assert tables.effects("x", "X", [first, second], []).notes == [second.row["reason"]]


def test_patients_needed_have_bounds():
    def needed(difference: float, sd: float) -> int | None:
        row = {"difference": difference}
        return Effect("x", row, sd, 9, [], 1).needed

    assert needed(1e-5, 1.0) == effects.MOST
    assert needed(0.1, 0.0) is None
    assert needed(0.1, math.nan) is None
    assert needed(0.0, 1.0) is None


def test_of_several_seeds_there_is_mean_and_sd():
    row = network(hits=3, name="x")
    model = row.pooled[0]
    figures = {"figures": {"ap.yolo.0.5": {"value": 0.7, "low": 0.6, "high": 0.8}}}
    results = {"protocols": {"clinical": figures, "paper": {"reason": "none"}}}
    both = dataclasses.replace(
        row, pooled={0: model, 1: model._replace(results=results)}
    )
    # Mean of .5 and .7; SD .1 * sqrt 2.
    assert tables.pooled(both, "ap.yolo.0.5", "clinical") == "0.600 (0.141)"
    one = dataclasses.replace(row, pooled={1: both.pooled[1]})
    assert tables.pooled(one, "ap.yolo.0.5", "clinical") == "0.700 (0.600 to 0.800)"


def rows_of(rows: list[RowResults], modules: tuple[str, ...]) -> float:
    """AP50 of a row, by the evaluator."""
    from tqgd_jax.evaluation.evaluator import evaluate

    (row,) = [r for r in rows if r.row.modules == modules]
    made = row.pooled[0].eval_set
    return evaluate(list(made.images), list(made.classes))["AP50"]


def test_rows_are_compared_with_the_reference_and_holm_counts_them():
    rows = [
        network(hits=1, name="base"),
        network(hits=5, name="a"),
        network(hits=1, name="b"),
    ]
    two = Effects(rows, "ap.yolo.0.5", DRAWN).against(rows[0])
    assert [e.name for e in two] == ["a", "b"]
    assert two[0].row["p_holm"] == pytest.approx(min(1, 2 * two[0].row["p"]))
    # Exchanges of 6 patients, all of them: 4 differ, so 2 of 2^4 are as large.
    assert two[0].row["p"] == pytest.approx(2 / 2**4)
    assert two[1].row["difference"] == 0


@pytest.mark.parametrize(
    ("low", "high", "p", "words"),
    [
        (0.01, 0.05, 0.01, "helps here"),
        (-0.05, -0.01, 0.01, "harms here"),
        (-0.01, 0.05, 0.3, "cannot be told with these 40 patients"),
        (0.01, 0.05, 0.06, "cannot be told"),
    ],
)
def test_a_sentence_says_what_may_be_taken_from_it(low, high, p, words):
    row = {"difference": (low + high) / 2, "low": low, "high": high, "p": p}
    effect = Effect("GD", row | {"p_holm": p, "reason": ""}, 0.1, 40, [0.01], 1)
    assert words in effects.sentence(effect)


def test_a_table_with_a_missing_run_has_no_mean():
    row = network(hits=3, name="x")
    assert tables.spread(row, "ap.yolo.0.5", "clinical") == "0.500"
    half = dataclasses.replace(row, cells=[CELL, CELL])
    assert tables.spread(half, "ap.yolo.0.5", "clinical") == "-"
    assert tables.pooled(half, "ap.yolo.0.5", "clinical") == "-"
    figures = {"figures": {"ap.yolo.0.5": {"value": 0.7}}}
    other = {"protocols": {"clinical": figures, "paper": {"reason": "none"}}}
    both = dataclasses.replace(half, done={**row.done, (0, 2): other})
    # Mean of .5 and .7; SD .1 * sqrt 2.
    assert tables.spread(both, "ap.yolo.0.5", "clinical") == "0.600 (0.141)"
    folds = tables.folds(half)
    assert "1 of 2 runs are missing" in folds.notes[0]
    assert [cells[0] for cells in folds.rows] == ["fold 1, seed 0"]
