"""Difficulty and the rule of Fig. 8 on outcomes made by hand."""

from pathlib import Path

import pytest

from tqgd_jax.config import Config
from tqgd_jax.report import size_histogram
from tqgd_jax.study.design import Cell, Row
from tqgd_jax.study.figures import (
    areas_figure,
    difficulty,
    difficulty_figure,
    slices_figure,
)
from tqgd_jax.study.figures.difficulty import PLACE, Judged, Shown
from tqgd_jax.study.figures.paper_figure import PaperFigure
from tqgd_jax.study.results import RowResults
from tqgd_jax.study.tables import Table


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


def row_of(
    name: str, done: str, planned: str = "12345", label: str = "", seeds=(7, 3)
) -> RowResults:
    """A row whose folds `done` are done with the first seed."""
    cells = [Cell("d", name, int(k), s, Config()) for s in seeds for k in planned]
    results = {(seeds[0], int(k)): {} for k in done}
    return RowResults(Row(name, label or name, {}), cells, results, {})


@pytest.fixture
def fig_8(monkeypatch):
    """Draws nothing: each fold has a slice with a box, "blind" has no threshold."""

    def read(folders):
        _, row, fold, seed, _ = folders[0].parts[-5:]
        assert seed == "seed-7"
        return {} if row == "blind" else {f"slice of {fold}": judged("found", "hit")}

    monkeypatch.setattr(difficulty, "read", read)
    monkeypatch.setattr(difficulty_figure, "_pixels", lambda shown, row: [])
    monkeypatch.setattr(slices_figure, "draw", lambda *_: None)

    def drawn(
        *rows: RowResults, chosen: tuple[str, ...] = ()
    ) -> tuple[PaperFigure, Table]:
        return difficulty_figure.slices(Path(), rows, Path("root"), chosen, "")

    return drawn


def test_fig_8_names_seed_folds_and_the_networks_that_limit_them(fig_8):
    figure, table = fig_8(row_of("a", "12345"), row_of("b", "134"), row_of("c", "12"))
    words = "that all 2 networks judged with seed 7 (folds 1, 3 and 4"
    assert f"of 3 slices with a lesion {words} of 5)" in figure.caption
    assert "Folds are limited by: b (3 of 5 folds)." in figure.caption
    left = "Left out, with less than half of the folds of another network: c (2 of 5"
    assert left in figure.caption
    assert table.columns[3:] == ["a", "b"]
    figure, _ = fig_8(row_of("a", "12345"), row_of("b", "12345"))
    assert "with seed 7 (all folds)" in figure.caption
    assert "imited" not in figure.caption
    assert figure.caption.endswith("as large as in the slice.")


def test_fig_8_tells_rows_without_runs_from_those_without_a_threshold(fig_8):
    figure, _ = fig_8(row_of("a", "1"), row_of("blind", "1"), row_of("later", ""))
    assert "Judged without a frozen threshold: blind." in figure.caption
    assert "Not judged yet: later." in figure.caption
    figure, table = fig_8(row_of("blind", "1"), row_of("later", ""))
    assert figure.missing.endswith("threshold: blind. Not judged yet: later")
    assert table.rows == []


def test_fig_8_has_a_column_for_each_of_equal_labels(fig_8):
    rows = [row_of(name, "1", label="same") for name in ("a", "b")]
    _, table = fig_8(*rows)
    assert table.columns[3:] == ["same (a)", "same (b)"]
    assert fig_8(*rows, chosen=("b",))[1].columns[3:] == ["same (b)"]


def test_a_split_of_the_data_set_is_no_fold(fig_8):
    """And nobody knows whether its patients are apart."""
    figure, _ = fig_8(row_of("a", "0", "0"))
    assert "seed 7 (the data set's own test split)" in figure.caption
    assert "detections of the network at the threshold" in figure.caption
    assert "fold" not in figure.caption


@pytest.mark.parametrize(
    ("done", "planned", "words"),
    [
        ("0", "0", "Boxes of the data set's own test split, in"),
        ("12", "12", "Boxes of all folds, in"),
        ("14", "12345", "Boxes of folds 1 and 4 of 5, in"),
        ("2", "123", "Boxes of fold 2 of 3, in"),
    ],
)
def test_fig_2_counts_the_first_seed_and_names_its_folds(
    monkeypatch, done, planned, words
):
    bars = {}
    monkeypatch.setattr(size_histogram, "draw", lambda _, of, *__: bars.update(of))

    def results(boxes: int) -> dict:
        of = {
            f"size.px.{name}.boxes": {"value": boxes}
            for name in ("0-10", "10-100", "100-200", ">200")
        }
        size_px = [10, 100, 200]
        return {
            "settings": {"size_px": size_px},
            "protocols": {"clinical": {"figures": of}},
        }

    row = row_of("a", done, planned)
    for at in row.done:
        row.done[at] = results(1)
    row.done[3, int(done[0])] = results(50)  # of the second seed, though it is less
    figure = areas_figure.areas(Path(), [row_of("b", "", planned), row], "d", "")
    assert bars["d"] == [len(done)] * 4
    assert words in figure.caption
    row.done.clear()
    assert (
        areas_figure.areas(Path(), [row], "d", "").missing
        == "no run with seed 7 is done"
    )
