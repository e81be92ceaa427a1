"""`conv2d` against sums written out in NumPy and against XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from tqgd_jax.nn.conv import conv2d


def by_hand(x, kernel, stride, padding, groups):
    """Cross-correlation with explicit loops over outputs, in float64."""
    edges = [(0, 0), *padding, (0, 0)]
    x = np.pad(np.asarray(x, np.float64), np.maximum(edges, 0))
    x = x[tuple(slice(max(-a, 0), -max(-b, 0) or None) for a, b in edges)]
    kernel = np.asarray(kernel, np.float64)
    kh, kw, i, o = kernel.shape
    rows = (x.shape[1] - kh) // stride + 1
    columns = (x.shape[2] - kw) // stride + 1
    y = np.zeros((x.shape[0], rows, columns, o))
    for r, c, q in np.ndindex(rows, columns, o):
        g = q // (o // groups)
        patch = x[:, r * stride :, c * stride :, g * i : (g + 1) * i][:, :kh, :kw]
        y[:, r, c, q] = (patch * kernel[None, ..., q]).sum((1, 2, 3))
    return y


def by_xla(x, kernel, stride, padding, groups):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


# kernel, stride, padding, groups, height, width, channels in and out
STEM = ((6, 6), 2, ((2, 2), (2, 2)), 1, 8, 12, 3, 6)
CASES = [
    ((1, 1), 1, ((0, 0), (0, 0)), 1, 5, 4, 3, 6),
    ((1, 1), 2, ((0, 0), (0, 0)), 1, 5, 4, 3, 6),
    ((1, 1), 1, ((1, 0), (0, 2)), 1, 5, 4, 3, 6),  # padding makes it no matrix product
    ((3, 3), 1, ((1, 1), (1, 1)), 1, 6, 5, 4, 6),
    ((3, 3), 1, ((0, 0), (0, 0)), 1, 6, 5, 4, 6),
    ((3, 3), 1, ((3, 0), (0, 3)), 1, 6, 5, 4, 6),  # more than the kernel reaches
    ((3, 3), 2, ((1, 1), (1, 1)), 1, 6, 8, 4, 6),
    ((3, 3), 2, ((1, 1), (1, 1)), 1, 5, 7, 9, 6),
    ((3, 3), 2, ((0, 1), (2, 0)), 1, 6, 8, 9, 6),
    ((3, 3), 2, ((-1, 0), (1, 3)), 1, 6, 8, 9, 6),  # crops before, empty after
    ((2, 3), 3, ((1, 1), (1, 1)), 1, 6, 9, 9, 6),  # fewer rows than the stride
    ((4, 5), 3, ((1, 1), (1, 1)), 1, 6, 9, 9, 6),
    ((6, 6), 2, ((2, 2), (2, 2)), 1, 8, 12, 9, 6),
    STEM,
    ((6, 6), 2, ((2, 2), (2, 2)), 1, 9, 12, 3, 6),  # an odd side has no 2x2 blocks
    ((6, 6), 2, ((1, 2), (2, 3)), 1, 8, 12, 3, 6),
    ((2, 4), 2, ((0, 0), (2, 0)), 1, 8, 6, 1, 2),
    ((8, 8), 1, ((3, 4), (3, 4)), 1, 9, 10, 3, 3),
    ((12, 12), 1, ((6, 5), (6, 5)), 1, 10, 9, 3, 3),  # larger than the image
    ((8, 8), 1, ((3, 4), (3, 4)), 4, 9, 10, 4, 4),  # depthwise
    ((12, 12), 1, ((6, 5), (5, 6)), 4, 9, 10, 4, 4),
    ((3, 3), 2, ((1, 1), (1, 1)), 4, 8, 8, 4, 4),
    ((3, 3), 1, ((1, 1), (1, 1)), 4, 6, 5, 4, 8),  # two outputs a channel
    ((3, 3), 1, ((1, 1), (1, 1)), 2, 6, 5, 4, 6),
    ((1, 1), 1, ((0, 0), (0, 0)), 2, 6, 5, 4, 6),
]


def arrays(case, images=2):
    kernel, stride, padding, groups, h, w, i, o = case
    rng, dtype = np.random.default_rng(0), np.float32
    x = rng.normal(size=(images, h, w, i)).astype(dtype)
    k = rng.normal(size=(*kernel, i // groups, o)).astype(dtype)
    return jnp.asarray(x), jnp.asarray(k), stride, padding, groups


@pytest.fixture(params=CASES, ids=lambda c: f"k{c[0][0]}x{c[0][1]}s{c[1]}g{c[3]}")
def case(request):
    return request.param


def test_values_equal_the_sum_written_out(case):
    x, k, stride, padding, groups = arrays(case)
    y = conv2d(x, k, stride=stride, padding=padding, groups=groups)
    np.testing.assert_allclose(
        y, by_hand(x, k, stride, padding, groups), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("images", [2, 5])  # few images have a form of their own
def test_gradients_equal_those_of_xla(case, images):
    x, k, stride, padding, groups = arrays(case, images)
    shape = by_xla(x, k, stride, padding, groups).shape
    dy = jnp.asarray(np.random.default_rng(1).normal(size=shape).astype(np.float32))

    def ours(x, k):
        return conv2d(x, k, stride=stride, padding=padding, groups=groups)

    def theirs(x, k):
        return by_xla(x, k, stride, padding, groups)

    got = jax.jit(lambda x, k: jax.vjp(ours, x, k)[1](dy))(x, k)
    want = jax.jit(lambda x, k: jax.vjp(theirs, x, k)[1](dy))(x, k)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-4)


# Layers of YOLOv5s: side, kernel, stride, padding, channels in and out.
LAYERS = [(48, 6, 2, 2, 3, 32), (40, 3, 2, 1, 32, 64), (40, 3, 1, 1, 32, 32)]
LAYERS += [(20, 3, 1, 1, 64, 64), (20, 1, 1, 0, 64, 128)]


@pytest.mark.parametrize("images", [1, 6])
@pytest.mark.parametrize("layer", LAYERS)
def test_forms_are_within_5e_6_of_the_sums_in_float64(layer, images):
    side, size, stride, pad, i, o = layer
    padding = ((pad, pad), (pad, pad))
    case = ((size, size), stride, padding, 1, side, side, i, o)
    x, k, *_ = arrays(case, images)

    def all_of(convolution, x, k):
        y, back = jax.vjp(convolution, x, k)
        dy = jnp.asarray(np.random.default_rng(1).normal(size=y.shape), y.dtype)
        return (y, *back(dy))

    with jax.enable_x64(True):
        exact = all_of(
            lambda x, k: by_xla(x, k, stride, padding, 1),
            jnp.asarray(x, jnp.float64),
            jnp.asarray(k, jnp.float64),
        )
        exact = [np.asarray(a) for a in exact]
    got = jax.jit(
        lambda x, k: all_of(
            lambda x, k: conv2d(x, k, stride=stride, padding=padding), x, k
        )
    )(x, k)
    for a, b in zip(got, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6 * np.abs(b).max())


def test_bfloat16_stays_bfloat16_and_near_float32(case):
    x, k, stride, padding, groups = arrays(case)
    low = x.astype(jnp.bfloat16), k.astype(jnp.bfloat16)
    y = conv2d(*low, stride=stride, padding=padding, groups=groups)
    want = by_hand(low[0], low[1], stride, padding, groups)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(  # one rounding of the result, 2^-8 of the largest
        y.astype(jnp.float32), want, atol=np.abs(want).max() / 128
    )
    if groups == 1:
        given = jax.eval_shape(
            jax.grad(
                lambda x, k: (
                    conv2d(x, k, stride=stride, padding=padding)
                    .astype(jnp.float32)
                    .sum()
                ),
                (0, 1),
            ),
            *low,
        )
        assert [g.dtype for g in given] == [jnp.bfloat16, jnp.bfloat16]


@pytest.mark.parametrize("case", [CASES[1], CASES[3]])
def test_second_derivatives_exist(case):
    x, k, stride, padding, groups = arrays(case)

    def loss(k):
        k = jnp.asarray(k)  # check_grads hands NumPy arrays over
        y = conv2d(x, k, stride=stride, padding=padding, groups=groups)
        return jnp.sum(jnp.sin(y))

    check_grads(loss, (k,), order=2, modes=["rev"], atol=0.1, rtol=0.1)


def test_other_backends_get_xlas_convolution(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert primitives(STEM) == ["conv_general_dilated"]


@pytest.mark.parametrize("case", CASES)
def test_direct_is_xlas_convolution_on_every_backend(case, monkeypatch):
    here = primitives(case, direct=True)
    assert here[-1] in ("conv_general_dilated", "dot_general")
    assert not {"custom_vjp_call", "optimization_barrier", "pad"} & {*here}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert primitives(case) == here


def primitives(case, **options):
    """Names of the operations of a case."""
    x, k, stride, padding, groups = arrays(case)
    program = jax.make_jaxpr(
        lambda x, k: conv2d(
            x, k, stride=stride, padding=padding, groups=groups, **options
        )
    )(x, k)
    return [e.primitive.name for e in program.eqns]
