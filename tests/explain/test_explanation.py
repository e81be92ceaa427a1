"""Maps of an image: where they lie, of which boxes, and what is refused."""

import dataclasses

import numpy as np
import pytest

from tests.explain.tiny import SIDE, predictor, shallow, spot
from tqgd_jax.explain import Explainer, explain
from tqgd_jax.explain.formulas import METHODS, unit

__all__ = ["shallow"]


@pytest.fixture(scope="module")
def explainer():
    return Explainer(predictor(), ("head", "fpn/p3", "fpn/p4"))


def test_a_map_of_each_method_is_of_the_image(explainer):
    image = spot()[4:60]  # 56 x 64: letterboxed
    of = explainer.candidates(image)
    for method in METHODS:
        for explanation in explainer.explain(of, method, range(2)).values():
            assert explanation.map.shape == (56, 64)
            assert 0 <= explanation.map.min() <= explanation.map.max() <= 1
            assert len(explanation.raw) == len(explanation.scores) == 2
            assert explanation.boxes.max() <= 64
    p3 = explainer.explain(of)["fpn/p3"]
    p4 = explainer.explain(of)["fpn/p4"]
    assert (p3.raw[0].shape, p4.raw[0].shape) == ((8, 8), (4, 4))


def test_the_map_of_an_image_is_the_highest_of_its_boxes(explainer):
    of = explainer.candidates(spot())
    both = explainer.explain(of, which=(0, 1))["head"]
    each = [explainer.explain(of, which=(k,))["head"].map for k in (0, 1)]
    np.testing.assert_array_equal(both.map, np.maximum(*each))
    assert len(explainer.explain(of)["head"].boxes) == min(10, len(of.number))


def test_a_cell_lies_over_its_pixels(explainer):
    cells = np.zeros((8, 8))
    cells[2, 5] = 1.0
    # 32 x 64 px lie in rows 16 to 48 of the input, one to one: cell 2 is rows 0 to 7
    seen = explainer.in_image(cells, (32, 64))
    assert seen.shape == (32, 64)
    y, x = np.unravel_index(seen.argmax(), seen.shape)
    assert (y in (3, 4), x in (43, 44)) == (True, True)
    # bilinear by hand: half a pixel from the centre of a cell of 8 px, both ways
    assert seen.max() == pytest.approx((1 - 0.5 / 8) ** 2)
    # 16 x 32 px are enlarged twice
    small = explainer.in_image(cells, (16, 32))
    assert small[1, 21] == pytest.approx((1 - 1 / 8) ** 2)
    assert explainer.in_image(np.ones((4, 4)), (20, 30)).min() == pytest.approx(1)


def test_a_box_whose_head_does_not_read_the_module_has_no_map_there(explainer):
    of = explainer.candidates(spot())
    coarse = [k for k in range(len(of.number)) if of.number[k] >= 192][:1]
    assert coarse
    maps = explainer.explain(of, which=coarse)  # of P4; fpn/p3 is read by P3 alone
    assert maps["fpn/p3"].flat
    assert not maps["fpn/p4"].flat
    assert maps["head"].modules == ("fpn/p4",)
    np.testing.assert_array_equal(maps["head"].map, maps["fpn/p4"].map)


def test_without_a_detection_the_best_candidate_is_said_to_be_one(explainer):
    every = explainer.candidates(spot(), 0.0)
    none = explainer.candidates(spot(), 1.0)
    assert (every.raw_best, none.raw_best) == (False, True)
    assert none.scores.tolist() == every.scores[:1].tolist()
    assert none.number.tolist() == every.number[:1].tolist()
    assert explainer.explain(none)["head"].raw_best
    # in three quarters of this input is only the border
    best = explainer.candidates(spot()[24:40], 1.0).boxes
    assert (best[:, :2] < best[:, 2:]).all()


def test_the_short_door(explainer):
    got = explain(explainer.predictor, spot(), "fpn/p3", "layercam")
    of = explainer.candidates(spot())
    expected = explainer.explain(of, "layercam")["fpn/p3"]
    np.testing.assert_allclose(got.map, expected.map, atol=1e-4)
    assert (got.method, got.raw_best) == ("layercam", False)


@pytest.mark.parametrize(
    ("image", "words", "reason"),
    [
        (np.full((SIDE, SIDE), np.nan, np.float32), {}, "round and convert"),
        (np.zeros((0, 8), np.uint8), {}, r"got \(0, 8, 1\)"),
        (spot(), {"module": "fpn/p9"}, "no module 'fpn/p9'"),
        (spot(), {"module": "fpn"}, "'fpn' gives a map for each level"),
        (
            spot(),
            {"method": "gradcam+++"},
            "no method 'gradcam[+]{3}'; there are: grad",
        ),
        (spot(), {"min_score": 2.0}, r"min_score must be in \[0, 1\]"),
    ],
)
def test_what_cannot_be_explained_is_refused(explainer, image, words, reason):
    with pytest.raises(ValueError, match=reason):
        explain(explainer.predictor, image, **words)


def test_weights_that_are_not_finite_are_refused(explainer):
    import jax

    broken = jax.tree.map(lambda x: x * np.nan, explainer.predictor.variables)
    of = explainer.candidates(spot())
    with pytest.raises(ValueError, match="NaN or infinity"):
        Explainer(
            dataclasses.replace(explainer.predictor, variables=broken)
        ).candidates(spot())
    from tqgd_jax.explain.explanation import raw_map

    with pytest.raises(ValueError, match="'fpn/p3' gives NaN"):
        raw_map(explainer.reading(of, 0, broken), "fpn/p3", "gradcam")


def test_unit_is_min_max():
    assert unit(np.array([[2.0, 4], [3, 6]])).tolist() == [[0, 0.5], [0.25, 1]]
