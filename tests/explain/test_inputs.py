"""Which slices are explained."""

import numpy as np
import pytest

from tqgd_jax.explain.inputs import Slices, by_labels, chosen


def box(side):
    return np.array([[0.0, 0, side, side]])


def test_labelled_slices_go_from_small_to_large_and_over_patients():
    labels = [box(9), np.zeros((0, 4)), box(1), box(5), box(3), box(7)]
    each = [str(i) for i in range(6)]
    # by area: 2 (1), 4 (9), 3 (25), 5 (49), 0 (81); three at equal steps
    assert by_labels(labels, each, 3) == [2, 3, 0]
    assert by_labels(labels, each, 9) == [2, 4, 3, 5, 0]
    # the middle one is of the first one's patient: the next of another
    patients = ["a", "b", "c", "c", "d", "e"]
    assert by_labels(labels, patients, 3) == [2, 4, 0]
    assert by_labels(labels, ["one"] * 6, 3) == [2, 3, 0]


def brightest(image):
    """As confident as the first pixel is bright."""
    return image[0, 0] / 255


def slices(labels=None):
    values = [0, 200, 50, 100]
    none = [np.zeros((0, 4))] * 4
    return Slices(
        ["a", "b", "c", "d"],
        ["p"] * 4,
        lambda i: np.full((2, 2), values[i]),
        labels or none,
        (0.0, 255.0),
        "",
    )


def test_without_labels_the_most_confident_slices_in_their_order():
    assert chosen(slices(), brightest, 2, []) == [1, 3]
    assert chosen(slices(), brightest, 9, []) == [0, 1, 2, 3]


def test_asked_slices_are_names_or_numbers():
    assert chosen(slices(), brightest, 1, ["d", "0"]) == [3, 0]
    with pytest.raises(ValueError, match=r"no slice '4'; name one .* from 0 to 3"):
        chosen(slices(), brightest, 1, ["4"])
