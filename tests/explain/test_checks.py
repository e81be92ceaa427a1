"""The checks of a map: each passes and fails on something made for it."""

import numpy as np
import pytest

from tests.explain.tiny import SIDE, predictor, shallow, spot
from tqgd_jax.explain import Explainer, checks
from tqgd_jax.explain.tables import failed

__all__ = ["shallow"]


def test_energy_is_the_share_inside_the_boxes():
    of = np.zeros((10, 20))
    of[2:4, 5:9] = 1.0  # 8
    of[8, 15] = 2.0
    box, other = np.array([[5.0, 2, 9, 4]]), np.array([[15.0, 8, 16, 9]])
    assert checks.energy_share(of, box, 0) == pytest.approx(0.8)
    assert checks.energy_share(of, other, 0) == pytest.approx(0.2)
    assert checks.energy_share(of, np.vstack([box, box, other]), 0) == 1.0
    half = np.array([[5.0, 2, 7, 4]])
    assert checks.energy_share(of, half, 0) == pytest.approx(0.4)
    assert checks.energy_share(of, half, 1) == pytest.approx(0.6)  # one column more
    assert checks.energy_share(of * 0, box, 0) is None
    assert checks.energy_share(of, box[:0], 0) is None


def test_the_gaussian_is_in_the_middle():
    g = checks.centred_gaussian((40, 80))
    np.testing.assert_allclose(g, g[::-1, ::-1])
    # a quarter of the side off: exp(-1/2) of the middle, up to half a pixel
    assert g[20, 60] / g[20, 40] == pytest.approx(np.exp(-0.5), rel=0.05)
    assert g[30, 40] / g[20, 40] == pytest.approx(np.exp(-0.5), rel=0.05)


def test_rank_correlation():
    a = np.arange(12.0).reshape(3, 4)
    assert checks.rank_correlation(a, a**3) == pytest.approx(1)
    assert checks.rank_correlation(a, -a) == pytest.approx(-1)
    assert checks.rank_correlation(a, np.ones((3, 4))) is None


@pytest.mark.parametrize(("y", "x"), [(0, 1), (1, -2), (0, 0), (-3, 3)])
def test_the_best_shift_is_the_one_that_was_made(y, x):
    big = np.random.default_rng(0).uniform(size=(20, 20))
    before, after = big[4:16, 4:16], big[4 - y : 16 - y, 4 - x : 16 - x]
    assert checks.best_shift(before, after) == ((y, x), pytest.approx(1))


def scorer(images):
    """How much of four bright pixels is there."""
    return images[:, 4:6, 4:6, 0].mean(axis=(1, 2)).astype(float)


def test_deletion_and_insertion_of_a_scorer_of_four_pixels():
    pixels = np.zeros((8, 8, 1), np.float32)
    pixels[4:6, 4:6] = 1.0
    right, wrong = pixels[:, :, 0].astype(float), 1.0 - pixels[:, :, 0]
    # shares 0, 1/64, 4/64, ... of 64 pixels: with the right order 0, 1 and then all four
    # of the bright ones are gone: by hand
    share = (np.arange(9) / 8) ** 2
    expected = np.trapezoid([1, 0.75, *[0] * 7], share)
    good = checks.curves(scorer, pixels, right, 0.0)
    assert good.deletion == pytest.approx(expected)
    assert good.insertion == pytest.approx(1 - expected)
    bad = checks.curves(scorer, pixels, wrong.astype(float), 0.0)
    # the bright ones are the last: until 49 of 64 nothing changes
    assert bad.deletion == pytest.approx(np.trapezoid([*[1] * 8, 0], share))
    assert bad.insertion == pytest.approx(np.trapezoid([*[0] * 8, 1], share))


def test_removed_pixels_are_those_of_the_border_in_training():
    seen = []

    def spy(images):
        seen.append(images)
        return np.zeros(len(images))

    pixels = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype(np.float32)
    checks.curves(spy, pixels, pixels[:, :, 0].astype(float), 0.25)
    deleted, inserted = seen
    np.testing.assert_array_equal(deleted[0], pixels)
    np.testing.assert_array_equal(inserted[-1], pixels)
    assert (deleted[-1] == 0.25).all()
    assert (inserted[0] == 0.25).all()
    (gone,) = np.argwhere((deleted[1] == 0.25).all(axis=-1))
    assert tuple(gone) == np.unravel_index(pixels[:, :, 0].argmax(), (8, 8))


@pytest.fixture(scope="module")
def trained():
    return Explainer(predictor(("gd",), (3,)), ("gd/inject3", "backbone/c3_2"))


def test_random_weights_change_the_map_part_by_part(trained):
    of = trained.candidates(spot())
    for module, own, before in (
        ("gd/inject3", "gd", "head"),
        ("backbone/c3_2", "backbone", "gd"),
    ):
        got = checks.randomisation(trained, of, trained.explain(of)[module])
        assert [*got.by_part] == ["head", "gd", "backbone"]
        assert got.above == got.by_part[before]
        assert got.all == got.by_part["backbone"]
        assert abs(got.by_part[own] or 0.0) < 0.9


def test_weights_that_are_the_random_ones_change_nothing(monkeypatch):
    """A check that could not fail would show nothing."""
    monkeypatch.setattr(checks, "SEED", 0)
    untrained = Explainer(predictor(heads=(3,), trained=False), ("fpn/p3",))
    of = untrained.candidates(spot())
    got = checks.randomisation(untrained, of, untrained.explain(of)["fpn/p3"])
    assert got.by_part == {
        part: pytest.approx(1) for part in ("head", "fpn", "backbone")
    }
    monkeypatch.setattr(checks, "SEED", 1)
    got = checks.randomisation(untrained, of, untrained.explain(of)["fpn/p3"])
    assert abs(got.all or 0.0) < 0.9


def test_the_map_moves_with_the_image(trained):
    of = trained.candidates(spot())
    explanation = trained.explain(of)["backbone/c3_2"]  # of 4 px
    moved = checks.shift(trained, of, explanation)
    assert moved.cells == (0, 1)
    assert moved.correlation > 0.8
    later = trained.candidates(spot(x=28))  # the same by hand
    best = later._replace(number=later.number[:1], labels=later.labels[:1])
    other = trained.explain(best)["backbone/c3_2"]
    assert checks.best_shift(explanation.raw[0], other.raw[0]).cells == (0, 1)


def test_deletion_takes_the_score_of_the_box(trained):
    of = trained.candidates(spot())
    nothing = np.ones((SIDE, SIDE))
    got = checks.deletion_insertion(trained, of, nothing)
    assert 0 < got.deletion < 1
    assert checks.fill_value(trained) == pytest.approx(114 / 255)


def test_what_fails_is_named():
    good = {"boxes": 0.5, "random_above": 0.2, "random_all": None}
    good |= {"deletion": 0.1, "insertion": 0.9}
    control = {"boxes": 0.1, "deletion": 0.3, "insertion": 0.5}
    assert failed(good, control, 3, 4) == []
    bad = {"boxes": 0.05, "random_above": 0.8, "random_all": -0.7}
    bad |= {"deletion": 0.4, "insertion": 0.5}
    assert failed(bad, control, 1, 4) == [
        *("energy", "random weights after the module", "random weights everywhere"),
        *("shift", "deletion", "insertion"),
    ]
    unmade = dict.fromkeys(good)
    assert failed(unmade, dict.fromkeys(control), 0, 0) == []
