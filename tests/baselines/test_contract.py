"""What holds of every segmentation: empty slices, odd sides, the order of a batch."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.baselines import foellmer, zair
from tqgd_jax.config import Augment, Baseline, Config, Data, Foellmer, Model, Zair
from tqgd_jax.structures.batch import Targets, Views

SIDE = 40  # px; no network takes it as it is
NETWORKS = {
    "segnet": (zair.build, Baseline("zair", zair=Zair("segnet")), 1),
    "unet": (zair.build, Baseline("zair", zair=Zair("unet")), 1),
    "vgg16_fcn": (zair.build, Baseline("zair", zair=Zair("vgg16_fcn")), 1),
    "lesion": (
        foellmer.build,
        Baseline("foellmer", foellmer=Foellmer(least_side=1)),
        1,
    ),
    "both": (
        foellmer.build,
        Baseline("foellmer", foellmer=Foellmer("both", region_px=4.0, least_side=1)),
        3,
    ),
}


def built(name, precision="fp32"):
    build, baseline, classes = NETWORKS[name]
    baseline = dataclasses.replace(baseline, width=0.125)
    model = Model(in_channels=3, precision=precision)
    still = Augment(value=0.0)  # foellmer wants its Hounsfield units unchanged
    return build(Config(model=model, baseline=baseline, augment=still), classes)


@cache
def first(name):
    return jax.tree.map(jnp.asarray, built(name).init(0))


def views(lesion):
    """Two images, the second with a brighter square."""
    image = np.random.default_rng(0).uniform(size=(2, SIDE, SIDE, 1))
    image[1, 10:20, 10:20] += 0.5
    image = jnp.asarray(np.repeat(image / 2, 3, -1), jnp.float32)
    none = Targets(
        jnp.zeros((2, 1, 4)), jnp.zeros((2, 1), int), jnp.zeros((2, 1), bool)
    )
    return Views(image, none, jnp.asarray(lesion, jnp.int32))


def step(network, variables, views):
    """As training has it."""

    def objective(params):
        now = {**variables, "params": params}
        raw, mutated = network.module.apply(
            now,
            views.image,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(1)},
        )
        loss, parts = network.loss(now, raw, views, jax.random.key(2))
        return loss, (raw, parts, mutated)

    return jax.value_and_grad(objective, has_aux=True)(variables["params"])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_and_its_gradient_are_finite_without_a_lesion(name):
    network = built(name)
    assert network.segments
    assert network.num_classes == NETWORKS[name][2]
    sides = (2, SIDE, SIDE)
    raw = {"lesion": jnp.zeros((*sides, 2)), "region": jnp.zeros((*sides, 4))}
    if name in ("segnet", "unet", "vgg16_fcn"):
        raw = raw["lesion"][..., : 2 if name == "segnet" else 1]
    variables = {"params": {"uncertainty": jnp.zeros(2)}}

    @jax.jit
    def compiled(raw, views):
        loss = partial(network.loss, variables, views=views, key=jax.random.key(0))
        return jax.value_and_grad(loss, has_aux=True)(raw)

    lesion = np.zeros(sides, int)
    (empty, parts), g = compiled(raw, views(lesion))
    assert np.isfinite(empty)
    assert all(np.isfinite(x) for x in parts.values())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(g))
    lesion[1, 10:20, 10:20] = network.num_classes
    _, g = compiled(raw, views(lesion))
    # A step down makes its pixels likelier, and those far away less so.
    g = g["lesion"] if isinstance(g, dict) else g
    assert (g[1, 10:20, 10:20, -1] < 0).all()
    assert (g[0, ..., -1] > 0).all()


def test_a_step_reads_every_parameter():
    network, variables = built("vgg16_fcn"), first("vgg16_fcn")
    lesion = np.zeros((2, SIDE, SIDE), int)
    lesion[1, 10:20, 10:20] = 1
    (_, (raw, _, _)), g = jax.jit(partial(step, network))(variables, views(lesion))
    assert raw.shape == (2, SIDE, SIDE, 1)
    assert [p for p, x in jax.tree.leaves_with_path(g) if not np.any(x)] == []


@pytest.mark.parametrize("name", ["segnet", "both"])
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(name):
    network, variables = built(name), first(name)
    image = views(np.zeros((2, SIDE, SIDE))).image
    predict = jax.jit(network.predict)
    maps, turned = predict(variables, image), predict(variables, image[::-1])
    assert maps.probability.shape == maps.label.shape == (2, SIDE, SIDE)
    np.testing.assert_allclose(
        maps.probability[::-1], turned.probability, rtol=1e-5, atol=1e-6
    )
    assert ((maps.probability >= 0) & (maps.probability <= 1)).all()
    assert ((maps.label >= 0) & (maps.label < network.num_classes)).all()
    assert np.ptp(maps.probability) > 0


@pytest.mark.parametrize(
    ("build", "config", "classes", "message"),
    [
        (zair.build, Config(), 3, "set data.classes="),
        (zair.build, Config(model=Model(in_channels=5)), 1, "model.in_channels=5"),
        (
            zair.build,
            Config(baseline=Baseline("zair", weights="a", zair=Zair("unet"))),
            1,
            "'unet' has no encoder of torchvision's",
        ),
        (foellmer.build, Config(), 3, "needs 1 class, got 3"),
        (
            foellmer.build,
            Config(baseline=Baseline("foellmer", foellmer=Foellmer("both"))),
            1,
            r"needs 3 classes, got 1; set data.classes=\('LAD', 'LCX', 'RCA'\)",
        ),
        (foellmer.build, Config(data=Data(neighbours=1)), 1, "data.neighbours=1"),
        (
            foellmer.build,
            Config(data=Data(window=(0, 400)), augment=Augment(value=0.0)),
            1,
            r"data.window=\(0, 400\) it cannot tell",
        ),
        (
            foellmer.build,
            Config(baseline=Baseline("foellmer", weights="a")),
            1,
            "no backbone of torchvision's",
        ),
        (foellmer.build, Config(), 1, r"augment.value=0.4 .*; set it to 0"),
    ],
)
def test_what_a_family_cannot_do_is_refused(build, config, classes, message):
    with pytest.raises(ValueError, match=message):
        build(config, classes)
