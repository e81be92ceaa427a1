"""Batch statistics taken anew, against moments computed by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.tiny import config, squares
from tests.weights import used
from tqgd_jax.augment import augment
from tqgd_jax.baselines.imagenet import standardised
from tqgd_jax.config import Baseline, Zair
from tqgd_jax.data import dataset
from tqgd_jax.data.batches import order
from tqgd_jax.detector import Detector
from tqgd_jax.network import build
from tqgd_jax.recalibration import make_recalibrate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def setting():
    cfg, data = config(), squares()
    detector = Detector(cfg.model)
    variables = used(detector, jnp.zeros((1, 64, 64, 3)))
    return cfg, data, variables


def images_of(cfg, data, step):
    """One training batch."""
    batch = dataset.load(data, order.of_run(cfg, data.boxes)(step))
    views, _ = augment(
        jax.random.fold_in(jax.random.key(cfg.seed), step),
        jax.tree.map(jnp.asarray, batch),
        cfg=cfg.augment,
        data=cfg.data,
        channels=3,
    )
    return views.image


def first_moments(cfg, data, kernel, step):
    """Mean and variance of the first convolution over one training batch."""
    y = jax.lax.conv_general_dilated(
        images_of(cfg, data, step), kernel, (2, 2), ((2, 2), (2, 2)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest",
    )  # fmt: skip
    y = np.asarray(y, np.float64)
    return y.mean((0, 1, 2)), y.var((0, 1, 2))


def test_statistics_are_the_means_of_those_of_training_batches(setting):
    cfg, data, variables = setting
    again = make_recalibrate(cfg, data, 3)(variables)
    kernel = variables["params"]["backbone"]["p1"]["conv"]["kernel"]
    moments = [first_moments(cfg, data, kernel, step) for step in range(3)]
    mean, var = (np.mean(x, axis=0) for x in zip(*moments, strict=True))
    found = again["batch_stats"]["backbone"]["p1"]["bn"]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["var"], var, rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, again["params"], variables["params"])
    # The running statistics do not matter.
    moved = variables | {
        "batch_stats": jax.tree.map(lambda x: x + 1, variables["batch_stats"])
    }
    jax.tree.map(
        np.testing.assert_array_equal,
        make_recalibrate(cfg, data, 3)(moved),
        again,
    )


def test_no_batches_leave_the_running_statistics(setting):
    cfg, data, variables = setting
    assert make_recalibrate(cfg, data, 0)(variables) == variables


def test_statistics_do_not_depend_on_the_momentum_of_the_layers():
    cfg = config(baseline=Baseline("zair", width=0.125, zair=Zair("unet")))
    data, module = squares(), build(cfg, 1).module
    variables = used(module, jnp.zeros((1, 64, 64, 3)))
    again = make_recalibrate(cfg, data, 1)(variables)
    first = variables["params"]["down0_1"]["conv"]
    y = jax.lax.conv_general_dilated(
        standardised(images_of(cfg, data, 0)), first["kernel"], (1, 1), ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest",
    )  # fmt: skip
    y = np.asarray(y, np.float64) + np.asarray(first["bias"], np.float64)
    found = again["batch_stats"]["down0_1"]["norm"]
    np.testing.assert_allclose(found["mean"], y.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["var"], y.var((0, 1, 2)), rtol=1e-4)
