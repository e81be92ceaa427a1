"""Networks of other families on the way that detectors go: train, load, detect."""

import dataclasses
import importlib
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.tiny import Run, config, rows, squares
from tests.weights import shapes
from tqgd_jax.config import Augment, Baseline, Data, Foellmer, Optim, Train, Zair, Zhao
from tqgd_jax.network import Network, build, families
from tqgd_jax.structures.batch import Targets, Views
from tqgd_jax.trained import load
from tqgd_jax.training.optim import Hyper
from tqgd_jax.training.runtime.sharding import axis_name
from tqgd_jax.training.state import create
from tqgd_jax.training.step import make_learn

ROOT = Path(__file__).parents[2]
SMALL = {
    "vgg16_fcn": Baseline("zair", width=0.125, zair=Zair("vgg16_fcn")),
    "zhao": Baseline("zhao", width=0.125, zhao=Zhao(18, 8, 8, adaption="conv")),
}


def settings(name):
    return config(
        baseline=SMALL[name],
        augment=Augment(value=0.0),
        data=Data(image_size=32, batch_size=2),
        optim=Optim(warmup_epochs=0.0, warmup_min_steps=0),
        train=Train(epochs=1, devices=1, tensorboard=False, eval_every=0),
    )


def test_folders_are_the_families():
    assert families() == ("foellmer", "zair", "zhao")
    for name in families():
        still = config(baseline=Baseline(name), augment=Augment(value=0.0))
        assert isinstance(build(still, 1), Network)


def test_a_family_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"baseline\.family.*did you mean 'zair'"):
        build(config(baseline=Baseline("zaire")), 1)


@pytest.mark.parametrize(
    "settings_of_another",
    [{"width": 0.5}, {"weights": "x"}, {"foellmer": Foellmer(tasks="both")}],
)
def test_a_setting_that_nothing_reads_is_refused(settings_of_another):
    with pytest.raises(ValueError, match=r"baseline\..*does nothing"):
        Baseline(**settings_of_another)


@pytest.mark.parametrize("name", SMALL)
def test_a_family_trains_loads_and_answers_in_native_pixels(name, tmp_path):
    images = squares(n=4)
    run = Run(settings(name), images, val=squares(n=2, seed=1))
    run.train(tmp_path / "run", stop=2)
    logged = rows(tmp_path / "run")
    assert [row["step"] for row in logged] == [1, 2, 2]
    assert np.isfinite([row["loss"] for row in logged[:2]]).all()
    predictor = load(tmp_path / "run")
    low, high = predictor.detect_at(images, (0.05, 0.5))
    for loose, strict in zip(low, high, strict=True):
        assert len(loose.boxes) == len(strict.boxes)
        for boxes in (loose.det_boxes, strict.det_boxes):
            assert ((boxes >= 0) & (boxes <= 64)).all()
        assert not predictor.network.segments or (strict.det_scores >= 0.5).all()
    predictor.save(tmp_path / "weights.safetensors")
    again = load(tmp_path / "weights.safetensors").detect(images)
    for one, other in zip(low, again, strict=True):
        np.testing.assert_array_equal(one.det_boxes, other.det_boxes)


def configuration(name):
    return importlib.import_module(name).get_config()


@pytest.fixture(autouse=True)
def configurations(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "configs"))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("zhao", 41_936_350),
        ("foellmer", 1_931_698),
        ("segnet", 29_444_162),
        ("unet", 31_042_369),
        ("vgg16_fcn", 14_715_971),
    ],
)
def test_a_configuration_is_the_published_network(name, parameters):
    cfg = configuration(name)
    image = jax.ShapeDtypeStruct((1, 64, 64, cfg.model.in_channels), "float32")
    params = shapes(build(cfg, 1).module, image)["params"]
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(params)) == parameters


@pytest.mark.parametrize("name", ["zhao", "foellmer", "segnet", "unet", "vgg16_fcn"])
def test_a_step_in_bf16_on_two_devices_keeps_a_float32_state(name):
    cfg = configuration(name)
    if name == "zhao":
        cfg.baseline.zhao.depth = 18
    cfg = dataclasses.replace(
        cfg,
        model=dataclasses.replace(cfg.model, precision="bf16"),
        baseline=dataclasses.replace(cfg.baseline, width=0.125),
        optim=Optim(),
        train=Train(parallel="pmap", devices=2),
    )
    network = build(cfg, 1, axis_name=axis_name(cfg))
    state = create(network, cfg)
    boxes = Targets(
        jnp.zeros((2, 2, 3, 4)), jnp.zeros((2, 2, 3), int), jnp.ones((2, 2, 3), bool)
    )
    image = jnp.zeros((2, 2, 64, 64, cfg.model.in_channels))
    views = Views(image, boxes, jnp.zeros((2, 2, 64, 64), int))
    hyper = Hyper(*(jnp.zeros((), t) for t in ("f4", "f4", "f4", "?", "?")))
    # Devices as an axis of vmap: nothing is compiled.
    step = jax.vmap(
        make_learn(network, cfg), (None, 0, None, None), axis_name=axis_name(cfg)
    )
    after, metrics = jax.eval_shape(step, state, views, jax.random.key(0), hyper)
    for old, new in zip(*map(jax.tree.leaves, (state, after)), strict=True):
        assert (new.dtype, new.shape) == (old.dtype, (2, *old.shape))
    assert {x.dtype for x in metrics.values()} == {np.dtype("float32"), np.dtype(bool)}
