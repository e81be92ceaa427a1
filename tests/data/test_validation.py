"""Bad boxes: found, counted, and treated as `data.bad_labels` says."""

import logging
from pathlib import Path

import numpy as np
import pytest

from tqgd_jax.data.read import validation
from tqgd_jax.structures.annotation import Annotation, Problem

FILE = Path("x.xml")


def annotation(
    *boxes: tuple[float, ...], name: str = "a", **more: object
) -> Annotation:
    lines = tuple(range(10, 10 + len(boxes)))
    array = np.array(boxes, np.float64).reshape(-1, 4)
    return Annotation(FILE, array, (name,) * len(boxes), lines, **more)  # type: ignore[arg-type]


def check(annotation: Annotation, policy: str):
    boxes, kinds, _, problems = validation.check(
        annotation, (20, 30), {"a": 0, "b": 1}, policy
    )
    assert len(boxes) == len(kinds)
    assert boxes.dtype == np.float32
    assert kinds.dtype == np.int32
    return boxes.tolist(), [(p.line, p.kind) for p in problems]


@pytest.mark.parametrize(
    ("box", "kinds", "clipped"),
    [
        ((1, 2, 5, 9), [], [1, 2, 5, 9]),
        ((0, 0, 30, 20), [], [0, 0, 30, 20]),  # all of it
        ((5, 5, 5, 9), ["degenerate"], None),
        ((5, 9, 7, 5), ["degenerate"], None),
        ((float("nan"), 2, 5, 9), ["degenerate"], None),
        ((0, 2, float("inf"), 9), ["degenerate"], None),
        ((-3, 2, 5, 9), ["out_of_image"], [0, 2, 5, 9]),
        ((25, 15, 31, 22), ["out_of_image"], [25, 15, 30, 20]),
        ((31, 2, 35, 9), ["out_of_image"], None),  # nothing of it is inside
        # beside it: x0 of a relative box, 1.025 - 0.025, is not quite 1
        ((29.999999999999996, 2, 31, 9), ["out_of_image"], None),
        ((1, 2, 1.5, 9), ["sub_pixel"], [1, 2, 1.5, 9]),
        ((1, 19.5, 4, 20.25), ["out_of_image", "sub_pixel"], [1, 19.5, 4, 20]),
    ],
)
def test_one_box_under_every_policy(box, kinds, clipped):
    expected = [(10, kind) for kind in kinds]
    as_is = [list(box)] if not kinds else []
    assert check(annotation(box), "error") == (as_is, expected)
    assert check(annotation(box), "drop") == (as_is, expected)
    assert check(annotation(box), "clip") == ([clipped] if clipped else [], expected)


@pytest.mark.parametrize("policy", ["drop", "clip"])
def test_the_second_of_two_equal_boxes_goes(policy):
    twice = annotation((1, 2, 5, 9), (1, 2, 6, 9), (1, 2, 5, 9))
    assert check(twice, policy) == ([[1, 2, 5, 9], [1, 2, 6, 9]], [(12, "duplicate")])


def test_equal_boxes_of_two_classes_stay():
    a, b = annotation((1, 2, 5, 9)), annotation((1, 2, 5, 9), name="b")
    both = Annotation(FILE, np.concatenate([a.boxes, b.boxes]), ("a", "b"), (1, 2))
    boxes, kinds, _, problems = validation.check(
        both, (20, 30), {"a": 0, "b": 1}, "drop"
    )
    assert len(boxes) == 2
    assert kinds.tolist() == [0, 1]
    assert problems == []


@pytest.mark.parametrize("policy", ["drop", "clip"])
def test_a_class_without_a_name_goes(policy):
    assert check(annotation((1, 2, 5, 9), name="z"), policy) == (
        [],
        [(10, "unknown_class")],
    )


def test_fractions_become_pixels_and_rounding_is_no_fault():
    # right edge 1.0000005: what six decimals of centre and width can add up to
    half = annotation((0.5, 0.5, 1.0000005, 1.0), relative=True)
    assert check(half, "error") == ([[15, 10, 30, 20]], [])
    over = annotation((0.5, 0.5, 1.01, 1.0), relative=True)
    assert check(over, "clip") == ([[15, 10, 30, 20]], [(10, "out_of_image")])


def test_an_annotation_of_another_size_is_a_problem():
    assert check(annotation(size=(20, 30)), "drop") == ([], [])
    assert check(annotation(size=(30, 20)), "drop") == ([], [(0, "size_mismatch")])


@pytest.mark.parametrize("policy", ["error", "clip", "drop"])
def test_no_policy_keeps_boxes_made_for_another_size(policy):
    other = annotation((1, 2, 5, 9), size=(40, 60))
    problems = validation.check(other, (20, 30), {"a": 0}, policy).problems
    with pytest.raises(ValueError, match="1 size_mismatch") as caught:
        validation.enforce(problems, policy)
    assert "60x40 px, the image has 30x20: scale the boxes to this" in str(caught.value)
    assert "bad_labels" not in str(caught.value)


def test_every_kind_has_its_meaning():
    assert {*validation.INFO, *validation.FATAL} <= set(validation.KINDS)


def problems(kind: str, n: int) -> list[Problem]:
    return [Problem(FILE, k, kind, f"text {k}") for k in range(1, n + 1)]


def test_error_lists_the_first_and_counts_all():
    with pytest.raises(ValueError, match="26 problems in the data") as caught:
        validation.enforce(problems("degenerate", 25) + problems("crowd", 1), "error")
    text = str(caught.value)
    assert "1 crowd, 25 degenerate" in text
    assert "x.xml:20: degenerate: text 20" in text
    assert "x.xml:21" not in text
    assert "and 6 more" in text
    assert "data.bad_labels=clip" in text


@pytest.mark.parametrize("policy", ["clip", "drop"])
def test_other_policies_log_what_they_did(policy, caplog):
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        validation.enforce(problems("degenerate", 2), policy)
    assert f"data.bad_labels={policy}: 2 degenerate" in caplog.text
    assert "x.xml:2: degenerate" in caplog.text


def test_no_policy_covers_what_cannot_be_read():
    with pytest.raises(ValueError, match="1 unreadable") as caught:
        validation.enforce(problems("unreadable", 1) + problems("crowd", 1), "drop")
    assert "bad_labels" not in str(caught.value)


def test_an_image_without_annotation_is_no_fault():
    validation.enforce(problems("no_annotation", 3), "error")
    assert validation.faults(problems("no_annotation", 3)) == []
