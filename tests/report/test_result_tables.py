"""The csv files: whatever a name holds comes back, and no spreadsheet computes it."""

import csv

import pytest

from tests.report.studies import study
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder, result_tables, verification

NAMES = (
    *("=cmd()", "+1", "-2", "@SUM(A1)", "'quoted", "''=x", 'a,"b"', "two\nlines"),
    *("a\rb", "\tx", "P/1", "..", "Ж 心 \N{GRINNING FACE}", " space "),
)


def test_every_name_comes_back_and_none_begins_a_formula(tmp_path):
    path = tmp_path / "t.csv"
    rows = [{"name": name, "value": -1.5} for name in NAMES]
    result_tables.write(path, ("name", "value"), rows)
    assert [row["name"] for row in result_tables.read(path, ("name", "value"))] == [
        *NAMES
    ]
    with path.open(newline="", encoding="utf-8") as lines:
        plain = list(csv.reader(lines))[1:]
    assert not [cell for cell, _ in plain if cell.startswith(("=", "+", "-", "@"))]
    assert {value for _, value in plain} == {"-1.5"}  # a number stays one


def test_a_result_of_odd_names_verifies(tmp_path):
    judged, pixels = study(patients=len(NAMES), slices=2)
    images = []
    for image in judged.images:
        name = NAMES[int(image.patient[1:])]
        place = image.place._replace(patient=name, scan=name, scanner=name)
        lesions = tuple(lesion._replace(artery=name) for lesion in image.lesions)
        name = f"{name}{image.place.z}"
        images.append(image._replace(name=name, place=place, lesions=lesions))
    judged = judged._replace(images=tuple(images), classes=("=class",))
    result_folder.make(
        tmp_path, judged, EvaluationSettings(bootstraps=20), pixels=pixels
    )
    assert verification.again(tmp_path)[1] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,value\na\n", "t.csv:2: not 2 cells"),
        (b"name,valve\na,1\n", "the columns are"),
        (b'name,value\n"a,1\n', "no csv"),
        (b"name,value\n\xff,1\n", "not UTF-8"),
        (b"", "the columns are"),
    ],
)
def test_a_spoilt_table_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        list(result_tables.read(path, ("name", "value")))
    assert str(path) in str(error.value)
