"""Categories of scores, at the edges where definitions part."""

import numpy as np
import pytest

from tqgd_jax.evaluation.calcium.risk_categories import (
    SCHEMES,
    categories,
    category,
    scheme,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("standard", "0 1-10 1-10 11-100 11-100 11-100 101-400 101-400 101-400 >400"),
        ("four", "0 1-100 1-100 1-100 1-100 1-100 101-400 101-400 101-400 >400"),
        ("cacdrs", "0 1-99 1-99 1-99 1-99 100-299 100-299 >=300 >=300 >=300"),
        ("deepcac", "0 1-100 1-100 1-100 1-100 1-100 101-300 101-300 >300 >300"),
        ("coarse", "0 1-99 1-99 1-99 1-99 >=100 >=100 >=100 >=100 >=100"),
    ],
)
def test_scores_at_the_edges(name, expected):
    scores = [0, 0.2, 10, 10.5, 99.9, 100, 100.5, 300, 400, 400.1]
    actual = [scheme(name).labels[category(s, scheme(name))] for s in scores]
    assert actual == expected.split()


def test_the_last_bit_of_a_sum_changes_no_category():
    up, down = np.nextafter(100.0, 101), np.nextafter(100.0, 99)
    for one in SCHEMES.values():
        three = categories(np.array([up, 100.0, down]), one)
        assert len(set(three.tolist())) == 1


@pytest.mark.parametrize("one", SCHEMES.values(), ids=SCHEMES)
def test_a_scheme_names_and_grades_each_category(one):
    assert len(one.labels) == len(one.grades) == len(one.edges) + 1
    assert one.edges[0] == 0
    assert list(one.edges) == sorted(set(one.edges))
    assert list(one.grades) == sorted(one.grades)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_what_is_no_score_has_no_category(wrong):
    with pytest.raises(ValueError, match="0 or more, got"):
        category(wrong, SCHEMES["four"])


def test_an_unknown_scheme_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="'five'; there are: standard, four"):
        scheme("five")
