"""`fft_conv` against float64 sums in NumPy and against XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from tqgd_jax.nn.conv import conv2d
from tqgd_jax.nn.fft_conv import fft_conv

# images, height, width, channels in and out, kernel, padding
CASES = [
    (2, 40, 43, 3, 5, (8, 8), ((3, 4), (3, 4))),
    (1, 70, 33, 4, 4, (12, 12), ((6, 5), (6, 5))),  # several tiles, the last one short
    (2, 64, 64, 4, 4, (8, 8), ((3, 4), (3, 4))),  # tiles that fit exactly
    (1, 10, 9, 3, 4, (12, 12), ((6, 5), (5, 6))),  # a kernel larger than the image
    (1, 1, 1, 2, 3, (8, 8), ((3, 4), (3, 4))),
    (1, 33, 70, 2, 3, (12, 8), ((0, 0), (9, 3))),  # more than the kernel reaches
    (1, 36, 34, 3, 2, (1, 1), ((0, 0), (0, 0))),
]


def direct(x, kernel, padding):
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


def sums(x, kernel, padding, dy):
    """Output and both gradients as sums over the places of the kernel, float64."""
    x, kernel, dy = (np.asarray(a, np.float64) for a in (x, kernel, dy))
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    y, dk, dx = np.zeros(dy.shape), np.zeros(kernel.shape), np.zeros(padded.shape)
    for i, j in np.ndindex(*kernel.shape[:2]):
        here = np.s_[:, i : i + dy.shape[1], j : j + dy.shape[2]]
        y += padded[here] @ kernel[i, j]
        dk[i, j] = np.einsum("byxi,byxo->io", padded[here], dy)
        dx[here] += dy @ kernel[i, j].T
    (top, _), (left, _) = padding
    return y, dx[:, top : top + x.shape[1], left : left + x.shape[2]], dk


def arrays(case):
    b, h, w, i, o, taps, padding = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(b, h, w, i)).astype(np.float32)
    kernel = rng.normal(size=(*taps, i, o)).astype(np.float32)
    shape = jax.eval_shape(lambda x, k: direct(x, k, padding), x, kernel).shape
    dy = rng.normal(size=shape).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(dy)


def all_three(convolution, x, kernel, padding, dy):
    def run(x, kernel, dy):
        y, pull = jax.vjp(lambda x, k: convolution(x, k, padding), x, kernel)
        return y, *pull(dy)

    return jax.jit(run)(x, kernel, dy)


def worst(got, want):
    """Largest error as a share of the largest value."""
    return np.abs(np.asarray(got, np.float64) - want).max() / np.abs(want).max()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_as_exact_as_xlas(case):
    padding = case[-1]
    x, kernel, dy = arrays(case)
    want = sums(x, kernel, padding, dy)
    ours = all_three(fft_conv, x, kernel, padding, dy)
    xlas = all_three(direct, x, kernel, padding, dy)
    for a, b, c in zip(ours, xlas, want, strict=True):
        assert a.shape == c.shape
        assert a.dtype == jnp.float32
        assert worst(a, c) < 1e-6
        assert worst(b, c) < 1e-6  # so the reference is one


def test_negative_padding_crops_as_in_xla():
    padding = ((-2, 0), (1, -3))
    x, kernel, dy = arrays((1, 40, 38, 2, 3, (7, 9), padding))
    ours = all_three(fft_conv, x, kernel, padding, dy)
    xlas = all_three(direct, x, kernel, padding, dy)
    for a, b in zip(ours, xlas, strict=True):
        assert worst(a, np.asarray(b, np.float64)) < 2e-6


def test_one_pixel_draws_the_kernel_turned_round_and_touches_nothing_else():
    kernel = np.arange(1, 1 + 8 * 8, dtype=np.float32).reshape(8, 8, 1, 1)
    x = np.zeros((1, 70, 70, 1), np.float32)
    x[0, 33, 31] = 1  # its outputs lie in four tiles
    y = fft_conv(jnp.asarray(x), jnp.asarray(kernel), ((3, 4), (3, 4)))
    want = np.zeros((70, 70))
    want[29:37, 27:35] = kernel[::-1, ::-1, 0, 0]
    np.testing.assert_allclose(y[0, :, :, 0], want, atol=64 * 1e-6)


def test_zeros_give_zeros():
    x, kernel, dy = arrays(CASES[1])
    padding = CASES[1][-1]
    y, _, dk = all_three(fft_conv, jnp.zeros_like(x), kernel, padding, dy)
    assert not np.asarray(y).any()
    assert not np.asarray(dk).any()
    _, dx, dk = all_three(fft_conv, x, kernel, padding, jnp.zeros_like(dy))
    assert not np.asarray(dx).any()
    assert not np.asarray(dk).any()


def test_bfloat16_is_rounded_once():
    padding = CASES[0][-1]
    x, kernel, dy = (a.astype(jnp.bfloat16) for a in arrays(CASES[0]))
    got = all_three(fft_conv, x, kernel, padding, dy)
    for a, b in zip(got, sums(x, kernel, padding, dy), strict=True):
        assert a.dtype == jnp.bfloat16
        assert worst(a.astype(jnp.float32), b) < 2**-8


def test_the_same_in_a_loop():
    x, kernel, _ = arrays(CASES[2])
    padding = CASES[2][-1]

    def looped(x):
        return lax.fori_loop(
            0, 2, lambda _, x: 0.01 * fft_conv(x, kernel, padding), jnp.asarray(x)
        )

    once = 0.01 * direct(x, kernel, padding)
    want = 0.01 * direct(once, kernel, padding)
    assert worst(jax.jit(looped)(x), np.asarray(want, np.float64)) < 3e-6


def test_second_derivatives_exist():
    x, kernel, _ = arrays((1, 5, 4, 1, 2, (3, 3), ((1, 1), (1, 1))))

    def loss(x, kernel):
        return jnp.sum(jnp.sin(fft_conv(x, kernel, ((1, 1), (1, 1)))))

    check_grads(jax.jit(loss), (x, kernel), order=2, modes=["rev"], atol=0.1, rtol=0.1)


def primitives(**options):
    x, kernel = jnp.zeros((1, 64, 64, 16)), jnp.zeros((8, 8, 16, 16))
    program = jax.make_jaxpr(lambda x, k: conv2d(x, k, **options))(x, kernel)
    return "conv_general_dilated" in str(program)


def test_large_kernels_go_by_fft_unless_asked_not_to():
    padding = ((3, 4), (3, 4))
    assert not primitives(padding=padding)
    assert primitives(padding=padding, direct=True)
    assert primitives(padding=padding, stride=2)
