"""Maps by name: the network is watched, not touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.explain.tiny import SIDE, predictor, shallow, spot
from tests.weights import shapes
from tqgd_jax.config import Config, Model
from tqgd_jax.explain import Explainer, modules
from tqgd_jax.yolo import Candidate, Yolo

__all__ = ["shallow"]


def places(neck, heads=(3, 4, 5), stem="conv"):
    network = Yolo(Config(model=Model(size="n", stem=stem, neck=neck, heads=heads)), 1)
    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    return modules.places(network, shapes(network.module, image), SIDE, 3)


@pytest.mark.parametrize(
    ("neck", "heads", "read"),
    [
        (("pan",), (3, 4, 5), ["pan/down3", "pan/up4", "pan/up5"]),
        (("pan",), (2, 3), ["pan/down2", "pan/up3"]),
        (("fpn",), (3, 4, 5), ["fpn/p3", "fpn/p4", "fpn/p5"]),
        (("queen",), (3, 4, 5), ["queen/q3", "queen/q4", "queen/q5"]),
        (("gd",), (3, 4), ["gd/inject3", "gd/inject4"]),
        (("queen", "gd"), (2, 3), ["gd/inject2", "gd/inject3"]),
        (("queen3",), (3,), ["queen3/t3"]),
        (("sppf",), (3, 5), ["backbone/c3_3", "sppf/sppf"]),
    ],
)
def test_what_a_head_reads(neck, heads, read):
    found = places(neck, heads)
    assert [found.read[n] for n in heads] == read
    sides = [found.shapes[name][0] for name in read]
    assert sides == [SIDE // 2**n for n in heads]


def test_all_names_the_modules_of_the_paper():
    found = places(("queen", "gd"), (3, 4), stem="thr:snapshot")
    assert modules.named(("all",), found) == (
        *("backbone/thr_p1", "backbone/thr_p2", "queen/q2", "queen/q3", "queen/q4"),
        *("gd/inject3", "gd/inject4"),
    )
    assert modules.named(("head", "queen/q3", "head"), found) == ("head", "queen/q3")


def test_a_wrong_name_is_refused_with_near_ones():
    found = places(("queen",))
    with pytest.raises(ValueError, match=r"no module 'queen/q33'.* are queen/q3.*list"):
        modules.named(("queen/q33",), found)
    with pytest.raises(
        ValueError, match=r"'backbone' gives a map for each level.*:p2, "
    ):
        modules.named(("backbone",), found)
    assert modules.named(("backbone:p3",), found) == ("backbone:p3",)
    assert found.shapes["backbone:p3"] == found.shapes["backbone/c3_3"]


@pytest.fixture(scope="module")
def two():
    """Of two classes, read at two modules and a level of a pyramid."""
    of = predictor(classes=("cac", "valve"))
    return Explainer(of, ("fpn/p3", "fpn/p4", "backbone:p4"))


def test_a_watched_network_gives_the_same_bits(two):
    of = two.predictor
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(1, SIDE, SIDE, 3)))
    image = image.astype(jnp.float32)
    zeros = {
        "fpn/p3": jnp.zeros((1, 8, 8, 64)),
        "backbone:p4": jnp.zeros((1, 4, 4, 128)),
    }
    module = of.network.module
    plain = module.apply(dict(of.variables), image, train=False)
    watched = modules.watch(module, of.variables, image)
    added = modules.watch(module, of.variables, image, zeros)
    for a, b, c in zip(plain, watched.raw, added.raw, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    # flax names the same outputs
    _, kept = module.apply(
        dict(of.variables), image, train=False, capture_intermediates=True
    )
    (expected,) = kept["intermediates"]["fpn"]["p3"]["__call__"]
    np.testing.assert_array_equal(watched.maps["fpn/p3"], expected)


@pytest.mark.parametrize("module", ["fpn/p4", "backbone:p4"])
def test_the_gradient_is_that_of_a_central_difference(two, module):
    of = two.candidates(spot())
    read = two.reading(of, 0)
    rng = np.random.default_rng(0)
    way = rng.normal(size=read.maps[module].shape).astype(np.float32)
    step = 1e-2

    def score(sign):
        delta = {module: jnp.asarray(sign * step * way)[None]}
        network, variables = two.predictor.network, two.predictor.variables
        raw = modules.watch(network.module, variables, of.pixels, delta).raw
        return float(network.evidence(variables, raw, two.subject(of, 0))[0])

    expected = (score(1) - score(-1)) / (2 * step)
    got = float((np.asarray(read.gradients[module]) * way).sum())
    assert abs(expected) > 1e-3
    assert got == pytest.approx(expected, rel=0.02)


def test_the_score_is_the_logit_of_the_very_box(two):
    of = two.candidates(spot())
    assert not of.raw_best
    assert len(of.number) > 3
    preds = two.predictor.network.module.apply(
        dict(two.predictor.variables), of.pixels, train=False
    )
    # level, row, column, anchor, in the order of `decode`: 8 x 8 x 3, then 4 x 4 x 3
    for k in range(4):
        n, label = int(of.number[k]), int(of.labels[k])
        p, side, n = (preds[0], 8, n) if n < 192 else (preds[1], 4, n - 192)
        row, column, anchor = n // (3 * side), n // 3 % side, n % 3
        out = np.asarray(p[0, row, column, anchor], np.float64)
        expected = out[4] + out[5 + label]
        assert float(two.reading(of, k).score) == pytest.approx(expected, abs=1e-4)
        # by hand: confidence, and the centre (2 s - 0.5 + cell) * stride
        s = 1 / (1 + np.exp(-out))
        assert of.scores[k] == pytest.approx(s[4] * s[5 + label], rel=1e-4)
        x0, y0, x1, y1 = of.network_boxes[k]
        assert (x0 + x1) / 2 == pytest.approx(
            (2 * s[0] - 0.5 + column) * SIDE / side, abs=1e-2
        )
        assert (y0 + y1) / 2 == pytest.approx(
            (2 * s[1] - 0.5 + row) * SIDE / side, abs=1e-2
        )
    assert two.module_of("head", Candidate(191, 0)) == "fpn/p3"
    assert two.module_of("head", Candidate(192, 0)) == "fpn/p4"
