"""Numbers of the page: rounding, places, and that a changed one is found."""

import copy

import pytest

from tests.report import made_up
from tqgd_jax.report.html import page
from tqgd_jax.report.html.numbers import (
    DASH,
    Numbers,
    differences,
    pointer,
    resolve,
    rounded,
    verify,
)
from tqgd_jax.report.html.page_reader import read


@pytest.fixture(scope="module")
def text() -> str:
    return page.render(made_up.results(), patients=made_up.patients())


def test_a_pointer_leads_back_through_dots_slashes_and_tildes():
    results = {"a.b": [{"froc.scan.1/8": 1}, {"~x": 2}]}
    assert pointer("a.b", 0, "froc.scan.1/8") == "/a.b/0/froc.scan.1~18"
    assert resolve(results, "/a.b/0/froc.scan.1~18") == 1
    assert resolve(results, pointer("a.b", 1, "~x")) == 2
    with pytest.raises(KeyError, match=r"nothing at /a\.b/2"):
        resolve(results, "/a.b/2")


@pytest.mark.parametrize(
    ("at", "value", "expected"),
    [
        ("/protocols/clinical/figures/ap.yolo.0.5/value", 0.76251, "0.763"),
        ("/protocols/clinical/figures/ap.yolo.0.5/low", 0.7, "0.700"),
        ("/protocols/clinical/spread/point.iou0.5.f1/sd", 0.01849, "0.018"),
        ("/protocols/clinical/figures/point.iou0.5.tp/value", 1234.0, "1,234"),
        ("/protocols/clinical/figures/point.iou0.5.tp/low", 97.475, "97.5"),
        ("/protocols/clinical/folds/0/figures/point.iou0.5.fp", 7.0, "7"),
        ("/calcium/figures/loa_low/value", -170.04, "-170.0"),
        ("/calcium/figures/sd/value", 12.34, "12.3"),
        ("/calcium/figures/volume.bias/high", -0.01, "0.0"),
        ("/calcium/figures/log_bias/value", -0.10449, "-0.104"),
        ("/calcium/confusion/0/1", 3, "3"),
        ("/settings/size_px/0", 10, "10"),
        ("/settings/thresholds/1", 0.31251, "0.313"),
        ("/settings/threshold", 0.00012345, "0.000123"),
        ("/protocols/paper/figures/optimistic.threshold/low", 0.0, "0.000"),
        ("/coco/APl", None, DASH),
    ],
)
def test_ratios_have_three_decimals_scores_one_and_counts_none(at, value, expected):
    assert rounded(at, value) == expected


def test_a_page_agrees_with_its_results(text: str):
    assert verify(read(text), made_up.results()) == []
    near = made_up.results()
    near["protocols"]["clinical"]["figures"]["ap.yolo.0.5"]["value"] += 1e-11
    assert verify(read(text), near) == []


def test_a_changed_result_is_found(text: str):
    changed = made_up.results()
    changed["protocols"]["paper"]["figures"]["froc.scan.1/8"]["low"] += 1e-6
    wrong = verify(read(text), changed)
    at = "/protocols/paper/figures/froc.scan.1~18/low"
    assert any(line.startswith(f"{at}: the page has") for line in wrong)
    assert any(line.startswith(f"embedded {at}") for line in wrong)


def test_a_changed_page_is_found(text: str):
    results = made_up.results()
    figure = results["protocols"]["clinical"]["figures"]["ap.yolo.0.5"]["value"]
    at = 'figures/ap.yolo.0.5/value"'
    shown = f'{at} data-value="{figure!r}">0.600<'
    assert shown in text
    wrong = verify(
        read(text.replace(shown, shown.replace(">0.600", ">0.900"))), results
    )
    assert len(wrong) >= 1
    assert "shows '0.900'" in wrong[0]
    wrong = verify(
        read(text.replace(shown, shown.replace(repr(figure), "0.9"))), results
    )
    assert "the page has 0.9" in wrong[0]


def test_a_missing_figure_and_a_page_without_numbers_are_found(text: str):
    poorer = copy.deepcopy(made_up.results())
    del poorer["calcium"]["figures"]["kappa"]
    wrong = verify(read(text), poorer)
    assert any("hold nothing at /calcium/figures/kappa/value" in w for w in wrong)
    assert "embedded /calcium/figures/kappa: in one of the two only" in wrong
    wrong = verify(read("<p>0.9</p>"), poorer)
    assert wrong[0] == "the page holds no numbers to verify"
    assert "cannot be read" in wrong[1]


def test_differences_name_their_places():
    a = {"x": [1, {"y": None}], "z": True}
    assert differences(a, {"x": [1 + 1e-12, {"y": None}], "z": True}) == []
    assert differences(a, {"x": [1, {"y": 0}], "z": 1}) == [
        "/x/1/y: None against 0",
        "/z: True against 1",
    ]
    assert differences([1], [1, 2], "/q") == ["/q: 1 against 2 entries"]


def test_reasons_are_numbered_afresh_below_each_table():
    numbers = Numbers(
        {"a": made_up.figure(None, reason="no box"), "b": made_up.figure(1.0)}
    )
    assert 'href="#why-0-1" title="no box">1</a>' in numbers.interval("/a")
    numbers.why("other <b>")
    assert "&lt;b&gt;" in numbers.why("other <b>")
    assert "why" not in numbers.interval("/b")
    assert numbers.reasons() == [("why-0-1", 1, "no box"), ("why-0-2", 2, "other <b>")]
    assert numbers.reasons() == []
    numbers.why("other <b>")
    assert numbers.reasons() == [("why-2-1", 1, "other <b>")]
