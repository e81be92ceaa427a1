"""Batch norm against NumPy in float64 and the gradient of its textbook formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import enable_x64

from tqgd_jax.nn.norm import EPSILON, BatchNorm

SHAPES = [(4, 20, 20, 6), (4, 3, 5, 6), (2, 1, 1, 6)]
FAR = 30.0  # mean of the channels in standard deviations


def arrays(shape, mean=0.0):
    rng = np.random.default_rng(0)
    x = rng.normal(mean, size=shape).astype(np.float32)
    return x, rng.normal(size=shape).astype(np.float32)


def normalise(x, **parameters):
    norm = BatchNorm(**parameters)
    c = x.shape[-1]
    variables = {
        "params": {"scale": jnp.ones(c), "bias": jnp.zeros(c)},
        "batch_stats": {"mean": jnp.zeros(c), "var": jnp.zeros(c)},
    }
    y, new = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    return y, jax.tree.map(lambda v: v / 0.03, new["batch_stats"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mean", [0.0, 1.0, FAR])
def test_moments_equal_those_of_float64(shape, mean):
    x, _ = arrays(shape, mean)
    _, stats = normalise(jnp.asarray(x))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(
        stats["mean"], wide.mean((0, 1, 2)), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(stats["var"], wide.var((0, 1, 2)), rtol=2e-5)


@pytest.mark.parametrize("train", [False, True])
def test_epsilon_is_added_to_the_variance(train):
    # Values -1 and 1 of one channel: mean 0, variance 1; epsilon 3 halves them.
    x = jnp.asarray([-1.0, 1.0])[None, :, None, None]
    variables = {
        "params": {"scale": jnp.ones(1), "bias": jnp.zeros(1)},
        "batch_stats": {"mean": jnp.zeros(1), "var": jnp.ones(1)},
    }
    y, _ = BatchNorm(epsilon=3.0).apply(
        variables, x, train=train, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(y[0, :, 0, 0], [-0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("mean", [0.0, FAR])
def test_gradient_equals_that_of_the_formula_in_float64(shape, mean):
    x, dy = arrays(shape, mean)

    def formula(x):
        v = jnp.var(x, (0, 1, 2), keepdims=True)
        return (x - jnp.mean(x, (0, 1, 2), keepdims=True)) / jnp.sqrt(v + EPSILON)

    with enable_x64():
        (want,) = jax.vjp(formula, jnp.asarray(x, jnp.float64))[1](
            jnp.asarray(dy, jnp.float64)
        )
    (got,) = jax.vjp(lambda x: normalise(x)[0], jnp.asarray(x))[1](jnp.asarray(dy))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_two_devices_see_the_moments_of_the_whole_batch():
    x, dy = arrays((4, 9, 9, 6), 3.0)
    x[2:] += 5  # what the devices hold differs
    split = (2, 2, 9, 9, 6)

    def on_one(x, dy, axis_name=None):
        y, back = jax.vjp(lambda x: normalise(x, axis_name=axis_name)[0], x)
        return y, back(dy)[0]

    got = jax.pmap(lambda x, dy: on_one(x, dy, "data"), axis_name="data")(
        x.reshape(split), dy.reshape(split)
    )
    for a, b in zip(got, on_one(jnp.asarray(x), jnp.asarray(dy)), strict=True):
        np.testing.assert_allclose(np.reshape(a, x.shape), b, atol=1e-5)
