"""Csv of numbers, and a folder without what an earlier report left."""

import csv

from tqgd_jax.study import files
from tqgd_jax.study.figures.paper_figure import PaperFigure
from tqgd_jax.study.tables import Table


def test_a_cell_of_the_csv_is_one_number():
    columns = ["", "runs", "AP50", "mAP", "95 % interval", "p", "parameters", "none"]
    rows = [
        ["a", "5 of 5", "0.677 (0.587 to 0.768)", "0.5 (0.01)", "-0.114 to -0.033"],
        ["-", "0 of 5", "-", "0.4", "-"],
    ]
    rows[0] += ["<0.001", "5,303,000", "-"]
    rows[1] += ["0.020", "-", ""]
    titles, cells = files.numbers(columns, rows)
    assert titles == [
        *("", "runs", "AP50", "AP50 low", "AP50 high", "mAP", "mAP SD"),
        *("95 % interval low", "95 % interval high", "p", "parameters", "none"),
    ]
    assert cells == [
        [
            *("a", "5 of 5", "0.677", "0.587", "0.768", "0.5", "0.01"),
            *("-0.114", "-0.033", "<0.001", "5303000", ""),
        ],
        ["-", "0 of 5", "", "", "", "0.4", "", "", "", "0.020", "", ""],
    ]


def test_other_texts_stay_as_they_are():
    texts = ["1, 0, 2", "1 to 2 of 3", "0.5 (2 of 3)", "mean (SD)", "1,2", "+0.034"]
    columns = [str(k) for k in range(len(texts))]
    assert files.numbers(["", *columns], [["x", *texts]])[1] == [["x", *texts]]


def test_without_rows_the_columns_are_those_of_the_table():
    assert files.numbers(["", "a"], []) == (["", "a"], [])


def test_what_an_earlier_report_left_is_removed(tmp_path):
    for name in ("fig-2.png", "fig-8.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    tables = [Table(name, name, ["", "x"], [["a", "1"]]) for name in ("one", "two")]
    both = [PaperFigure(name, name) for name in ("fig-2", "fig-8")]
    files.write(tmp_path, tables, both)
    texts = {
        f"{name}.{kind}" for name in ("tables", "figures") for kind in ("md", "tex")
    }
    always = {"fig-2.png", "notes.txt", "one.csv", *texts}
    assert {file.name for file in tmp_path.iterdir()} == {
        *always,
        "two.csv",
        "fig-8.png",
    }
    files.write(
        tmp_path, tables[:1], [both[0], PaperFigure("fig-8", "x", missing="gone")]
    )
    assert {file.name for file in tmp_path.iterdir()} == always
    with (tmp_path / "one.csv").open(newline="") as file:
        assert [*csv.reader(file)] == [["", "x"], ["a", "1"]]
