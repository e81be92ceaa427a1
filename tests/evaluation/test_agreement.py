"""Agreement of scores: published and hand-made tables, brute force, poor cohorts."""

import numpy as np
import pytest

from tqgd_jax.evaluation.calcium.agreement import agreement, confusion, why
from tqgd_jax.evaluation.calcium.risk_categories import SCHEMES

STANDARD = SCHEMES["standard"]
# Shrout and Fleiss, Psychol. Bull. 1979, table 2: six targets, four judges.
JUDGED = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]


def agree(reference, predicted, weights=None, scheme=STANDARD):
    reference, predicted = np.array(reference, float), np.array(predicted, float)
    weights = np.ones((1, len(reference))) if weights is None else weights
    return agreement(reference, predicted, np.asarray(weights, float), scheme)


def point(reference, predicted, scheme=STANDARD):
    return {k: v[0] for k, v in agree(reference, predicted, scheme=scheme).items()}


def cohort(seed, patients=40):
    """Skewed scores with many zeros, and an imperfect second rater."""
    rng = np.random.default_rng(seed)
    reference = np.exp(rng.normal(3, 2, patients)) * (rng.random(patients) > 0.3)
    predicted = reference * np.exp(rng.normal(0, 0.5, patients))
    return reference.round(1), (predicted + rng.integers(0, 9, patients)).round(1)


def icc(table):
    """ICC(A,1) and ICC(C,1) by two-way analysis of variance, any number of raters."""
    n, k = table.shape
    mean, rows, columns = table.mean(), table.mean(axis=1), table.mean(axis=0)
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    raters = n * ((columns - mean) ** 2).sum() / (k - 1)
    rest = table - rows[:, None] - columns[None, :] + mean
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    both = between + (k - 1) * error
    apart = between - error
    return apart / (both + k * (raters - error) / n), apart / both


def test_icc_of_shrout_and_fleiss():
    a1, c1 = icc(np.array(JUDGED, float))
    assert round(a1, 2) == 0.29
    assert round(c1, 2) == 0.71


def test_icc_in_fractions_by_hand():
    # (1,2), (3,4), (5,9): means 3 and 5; MSR 2 x (1.5^2 + .5^2 + 3^2) ... by hand:
    # rows 1.5, 3.5, 7 about 4: 6.25 + .25 + 9 = 15.5, x 2 / 2 = 15.5 = MSR;
    # columns 3 and 5 about 4: 2 x 3 / 1 = 6 = MSC; differences 1, 1, 4 about 2:
    # 1 + 1 + 4 = 6, / 2 / 2 = 1.5 = MSE
    table = np.array([[1.0, 2], [3, 4], [5, 9]])
    a1, c1 = icc(table)
    assert c1 == pytest.approx((15.5 - 1.5) / (15.5 + 1.5))
    assert a1 == pytest.approx((15.5 - 1.5) / (15.5 + 1.5 + 2 / 3 * (6 - 1.5)))
    got = point(*table.T)
    assert (got["icc_a1"], got["icc_c1"]) == (pytest.approx(a1), pytest.approx(c1))


def test_two_raters_have_the_icc_of_the_analysis_of_variance():
    for seed in range(5):
        reference, predicted = cohort(seed)
        got = point(reference, predicted)
        expected = icc(np.stack([reference, predicted], axis=1))
        np.testing.assert_allclose([got["icc_a1"], got["icc_c1"]], expected, rtol=1e-12)


def test_a_bias_lowers_agreement_but_not_consistency():
    got = point([0, 10, 20], [5, 15, 25])
    assert got["icc_c1"] == pytest.approx(1)
    # MSR 2 x 100, MSE 0, MSC 3 x 25 / 2: 200 / (200 + 2 / 3 x 37.5)
    assert got["icc_a1"] == pytest.approx(200 / 225)


@pytest.mark.parametrize("table", [[[3, 3], [3, 3]], [[1, 2]]])
def test_icc_without_spread_is_nan(table):
    got = point(*np.array(table, float).T)
    assert np.isnan([got["icc_a1"], got["icc_c1"]]).all()


def test_kappa_of_a_table_worked_by_hand():
    # rows [2 1 0], [0 1 1], [0 0 1]: observed 2 / 6; expected, from the marginals
    # 3 2 1 and 2 2 2, (3 x 6 + 2 x 4 + 1 x 6) / 36 = 32 / 36
    reference, predicted = [0, 0, 0, 5, 5, 50], [0, 0, 5, 5, 50, 50]
    assert confusion(np.array(reference, float), np.array(predicted, float), STANDARD)[
        :3, :3
    ].tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    got = point(reference, predicted)
    assert got["kappa"] == pytest.approx(1 - (2 / 6) / (32 / 36))
    assert got["accuracy"] == pytest.approx(4 / 6)


def test_kappa_equals_brute_force_over_pairs_of_patients():
    for seed in range(5):
        reference, predicted = cohort(seed, 25)
        # a category is how many of 0, 10, 100, 400 a score exceeds
        a = [sum(s > e for e in (0, 10, 100, 400)) for s in reference]
        b = [sum(s > e for e in (0, 10, 100, 400)) for s in predicted]
        observed = np.mean([abs(x - y) for x, y in zip(a, b, strict=True)])
        expected = np.mean([abs(x - y) for x in a for y in b])
        assert point(reference, predicted)["kappa"] == pytest.approx(
            1 - observed / expected
        )


def test_chance_has_kappa_0_and_opposition_less():
    assert point([0, 0, 5, 5], [0, 5, 0, 5])["kappa"] == pytest.approx(0)
    assert point([0, 5], [5, 0])["kappa"] == pytest.approx(-1)


def test_the_scheme_decides_the_category():
    # 0, 1-99, >=100, against 0, 1-100, 101-400, >400
    reference, predicted = np.array([0, 0.5, 100]), np.array([0, 100.1, 99.9])
    table = confusion(reference, predicted, SCHEMES["coarse"])
    assert table.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    table = confusion(reference, predicted, SCHEMES["four"])
    assert table.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0] * 4, [0] * 4]
    right = point(reference, predicted, SCHEMES["four"])["accuracy"]
    assert right == pytest.approx(2 / 3)
    assert point(reference, predicted, SCHEMES["coarse"])["accuracy"] == 1 / 3


def test_bland_altman_by_hand():
    got = point([10, 20, 30, 40], [12, 19, 35, 42])
    # differences 2, -1, 5, 2: mean 2, squares 0 + 9 + 9 + 0 = 18, / 3 = 6
    assert got["bias"] == pytest.approx(2)
    assert got["sd"] == pytest.approx(6**0.5)
    assert got["loa_low"] == pytest.approx(2 - 1.96 * 6**0.5)
    assert got["loa_high"] == pytest.approx(2 + 1.96 * 6**0.5)
    assert got["mae"] == pytest.approx(10 / 4)


def test_bland_altman_of_logarithms_takes_one_more_than_the_score():
    # log(x + 1) of 0 -> e - 1 and of e - 1 -> 0: differences 1 and -1; then 1 and 1
    e = np.e - 1
    got = point([0, e], [e, 0])
    assert got["log_bias"] == pytest.approx(0)
    assert got["log_loa_high"] == pytest.approx(1.96 * 2**0.5)
    assert got["log_loa_low"] == pytest.approx(-1.96 * 2**0.5)
    assert point([0, 0], [e, e])["log_bias"] == pytest.approx(1)


def test_screening_by_hand_and_the_cut_itself_is_positive():
    got = point([0, 100, 100, 99.9, 400], [100, 100, 0, 99.9, 100])
    # at 100: 2 found, 1 missed, 1 false, 1 right below
    assert got["cut100.sensitivity"] == pytest.approx(2 / 3)
    assert got["cut100.specificity"] == pytest.approx(1 / 2)
    assert got["cut100.ppv"] == pytest.approx(2 / 3)
    assert got["cut100.npv"] == pytest.approx(1 / 2)
    assert got["cut100.f1"] == pytest.approx(4 / 6)
    assert got["cut400.sensitivity"] == 0
    assert got["cut400.specificity"] == 1
    assert {k.split(".")[0] for k in got if "." in k} == {
        "cut1",
        "cut10",
        "cut100",
        "cut400",
    }


def test_weights_equal_patients_written_down_several_times():
    reference, predicted = cohort(3, 12)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(12, [1 / 12] * 12, 6)
    got = agree(reference, predicted, weights)
    for row, times in enumerate(weights):
        expected = point(np.repeat(reference, times), np.repeat(predicted, times))
        for key, value in expected.items():
            np.testing.assert_allclose(got[key][row], value, rtol=1e-10, err_msg=key)


def test_no_calcium_at_all_gives_nan_with_a_reason():
    zeros = np.zeros(5)
    got = point(zeros, zeros)
    assert (got["accuracy"], got["bias"], got["sd"], got["mae"]) == (1, 0, 0, 0)
    assert (got["cut1.specificity"], got["cut1.npv"]) == (1, 1)
    reasons = {key: why(key, zeros, zeros) for key, v in got.items() if np.isnan(v)}
    assert set(reasons) == {
        "kappa",
        "icc_a1",
        "icc_c1",
        *(
            f"cut{c}.{k}"
            for c in (1, 10, 100, 400)
            for k in ("sensitivity", "ppv", "f1")
        ),
    }
    assert "one category" in reasons["kappa"]
    assert "spread" in reasons["icc_a1"]
    assert reasons["cut100.sensitivity"] == (
        "no patient at 100 or above in the reference"
    )
    assert reasons["cut100.ppv"] == "no patient is predicted at 100 or above"


def test_one_patient_has_a_bias_but_no_spread():
    one, other = np.array([50.0]), np.array([60.0])
    got = point(one, other)
    assert got["bias"] == 10
    for key in ("sd", "loa_low", "log_loa_high", "icc_a1", "icc_c1"):
        assert np.isnan(got[key])
        assert why(key, one, other).startswith("one patient")
    assert "one category" in why("kappa", one, other)


def test_no_patient_gives_nan_everywhere():
    none = np.zeros(0)
    got = point(none, none)
    assert all(np.isnan(v) for v in got.values())
    assert {why(key, none, none) for key in got} == {"no patient with both scores"}


def test_everyone_above_every_cut_has_no_specificity():
    many = np.array([500.0, 600])
    got = point(many, many)
    for key in ("specificity", "npv"):
        assert np.isnan(got[f"cut400.{key}"])
        assert "below 400" in why(f"cut400.{key}", many, many)


@pytest.mark.parametrize("score", [0.1, 1 / 3, 1e7 + 0.1])
def test_equal_scores_have_no_spread_whatever_the_rounding(score):
    # 0.1 + 0.1 + 0.1 is not 3 x 0.1; a sample may hold one patient n times
    got = agree([score] * 7, [score * 1.1] * 7, np.diag(np.arange(1, 8)))
    assert got["sd"][1:].tolist() == [0] * 6
    assert np.isnan(point([score] * 7, [score] * 7)["icc_a1"])
    assert np.isnan(point([score] * 7, [score * 1.1] * 7)["icc_c1"])
    # all disagreement is bias: no share of the variance is between patients
    assert point([score] * 7, [score * 1.1] * 7)["icc_a1"] == 0


def test_the_scores_of_a_prefix_have_the_reasons_of_the_figure():
    one = np.array([5.0])
    assert why("volume.icc_a1", one, one) == why("icc_a1", one, one)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1])
def test_what_is_no_score_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"predicted score .* of patient 1"):
        agree([1, 2], [1, bad])
