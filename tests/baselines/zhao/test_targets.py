"""Targets of three boxes at 640 px: counts and losses of mmdetection's functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.baselines.zhao.anchors import grids, squares
from tqgd_jax.baselines.zhao.location import location_loss, location_targets
from tqgd_jax.baselines.zhao.matching import prepared, sample
from tqgd_jax.baselines.zhao.roi import Regions, roi_targets, roi_terms
from tqgd_jax.baselines.zhao.rpn import Cells, best_of_nine, match_cells, score_terms
from tqgd_jax.structures.batch import Targets

SIZE = (640, 640)
BOXES = ((100, 200, 115, 214), (320, 320, 364, 350), (600, 8, 607, 15))
PROPOSALS = (
    (100, 200, 115, 214),
    (102, 201, 117, 215),
    (96, 200, 112, 216),
    (104, 204, 119, 218),
    (320, 320, 364, 350),
    (330, 320, 374, 350),
    (0, 0, 20, 20),
)


def labels(boxes):
    """One image; its first row is padding."""
    rows = np.array([(0, 0, 0, 0), *boxes], np.float32)
    valid = np.arange(len(rows)) > 0
    return Targets(rows[None], np.zeros((1, len(rows)), np.int32), valid[None])


def of_image(targets):
    return jax.tree.map(lambda x: x[0], prepared(targets))


def by_level(cells):
    ends = np.cumsum([h * w for h, w in grids(SIZE)])
    return np.split(np.asarray(cells), ends[:-1])


@pytest.fixture(scope="module")
def locations():
    """Targets, weights and losses by base scale, compiled once."""

    @jax.jit
    def of_scales(targets):
        result = {}
        for base in (3, 4, 8):
            positive, weight = location_targets(prepared(targets), SIZE, base)
            losses = [
                location_loss(jnp.full(weight.shape, logit), positive, weight)
                for logit in (0.0, -np.log(99).item())
            ]
            result[base] = positive[0], weight[0], losses
        return result

    return of_scales(labels(BOXES))


@pytest.mark.parametrize(
    ("base", "positives", "ignored", "losses"),
    [
        (3, (5, 0, 2, 0, 0), (8, 20, 2, 4, 0), (2.597955, 0.046342)),
        (4, (5, 2, 0, 0, 0), (38, 18, 4, 0, 0), (2.595973, 0.046342)),
        (8, (13, 0, 0, 0, 0), (30, 20, 0, 0, 0), (2.597803, 0.086050)),
    ],
)
def test_location_targets_and_loss(locations, base, positives, ignored, losses):
    positive, weight, got = locations[base]
    assert tuple(x.sum() for x in by_level(positive)) == positives
    assert tuple((x == 0).sum() for x in by_level(weight)) == ignored
    assert np.all(np.asarray(weight)[np.asarray(positive)] == 1)
    np.testing.assert_allclose(got, losses, atol=2e-6)


def test_cells_of_the_location_targets(locations):
    p2, p3, *_ = by_level(locations[4][0])
    assert [divmod(i, 160) for i in np.flatnonzero(p2)] == [
        (3, 151),
        (51, 26),
        (51, 27),
        (52, 26),
        (52, 27),
    ]
    assert [divmod(i, 80) for i in np.flatnonzero(p3)] == [(42, 42), (42, 43)]


@pytest.fixture(scope="module")
def shapes():
    """Matches and IoU by base scale, compiled once."""

    @jax.jit
    def of_scales(targets):
        image, result = of_image(targets), {}
        for base in (3, 4):
            iou = best_of_nine(squares(SIZE, base), image.boxes)
            result[base] = match_cells(iou, image), iou.max(axis=0)
        return result

    return of_scales(labels(BOXES))


@pytest.mark.parametrize(
    ("base", "positives", "ignored", "best"),
    [
        (3, (1, 2, 5), 44, (0.8186, 0.7473, 0.3403)),
        (4, (1, 2, 0), 86, (0.8203, 0.7303, 0.1914)),
    ],
)
def test_shape_targets(shapes, base, positives, ignored, best):
    m, iou = shapes[base]
    np.testing.assert_allclose(iou[1:], best, atol=5e-5)
    label = np.asarray(m.label)[np.asarray(m.positive)]
    assert np.bincount(label, minlength=4)[1:].tolist() == list(positives)
    neither = ~np.asarray(m.positive) & ~np.asarray(m.negative)
    assert neither.sum() == ignored


def test_boxes_of_the_second_stage():
    """IoU 1, .6733, .5638, .3548, 1, .6296, 0: with .6 the 1st, 2nd, 5th and 6th."""

    @jax.jit
    def targets_of(proposals, targets):
        proposed = jnp.ones(len(proposals), bool)
        return roi_targets(
            jax.random.key(0), proposals, proposed, of_image(targets), num_classes=1
        )

    boxes, classes, deltas, valid = map(
        np.asarray, targets_of(jnp.array(PROPOSALS, jnp.float32), labels(BOXES[:2]))
    )
    assert valid.sum() == 9  # seven proposals, two labels; the padding label is none
    positive = {tuple(box) for box in boxes[valid & (classes == 0)]}
    assert positive == {PROPOSALS[i] for i in (0, 1, 4, 5)}
    negative = {tuple(box) for box in boxes[valid & (classes == 1)]}
    assert negative == {PROPOSALS[i] for i in (2, 3, 6)}
    shifted = deltas[(boxes == PROPOSALS[5]).all(axis=1)][0]
    np.testing.assert_allclose(shifted, (-10 / 44 / 0.05, 0, 0, 0), atol=1e-5)


def test_losses_of_the_second_stage_read_the_deltas_of_the_class():
    # Two classes; class 1 with logits 0 0 0, background with 0 0 1, a row to spare.
    logits = jnp.array([[0, 0, 0], [0, 0, 1], [9, 9, 9]], jnp.float32)
    deltas = jnp.zeros((3, 2, 4)).at[0, 1].set(1.0).at[0, 0].set(50.0)
    wanted = jnp.full((3, 4), 1.5)
    valid = jnp.array([True, True, False])
    regions = Regions(jnp.zeros((3, 4)), jnp.array([1, 2, 0]), wanted, valid)
    entropy, l1, count = jax.jit(roi_terms)(logits, deltas, regions)
    expected = np.log(3) + np.log(2 + np.e) - 1
    np.testing.assert_allclose(entropy, expected, rtol=1e-6)
    assert (float(l1), float(count)) == (2.0, 2.0)


def test_a_sample_holds_so_many_positives_and_fills_up_with_negatives():
    positive = jnp.arange(100) < 20
    negative = jnp.arange(100) >= 60
    draw = jax.jit(lambda key, *x: sample(key, *x, size=30, max_positive=15))
    one, two = (draw(jax.random.key(i), positive, negative) for i in range(2))
    for s in (one, two):
        assert s.valid.all()
        assert s.positive.tolist() == [True] * 15 + [False] * 15
        assert set(s.at[:15].tolist()) <= set(range(20))
        assert set(s.at[15:].tolist()) <= set(range(60, 100))
        assert len(set(s.at.tolist())) == 30
    assert set(one.at.tolist()) != set(two.at.tolist())
    # Of few, all that there are; the rest is marked.
    s = draw(jax.random.key(0), positive & (jnp.arange(100) < 5), negative & False)
    assert int(s.valid.sum()) == int(s.positive.sum()) == 5


def test_an_anchor_without_an_area_has_no_gradient():
    anchors = jnp.array([[5, 5, 5, 5], [0, 0, 4, 4]], jnp.float32)
    flags = jnp.array([False, True]), jnp.array([True, True])
    cells = Cells(jnp.arange(2), *flags, jnp.array([[0, 0, 4, 4]] * 2, jnp.float32))

    def total(delta):
        return sum(score_terms(anchors, jnp.zeros(2), delta, cells)[:2])

    gradient = jax.jit(jax.grad(total))(jnp.full((2, 4), 0.5))
    np.testing.assert_allclose(gradient, [[0] * 4, [0.5] * 4])
