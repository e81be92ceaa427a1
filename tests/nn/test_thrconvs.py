"""Eqs. 1-4 with weights set by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.nn.thrconvs import ThrConvs


def block(kernels, weights, **settings):
    """A one-channel block without activation whose batch norms do nothing."""
    module = ThrConvs(kernels=kernels, act="none", **settings)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)), train=False)
    params = {
        f"conv{i + 1}": {
            "conv": {"kernel": jnp.full((k, k, 1, 1), w)},
            # y = x / sqrt(1 + 1e-3) * gain
            "bn": {"scale": jnp.sqrt(jnp.full(1, 1.001)), "bias": jnp.zeros(1)},
        }
        for i, (k, w) in enumerate(zip(kernels, weights, strict=True))
    }
    return module, {**variables, "params": params}


@pytest.mark.parametrize(
    ("sign", "skip", "expected"),
    [
        # x = 1: x1 = 2, x2 = 2 * 3 = 6, r = 1 - 6 = -5, 0.5 * -5 = -2.5
        ("x-x2", "x1", -2.5 + 2),
        ("x2-x", "x1", 2.5 + 2),
        ("x-x2", "x2", -2.5 + 6),
        ("x2-x", "x2", 2.5 + 6),
    ],
)
def test_equations_1_to_4_by_hand(sign, skip, expected):
    module, variables = block((1, 1, 1), (2.0, 3.0, 0.5), sign=sign, skip=skip)
    y = module.apply(variables, jnp.ones((1, 4, 4, 1)), train=False)
    np.testing.assert_allclose(y, expected, rtol=5e-6)


def centroid(y):
    y = np.asarray(y)[0, :, :, 0]
    rows, columns = np.indices(y.shape)
    return (y * rows).sum() / y.sum(), (y * columns).sum() / y.sum()


def test_even_kernels_leave_x2_in_place_and_shift_x1_by_half_a_pixel():
    impulse = jnp.zeros((1, 48, 48, 1)).at[0, 24, 24, 0].set(1.0)
    # With the third kernel zero the block returns its skip: x1, or x2.
    module, variables = block((8, 12, 8), (1.0, 1.0, 0.0), skip="x1")
    # Cross-correlation with pad (3, 4): output i reads inputs i-3 .. i+4.
    at = centroid(module.apply(variables, impulse, train=False))
    assert at == pytest.approx((23.5, 23.5), abs=1e-4)
    module, variables = block((8, 12, 8), (1.0, 1.0, 0.0), skip="x2")
    at = centroid(module.apply(variables, impulse, train=False))
    assert at == pytest.approx((24.0, 24.0), abs=1e-4)


def test_depthwise_has_one_filter_per_channel():
    module = ThrConvs(depthwise=True)
    variables = jax.eval_shape(
        lambda key: module.init(key, jnp.zeros((1, 16, 16, 6)), train=False),
        jax.random.key(0),
    )
    shapes = [
        variables["params"][f"conv{i}"]["conv"]["kernel"].shape for i in (1, 2, 3)
    ]
    assert shapes == [(8, 8, 1, 6), (12, 12, 1, 6), (8, 8, 1, 6)]
