"""The whole loss and the answer, on first-stage outputs made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.baselines import zhao
from tqgd_jax.baselines.zhao.first_values import first_values
from tqgd_jax.baselines.zhao.guided import GuidedAnchors, Guides
from tqgd_jax.baselines.zhao.module import Raw
from tqgd_jax.baselines.zhao.network import TERMS
from tqgd_jax.baselines.zhao.proposals import propose
from tqgd_jax.baselines.zhao.roi import detections
from tqgd_jax.config import Config, Eval
from tqgd_jax.config.baselines import Baseline, Zhao
from tqgd_jax.structures.batch import Targets, Views

SIDE, ROWS, CHANNELS = 64, 300, 8
CELLS = 16**2 + 8**2 + 4**2 + 2**2 + 1
SMALL = Zhao(depth=18, channels=CHANNELS, hidden=8)
LESIONS = [(10, 12, 19, 20), (40, 30, 50, 44), (3, 50, 10, 56)]


def network(**changes):
    config = Config(baseline=Baseline(family="zhao", width=0.125, zhao=SMALL))
    return zhao.build(config, 2, **changes)


def raw(images=2):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=(images, *shape)), jnp.float32)

    levels = tuple(draw(n, n, CHANNELS) for n in (16, 8, 4, 2))
    return Raw(levels, Guides(draw(CELLS), draw(CELLS, 2), draw(CELLS), draw(CELLS, 4)))


def views(rows, images=2):
    """Each image has the boxes at the rows of the table that are given."""
    boxes = np.zeros((images, ROWS, 4), np.float32)
    labels = np.zeros((images, ROWS), np.int32)
    valid = np.zeros((images, ROWS), bool)
    for row, box, label in rows:
        boxes[:, row], labels[:, row], valid[:, row] = box, label, True
    image = jnp.zeros((images, SIDE, SIDE, 3))
    return Views(image, Targets(*map(jnp.asarray, (boxes, labels, valid))))


FEW = list(zip((0, 1, 2), LESIONS, (0, 1, 0), strict=True))
MANY = [
    (i, (3 * (i % 20), 4 * (i // 20), 3 * (i % 20) + 3, 4 * (i // 20) + 4), i % 2)
    for i in range(300)
]
CASES = {
    "few": FEW,
    "few, elsewhere": [(299 - 7 * row, box, label) for row, box, label in FEW],
    "none": [],
    "300": MANY,
}


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.asarray, network().init(0)["params"])


@pytest.fixture(scope="module")
def losses(params):
    """Loss, terms and gradient of each case, and how often it was compiled."""
    net = network()

    def objective(learnt, views, key):
        roi, raw = learnt
        return net.loss({"params": {**params, "roi": roi}}, raw, views, key)

    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    key = jax.random.key(0)
    results = {
        name: step((params["roi"], raw()), views(rows), key)
        for name, rows in CASES.items()
    }
    return results | {"compiled": step._cache_size()}


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_finite(losses, case):
    (loss, terms), gradient = losses[case]
    assert set(terms) == set(TERMS)
    np.testing.assert_allclose(loss, sum(float(x) for x in terms.values()), rtol=1e-5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((loss, terms, gradient)))


def test_batches_of_all_kinds_are_compiled_once(losses):
    assert losses["compiled"] == 1


def test_the_order_of_labels_and_their_padding_change_nothing(losses):
    for one, other in zip(
        *(jax.tree.leaves(losses[name]) for name in ("few", "few, elsewhere")),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_without_lesions_nothing_is_asked_of_boxes(losses):
    (_, terms), gradient = losses["none"]
    assert [float(terms[name]) for name in ("shape", "rpn_box", "box")] == [0, 0, 0]
    assert float(terms["loc"]) > 0
    guides = gradient[1].guides
    assert not np.any(guides.shape)
    assert not np.any(guides.delta)


def test_each_term_has_a_gradient(losses):
    roi, made = losses["few"][1]
    assert all(np.any(x) for x in jax.tree.leaves((roi, made.guides)))
    assert np.any(made.levels[0])


def test_first_values(params):
    rpn, roi = params["rpn"], params["roi"]
    assert rpn["location"]["bias"].tolist() == pytest.approx([-4.59512], abs=1e-5)
    assert np.std(rpn["adaption"]["offset"]["kernel"]) == pytest.approx(0.1, rel=0.2)
    assert np.std(rpn["conv"]["kernel"]) == pytest.approx(0.01, rel=0.2)
    assert np.std(roi["box"]["kernel"]) == pytest.approx(0.001, rel=0.4)
    neck = {"params": {"neck": params["neck"]}}
    again, other = (first_values(neck, seed)["params"]["neck"] for seed in (0, 1))
    kernels = [part["inner_0"]["kernel"] for part in (params["neck"], again, other)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_norm_follows_the_weights():
    def norm(**changes):
        baseline = Baseline(family="zhao", **changes)
        return zhao.build(Config(baseline=baseline), 1).module.norm

    assert norm() == "group"
    assert norm(weights="resnet50.safetensors") == "batch"
    assert norm(weights="resnet50.safetensors", zhao=Zhao(norm="group")) == "group"


def test_the_predicted_shape_learns_from_shapes_alone():
    """Scores reach the offsets, and not the shape that the offsets follow."""
    module = GuidedAnchors(4, "deformable")
    level = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 3, 4)), jnp.float32)
    shapes = jax.eval_shape(lambda k: module.init(k, (level,)), jax.random.key(0))
    rng = np.random.default_rng(1)
    filled = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape), "float32"), shapes
    )
    gradient = jax.jit(jax.grad(lambda v: module.apply(v, (level,)).score.sum()))(
        filled
    )["params"]
    assert np.any(gradient["adaption"]["offset"]["kernel"])
    assert np.any(gradient["adaption"]["conv"]["kernel"])
    assert not np.any(gradient["shape"]["kernel"])


def test_proposals():
    """In test, cells where nothing is located do not count; nor do boxes outside."""
    anchors = jnp.tile(jnp.array([[8.0, 8, 20, 20]]), (CELLS, 1))
    anchors = anchors.at[3].set(jnp.array([30.0, 30, 80, 40]))  # cut off at 64
    anchors = anchors.at[5].set(jnp.array([70.0, 70, 80, 80]))  # outside
    score = jnp.full(CELLS, -5.0).at[jnp.array([2, 3, 5])].set(jnp.array([3.0, 2, 4]))
    located = jnp.full(CELLS, -9.0).at[jnp.array([3, 5, 300])].set(0.0)
    guides = Guides(located, jnp.zeros((CELLS, 2)), score, jnp.zeros((CELLS, 4)))
    guides = jax.tree.map(lambda x: x[None], guides)
    run = jax.jit(propose, static_argnums=2, static_argnames="train")
    boxes, valid = run(guides, anchors[None], (SIDE, SIDE), train=False)
    # Cell 300 is on P3, so that no box of P2 suppresses its.
    assert boxes[valid].tolist() == [[30, 30, 64, 40], [8, 8, 20, 20]]
    assert boxes[0, -1].tolist() == [0, 0, 1, 1]


def test_detections_have_a_box_for_each_class():
    proposals = jnp.array([[[10.0, 10, 20, 20], [0, 0, 1, 1]]])
    logits = jnp.log(jnp.array([[[0.3, 0.5, 0.2], [0.9, 0.05, 0.05]]]))
    # Class 1 moves by half a box: 0.5 / 0.05.
    deltas = jnp.zeros((1, 2, 2, 4)).at[0, 0, 1, 0].set(10.0)
    got = jax.jit(lambda *x: detections(*x, (SIDE, SIDE), Eval()))(
        proposals, jnp.array([[True, False]]), logits, deltas
    )
    assert got.valid.sum() == 2
    np.testing.assert_allclose(got.scores[0, :2], [0.5, 0.3], rtol=1e-5)
    assert got.labels[0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(
        got.boxes[0, :2], [(15, 10, 25, 20), (10, 10, 20, 20)], atol=1e-5
    )


def test_the_loss_of_two_devices_is_that_of_the_whole_batch(params, losses):
    net = network(axis_name="devices")
    variables = {"params": params}

    # Devices as an axis of vmap.
    def share(raw, views):
        return net.loss(variables, raw, views, jax.random.key(0))

    split = jax.tree.map(lambda x: x[:, None], (raw(), views(FEW)))
    both = jax.jit(jax.vmap(share, axis_name="devices"))(*split)
    (loss, terms), _ = losses["few"]
    for one, whole in zip(*map(jax.tree.leaves, (both, (loss, terms))), strict=True):
        np.testing.assert_allclose(one, [whole] * 2, rtol=1e-5)
