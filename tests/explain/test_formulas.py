"""The formulas by hand, and Grad-CAM++ against the derivatives that define it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.explain import formulas

# Two channels of 2 x 2; the values below are of the paper's formulas, worked out apart.
A = np.array([[[1.0, 0], [2, 1]], [[0, 3], [1, 1]]])
G = np.array([[[0.45, -0.3], [0.15, 0.6]], [[-0.75, 0.3], [0.3, 0.15]]])


def test_gradcam_pp_weighs_channels_by_alpha():
    # channel 0, sum 4: .45 / 3.8 + .15 / 2.6 + .3 / 3.2; channel 1, sum 5
    w = [0.269863, 0.260260]
    expected = [[0.269863, 0.799986], [0.780779, 0.530123]]
    np.testing.assert_allclose(formulas.gradcam_pp(A, G), expected, atol=1e-6)
    np.testing.assert_allclose(formulas.gradcam_pp(A, G), A @ w, atol=1e-6)
    np.testing.assert_allclose(
        formulas.unit(formulas.gradcam_pp(A, G)),
        [[0, 1], [0.963768, 0.490942]],
        atol=1e-6,
    )


def test_negative_activations_leave_the_sum_of_alpha():
    a = A.copy()
    a[0, 0, 0] = -1  # relu(A) of channel 0 sums to 3; A itself to 2
    for signed, s in ((False, 3), (True, 2)):
        w0 = sum(g / (2 + g * s) for g in (0.45, 0.15, 0.3))
        got = formulas.gradcam_pp(a, G, signed_sum=signed)
        assert got[0, 1] == pytest.approx(2 * w0 + 0.260260, abs=1e-6)


def test_the_closed_form_is_that_of_the_derivatives_of_exp_s():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 1, (3, 4, 2))
    inner, outer = rng.normal(size=(2, 5)), rng.normal(size=5)

    def y(a, bump):  # exp of a small piece-wise linear network
        return jnp.exp(jax.nn.relu((a + bump) @ inner) @ outer).prod()

    def along(way, t):  # by one activation
        return y(jnp.asarray(a, jnp.float32), t * way)

    ways = jnp.eye(a.size).reshape(-1, *a.shape)
    f, derivatives = along, []
    for _ in range(4):  # itself, first, second and third derivative
        of_each = jax.jit(jax.vmap(f, (0, None)))(ways, 0.0)
        derivatives.append(np.asarray(of_each, np.float64).reshape(a.shape))
        f = jax.grad(f, argnums=1)
    y0, d1, d2, d3 = derivatives
    # Eq. 19 of Chattopadhay et al. for alpha, Eq. 10 for w
    alpha = d2 / (2 * d2 + a.sum(axis=(0, 1))[None, None] * d3)
    w = (alpha * np.maximum(d1, 0)).sum(axis=(0, 1))
    expected = np.maximum(a @ w, 0) / y0.ravel()[0]  # the common factor exp(S)
    assert expected.max() > 0
    np.testing.assert_allclose(
        formulas.gradcam_pp(a, d1 / y0, signed_sum=True), expected, rtol=1e-3
    )


def test_the_others():
    assert np.allclose(formulas.gradcam(A, G), [[0.0375, 0.2625], [0.5625, 0.225]])
    by_place = [[0.45, 0.9], [0.9, 0.45]]
    np.testing.assert_allclose(formulas.layercam(A, G), by_place)
    np.testing.assert_allclose(formulas.odam(A, G, sigma=0.0), by_place)


def test_odam_spreads_the_gradient_over_its_neighbours():
    g = np.zeros((9, 9, 1))
    g[4, 4] = 1.0
    got = formulas.odam(np.ones((9, 9, 1)), g)
    near = np.exp(-0.5) * got[4, 4]  # a Gaussian one sigma off
    assert got[4, 5] == pytest.approx(near)
    assert formulas.layercam(np.ones((9, 9, 1)), g)[4, 5] == 0


def test_eigencam_of_one_pattern_is_the_pattern():
    pattern = np.array([[0.0, 1, 2], [3, 0, 1]])
    a = pattern[..., None] * np.array([-0.6, 0.8])  # of rank one, |v| = 1
    np.testing.assert_allclose(
        formulas.eigencam(a, np.zeros(a.shape)), pattern, atol=1e-9
    )


def test_a_flat_map_has_no_scale():
    assert not formulas.unit(np.full((2, 2), 3.0)).any()
    assert {*formulas.NAMES} == {*formulas.METHODS}
