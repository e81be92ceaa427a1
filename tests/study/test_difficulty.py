"""Difficulty and the rule of Fig. 8 on outcomes made by hand."""

import pytest

from tqgd_jax.study.figures import difficulty, slices_figure
from tqgd_jax.study.figures.difficulty import PLACE, Judged, Shown


def judged(*outcomes: str, crop: str = "0") -> Judged:
    """A slice of 100 x 100 px; boxes of 4 x 4 px at 10, 20, ... from the left, 50 down."""
    rows = []
    for k, outcome in enumerate(outcomes):
        x = 10 * (k + 1)
        kind = "box" if outcome in ("found", "missed", "ignored") else "detection"
        edges = {"x0": x, "y0": 50, "x1": x + 4, "y1": 54, "width": 4, "height": 4}
        rows.append(
            {"kind": kind, "outcome": outcome} | {n: str(v) for n, v in edges.items()}
        )
    place = dict.fromkeys(PLACE, crop)
    return Judged({"image": "s", "threshold": "0.25", **place}, rows)


def test_difficulty_is_the_mean_of_missed_boxes_and_false_alarms():
    one = {
        "both": judged("found", "hit", "missed"),
        "easy": judged("found", "hit"),
        "empty": judged("false alarm"),  # no lesion: not to be chosen
        "ignored": judged("ignored"),
        "alone": judged("missed"),
        "moved": judged("missed"),
    }
    two = {
        "both": judged("missed", "missed", "false alarm", "false alarm"),
        "easy": judged("found", "hit"),
        "empty": judged("false alarm"),
        "ignored": judged("ignored"),
        "moved": judged("missed", crop="1"),
    }
    assert difficulty.difficulties([one, two]) == {"both": (1 + 4) / 2, "easy": 0}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"e": 4, "d": 3, "c": 2, "b": 1, "a": 0}, "abcde"),
        # .25 of 5 is 1.25, .5 is 2.5 and up, .75 is 3.75.
        ({"f": 9, "e": 4, "d": 3, "c": 2, "b": 1, "a": 0}, "abdef"),
        ({"b": 1.0, "a": 1.0, "c": 0.5}, "cab"),  # .25 of 2 is .5 and up
        ({"z": 1.0, "y": 1.0, "x": 1.0, "w": 1.0, "v": 1.0}, "vwxyz"),
        ({"a": 7.0}, "a"),
        ({}, ""),
    ],
)
def test_slices_stand_at_quantiles_and_equal_ones_by_name(values, names):
    shown = difficulty.at_quantiles(values)
    assert "".join(one.name for one in shown) == names
    assert all(one.difficulty == values[one.name] for one in shown)


def test_what_stands_below_a_slice():
    of = judged("found", "hit", "missed", "false alarm", "ignored")
    assert (
        slices_figure.outcomes_text(of)
        == "1 of 2 found, 1 false alarm\nthreshold 0.250"
    )
    text = slices_figure.described(Shown(0.25, "s", 1 / 3))
    assert text == "quantile 0.25: 0.33 errors a network\ns"


def test_the_inset_shows_the_box_that_most_networks_miss():
    """The one at 20 px: centre (22, 52); 100 px x .44 / 4 = 11 px a side."""
    one, two = judged("missed", "missed"), judged("found", "missed")
    window = slices_figure.zoomed([one, two], (100, 100))
    assert window == pytest.approx((16.5, 46.5, 11.0))
    # Missed alike, the first; at 10 px of a slice of 40 px: 4.4 px, but a lesion of 4 px
    # fills .6 of 6.67 px.
    left, top, side = slices_figure.zoomed([one], (60, 40))
    assert (left, top, side) == pytest.approx((12 - 10 / 3, 52 - 10 / 3, 20 / 3))
    # It stays inside: 50 to 54 px down in 55 px.
    assert slices_figure.zoomed([one], (55, 400))[1] == pytest.approx(55 - 20 / 3)


def test_the_inset_stands_where_nothing_is():
    shape = (100, 100)
    window = (0.0, 0.0, 10.0)
    assert slices_figure.free_corner([], window, shape) == (56.0, 56.0)
    box = {"x0": "60", "y0": "60", "x1": "70", "y1": "70"}
    assert slices_figure.free_corner([box], window, shape) == (0.0, 56.0)
    low = box | {"x0": "0", "x1": "99"}
    assert slices_figure.free_corner([low], window, shape) == (56.0, 0.0)
