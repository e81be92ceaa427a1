"""Two models on the same patients: permutations by hand, intervals, refusals."""

import itertools

import numpy as np
import pytest

from tests.evaluation.cohorts import cohort
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.paired import KEYS, compare, exchanges, p_value

CLASSES = ["a", "b"]


def worse(images):
    """The same model without every second detection."""
    return [
        i._replace(
            det_boxes=i.det_boxes[::2],
            det_scores=i.det_scores[::2],
            det_labels=i.det_labels[::2],
        )
        for i in images
    ]


def against(a, b, **kwargs):
    limits = [0.4] * len(a)
    return compare(a, limits, b, limits, CLASSES, bootstraps=100, **kwargs)


def test_values_are_those_of_each_model_alone():
    a = cohort(1)
    b = worse(a)
    got = against(a, b)
    assert list(got) == list(KEYS)
    for images, side in ((a, "a"), (b, "b")):
        alone = Evaluator(images, CLASSES, 0.4)
        values = alone.figures(np.ones((1, 6)), KEYS)
        for key in KEYS:
            assert got[key][side] == pytest.approx(values[key][0], abs=1e-12), key
    for row in got.values():
        assert row["difference"] == pytest.approx(row["a"] - row["b"])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["reason"] == ""


def test_p_counts_the_exchanges_that_give_as_much():
    # Every exchange of four patients, each with a judge of its own.
    a = cohort(5, patients=4, slices=3)
    b = worse(a)
    key = "point.iou0.5.recall"
    names = sorted({image.patient for image in a})
    differences = []
    for choice in itertools.product([True, False], repeat=len(names)):
        keep = dict(zip(names, choice, strict=True))
        pairs = list(zip(a, b, strict=True))
        first = [x if keep[x.patient] else y for x, y in pairs]
        second = [y if keep[x.patient] else x for x, y in pairs]
        values = [
            Evaluator(images, CLASSES, 0.4).figures(np.ones((1, 4)), [key])[key][0]
            for images in (first, second)
        ]
        differences.append(values[0] - values[1])
    seen = abs(differences[0])
    expected = np.mean([abs(d) >= seen - 1e-12 for d in differences])
    assert against(a, b, keys=[key])[key]["p"] == pytest.approx(expected)
    assert 2 / 16 <= expected < 1


def test_a_model_against_itself_has_no_difference():
    a = cohort(2, ties=True)
    for row in against(a, a).values():
        assert (row["difference"], row["low"], row["p"]) == (0, None, 1)
        assert row["reason"].startswith("the same in every resample")


def test_exchanges_are_all_or_at_random():
    rows = exchanges(3, 8, seed=0)
    assert {tuple(row) for row in rows.tolist()} == set(
        itertools.product([0.0, 1.0], repeat=3)
    )
    assert exchanges(3, 7, seed=0).shape == (7, 3)


def test_p_is_never_zero_and_undefined_exchanges_count():
    chance = np.array([0.1, -0.3, 0.0])
    assert p_value(0.2, chance, 40) == 2 / 4
    assert p_value(0.5, chance, 40) == 1 / 4
    assert p_value(0.5, np.array([0.1, np.nan, 0.0]), 40) == 2 / 4
    assert p_value(0.5, np.array([0.5, -0.5, 0.1, 0.1]), 2) == 2 / 4


def test_many_patients_are_compared_block_by_block(monkeypatch):
    a = cohort(5)
    whole = against(a, worse(a), repeats=40)
    monkeypatch.setattr("tqgd_jax.evaluation.paired.BLOCK", 4 * 6 * 7)  # 7 rows at once
    for key, row in against(a, worse(a), repeats=40).items():
        assert row == pytest.approx(whole[key], abs=1e-12), key


def test_order_of_images_does_not_matter():
    a = cohort(3)
    b = worse(a)
    assert against(a, b[::-1], keys=["froc.scan.cpm"]) == against(
        a, b, keys=["froc.scan.cpm"]
    )


def test_a_figure_without_a_value_has_a_reason():
    a = cohort(1)
    none = [None] * len(a)
    got = compare(a, none, worse(a), none, CLASSES, bootstraps=10, repeats=10)
    row = got["point.iou0.5.f1"]
    assert row["difference"] is row["low"] is row["p"] is None
    assert "no threshold" in row["reason"]
    assert got["ap.yolo.0.5"]["difference"] is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i._replace(boxes=i.boxes + 1), "its boxes differ"),
        (lambda i: i._replace(name="other"), "of A is not in B"),
        (
            lambda i: i._replace(place=i.place._replace(patient="q")),
            r"its patient differ between A \(p0\) and B \(q\)",
        ),
        (lambda i: i._replace(labels=i.labels + 1), "its classes differ"),
        (lambda i: i._replace(ignore=i.counting), "its ignored boxes differ"),
    ],
)
def test_models_judged_on_different_ground_truth_are_refused(change, message):
    a = cohort(1)
    b = worse(a)
    k = next(k for k, image in enumerate(b) if len(image.boxes))
    b[k] = change(b[k])
    with pytest.raises(ValueError, match=f"image '{a[k].name}'.*{message}"):
        against(a, b)
    with pytest.raises(ValueError, match="24 images of A, 23 of B"):
        against(a, b[:-1])


def test_a_crowd_of_one_that_the_other_only_ignores_is_refused():
    # By COCO's rule the two are judged by different boxes.
    a = cohort(1)
    b = [i._replace(ignore=i.iscrowd, iscrowd=None) for i in worse(a)]
    with pytest.raises(ValueError, match="its crowd regions differ"):
        against(a, b)
