"""Models side by side: signs, protocols, adjusted p-values, and what must be said."""

import json

import numpy as np
import pytest

from tqgd_jax.evaluation import results as assemble
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report.comparison.differences import compare, holm
from tqgd_jax.report.comparison.models import Model, names
from tqgd_jax.report.text import comparison_text
from tqgd_jax.structures.evaluation_set import EvaluationSet, checked
from tqgd_jax.structures.image import Image, Place

KEYS = ("ap.yolo.0.5", "point.iou0.5.precision", "point.iou0.5.recall")
BOX, FAR = (10.0, 10.0, 20.0, 20.0), (40.0, 40.0, 50.0, 50.0)
RULES = EvaluationSettings(bootstraps=40)
FEW = {"keys": KEYS, "bootstraps": 40, "repeats": 300}


def image(patient, z, hit, alarm=False, box=BOX, labelled=True):
    """One labelled box or none; found with score .9, a false alarm with .8."""
    dets = [box] * hit + [FAR] * alarm
    scores = [0.9] * hit + [0.8] * alarm
    boxes = np.array([box] if labelled else []).reshape(-1, 4)
    return Image(
        f"{patient}_{z}",
        boxes,
        np.zeros(len(boxes), int),
        np.array(dets).reshape(-1, 4),
        np.array(scores),
        np.zeros(len(dets), int),
        place=Place(patient, patient, z),
    )


def study(hits, alarms=(), patients=8, **more):
    """Two slices for each patient, one of them empty.

    The box is found in the first `found` patients; the empty slice of each of `alarms`
    has a false alarm.
    """
    images = []
    for k in range(patients):
        images.append(image(f"p{k}", 0, k < hits))
        images.append(image(f"p{k}", 1, 0, alarm=k in alarms, labelled=False))
    limits = (0.5,) * len(images)
    return checked(
        EvaluationSet(tuple(images), ("calcium",), limits, source="given", **more)
    )


def model(name, of):
    evaluators = assemble.evaluators(of, RULES)
    return Model(name, (), of, assemble.results(of, RULES, evaluators))


@pytest.fixture(scope="module")
def good():
    return model("good", study(8, alarms=(0, 1)))


@pytest.fixture(scope="module")
def poor():
    return model("poor", study(2))


def test_a_difference_is_the_model_minus_the_first(good, poor):
    actual = compare([poor, good], **FEW)
    row = actual["pairs"][0]["figures"]
    recall, precision = row["point.iou0.5.recall"], row["point.iou0.5.precision"]
    assert actual["reference"] == "poor"
    assert (recall["model"], recall["reference"]) == (1.0, 0.25)
    assert recall["difference"] == 0.75
    assert 0 < recall["low"] < 0.75 < recall["high"] <= 1.0
    assert precision["difference"] == pytest.approx(8 / 10 - 1, abs=1e-12)
    turned = compare([good, poor], **FEW)["pairs"][0]["figures"]
    assert turned["point.iou0.5.recall"]["difference"] == -0.75


def test_p_is_the_share_of_exchanges_and_is_adjusted(good, poor):
    # Six of eight patients differ in recall, all in one direction; 2^8 exchanges are
    # fewer than 300. As large a difference: the six all kept or all exchanged.
    actual = compare([poor, good], **FEW)
    assert actual["settings"]["exact"]
    row = actual["pairs"][0]["figures"]
    assert row["point.iou0.5.recall"]["p"] == pytest.approx(2 / 2**6, abs=1e-12)
    given = [row[key]["p"] for key in KEYS]
    assert [row[key]["p_holm"] for key in KEYS] == pytest.approx(holm(given))


def test_holm_steps_down():
    # By hand: .005 x 4, .02 x 3, .03 x 2, and .04 x 1, but never below the one before.
    assert holm([0.04, 0.005, 0.03, 0.02]) == pytest.approx([0.06, 0.02, 0.06, 0.06])
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_paper_protocol_sees_no_false_alarm_on_an_empty_slice(good, poor):
    actual = compare([poor, good], protocol="paper", **FEW)
    assert (actual["protocol"], actual["images"]) == ("paper", 8)
    row = actual["pairs"][0]["figures"]["point.iou0.5.precision"]
    assert (row["model"], row["reference"]) == (1.0, 1.0)
    assert compare([poor, good], **FEW)["protocol"] == "clinical"


def test_a_model_without_empty_slices_is_compared_under_the_paper_protocol():
    images = tuple(image(f"p{k}", 0, 1) for k in range(3))
    of = EvaluationSet(images, ("calcium",), (0.5,) * 3, positive_only=True)
    two = [model("a", of), model("b", of)]
    assert compare(two, **FEW)["protocol"] == "paper"
    with pytest.raises(ValueError, match=r"a: no figures under .*'clinical'.*paper"):
        compare(two, protocol="clinical", **FEW)


def test_all_models_are_compared_with_the_first(good, poor):
    actual = compare([poor, good, model("best", study(8))], **FEW)
    assert [m["name"] for m in actual["models"]] == ["poor", "good", "best"]
    assert [pair["model"] for pair in actual["pairs"]] == ["good", "best"]
    ps = [row["p"] for pair in actual["pairs"] for row in pair["figures"].values()]
    defined = [p for p in ps if p is not None]
    lowest = min(
        row["p_holm"]
        for pair in actual["pairs"]
        for row in pair["figures"].values()
        if row["p_holm"] is not None
    )
    assert lowest == pytest.approx(min(1.0, min(defined) * len(defined)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i: i._replace(boxes=i.boxes + 1), r"B: poor: image 'p0_0': its boxes"),
        (lambda i: i._replace(name="x"), r"image 'x' of A is not in B"),
        (lambda i: i._replace(place=Place("q")), r"image 'p0_0': its patient differ"),
    ],
)
def test_models_of_other_ground_truth_are_refused(poor, change, words):
    of = study(4)
    other = of._replace(images=(change(of.images[0]), *of.images[1:]))
    with pytest.raises(ValueError, match=words):
        compare([poor, model("other", other)], **FEW)
    fewer = model("fewer", study(2, patients=7))
    with pytest.raises(ValueError, match=r"A: fewer, B: poor: 14 images of A, 16 of B"):
        compare([poor, fewer], **FEW)


def test_models_of_other_classes_and_unknown_figures_are_refused(good, poor):
    classes = model("c", study(2)._replace(classes=("stent",)))
    with pytest.raises(ValueError, match=r"c has the classes \['stent'\], poor \['cal"):
        compare([poor, classes], **FEW)
    with pytest.raises(ValueError, match=r"no figure 'ap.yolo.05'; near it: .*ap.yolo"):
        compare([poor, good], keys=["ap.yolo.05"])


def test_results_that_are_not_those_of_their_tables_are_refused(good, poor, tmp_path):
    results = json.loads(json.dumps(good.results))
    results["protocols"]["clinical"]["figures"]["ap.yolo.0.5"]["value"] += 1e-6
    forged = good._replace(results=results, folders=(tmp_path,))
    with pytest.raises(ValueError, match=r"says ap.yolo.0.5 = .*--verify"):
        compare([poor, forged], **FEW)


def test_a_segmentation_has_boxes_of_its_own_for_the_point(poor):
    # All found by the curve's cut, only two by the point's.
    maps = model("maps", study(8)._replace(point=study(2).images))
    row = compare([poor, maps], **FEW)["pairs"][0]["figures"]
    assert row["point.iou0.5.recall"]["difference"] == 0
    assert row["ap.yolo.0.5"]["model"] == pytest.approx(0.995, abs=1e-9)  # 1 at r < 1
    assert list(row) == list(KEYS)


def test_one_fold_a_stamp_and_few_patients_are_said(good):
    of = study(
        2, patients=4, one_fold="fold 1 of 5", disclaimer="slices leak", note="short"
    )
    actual = compare([model("a", of), model("b", study(1, patients=4))], **FEW)
    assert actual["warnings"] == [
        "a: NOT A RESULT: slices leak",
        "a: NO HEADLINE: fold 1 of 5 alone, and one fold is no result",
    ]
    for text in (comparison_text.text(actual), comparison_text.markdown(actual)):
        assert text.index("NO HEADLINE") < text.index("figure")  # before the table
    assert "NO HEADLINE" in comparison_text.latex(actual)
    notes = " | ".join(actual["notes"])
    assert "a: short" in notes
    assert "with 4 patients no p can be below 0.125" in notes
    assert "other seeds of training" in notes
    for render in ("text", "markdown", "latex"):
        page = getattr(comparison_text, render)(actual)
        assert "fold 1 of 5 alone" in page
        assert "NOT A RESULT" in page
        assert "4 patients" in page
    both = compare([good, good._replace(name="again")], **FEW)
    assert "no p can be" not in " ".join(both["notes"])


def test_a_figure_without_value_is_a_dash_with_its_reason(good):
    none = model("none", study(0))
    actual = compare([good, none], **FEW)
    row = actual["pairs"][0]["figures"]["point.iou0.5.precision"]
    assert row["difference"] is row["p"] is row["p_holm"] is None
    assert row["reason"]
    cells = comparison_text.rows(actual)
    assert cells[3] == ("", "none", "-", "-", "-", "-")
    assert row["reason"] in comparison_text.text(actual)
    json.dumps(actual, allow_nan=False)


def test_a_row_holds_value_interval_difference_and_both_p(good, poor):
    actual = compare([poor, good], **FEW)
    reference, row = comparison_text.rows(actual)[4:6]
    assert reference[:2] == ("recall, IoU 0.5, frozen", "poor")
    assert reference[2].startswith("0.250 (")
    assert reference[3:] == ("", "", "")
    assert row[:2] == ("", "good")
    assert row[2].startswith("1.000")
    assert row[3].startswith("+0.750 (+0.")
    assert row[4] == "0.031"  # 2 / 64
    page = comparison_text.text(actual)
    assert "all exchanges" in page
    assert "model minus poor" in page


TEXT = [
    rf"\text{name}{{}}"
    for name in ("backslash", "asciicircum", "asciitilde", "less", "greater")
]
NASTY = r"50%_A&B #1 $x^2$ {y} ~\end|<b>*"


def test_names_are_escaped_in_latex_and_markdown(good, poor):
    actual = compare([poor._replace(name=NASTY), good._replace(name="a\nb")], **FEW)
    tex = comparison_text.latex(actual)
    bare = tex
    for word in TEXT:
        assert word in tex
        bare = bare.replace(word, "")
    for char in "%_&#${}":
        assert f"\\{char}" in tex
        bare = bare.replace(f"\\{char}", "")
    assert "$-$0.200" in tex  # precision
    body = bare.replace("$-$", "").split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert not set("%#$^~{}") & set(body.replace("\\addlinespace", ""))
    lines = [line for line in body.strip().splitlines() if line != r"\addlinespace"]
    assert len(lines) == 2 * len(KEYS)
    assert all(line.count("&") == 5 and line.endswith(r"\\") for line in lines)
    table = comparison_text.markdown(actual).split("\n\n")[0].splitlines()
    assert len(table) == 2 + 2 * len(KEYS)
    unescaped = [line.replace(r"\|", "").count("|") for line in table]
    assert set(unescaped) == {7}
    assert r"\<b\>\*" in table[2]


def test_names_are_as_short_as_they_can_be(tmp_path):
    a, b = tmp_path / "a" / "eval-test", tmp_path / "b" / "eval-test"
    assert names([a, b]) == ["a/eval-test", "b/eval-test"]
    assert names([a.parent, b.parent]) == ["a", "b"]
    with pytest.raises(ValueError, match=r"b/../a.* is named twice"):
        names([tmp_path / "a", tmp_path / "b" / ".." / "a"])
