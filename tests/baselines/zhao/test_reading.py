"""RoIAlign and deformable convolution: values of onnxruntime and of ONNX's reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.baselines.zhao.deform import deformable_conv
from tqgd_jax.baselines.zhao.roi_align import roi_align
from tqgd_jax.nn.blocks import Mode
from tqgd_jax.nn.conv import conv2d


def ramp(side):
    """f(y, x) = y + 10 x."""
    y, x = np.mgrid[:side, :side]
    return jnp.asarray((y + 10 * x)[None, :, :, None], jnp.float32)


def test_roi_align():
    boxes = jnp.array(
        [
            (8, 8, 36, 36),
            (0, 0, 16, 12),
            (30.5, 41.2, 45.1, 55.9),
            (50, 50, 90, 80),  # beyond the map, which ends at 64 px
        ]
    )
    bins = jax.jit(lambda x, b: roi_align((x,), b, bins=2))(ramp(16), boxes[None])
    expected = [
        [[35.75, 70.75], [39.25, 74.25]],
        [[5.3125, 25.3125], [6.75, 26.75]],
        [[91.09380, 109.34380], [92.93120, 111.18120]],
        [[155.125, 0], [0, 0]],
    ]
    np.testing.assert_allclose(bins[0, ..., 0], expected, atol=1e-4)


def test_a_box_is_read_on_the_level_of_its_size():
    """floor(log2(sqrt(area) / 56)), at most the last level there is."""
    levels = tuple(
        jnp.full((1, n, n, 1), i, jnp.float32) for i, n in enumerate((32, 16, 8))
    )
    side = jnp.array([7, 111.9, 112, 223, 224, 1000])
    boxes = jnp.stack([0 * side, 0 * side, side, side], axis=1)
    bins = jax.jit(lambda *x: roi_align(x, boxes[None], bins=16))(*levels)
    # The first bin; the last ones lie beyond the maps of 128 px.
    np.testing.assert_allclose(bins[0, :, 0, 0, 0], [0, 0, 1, 1, 2, 2], atol=1e-6)


CENTRE = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)


@pytest.fixture(scope="module")
def deformed():
    def run(x, offsets, kernel):
        return deformable_conv(x, offsets, kernel, Mode())

    return jax.jit(run)


@pytest.mark.parametrize(
    ("offset", "first", "last"),
    [
        ((0, 0), (0, 10, 20, 30), (3, 13, 23, 33)),
        ((0.5, 0), (0.5, 10.5, 20.5, 30.5), (1.5, 6.5, 11.5, 16.5)),
        ((0, 0.25), (2.5, 12.5, 22.5, 22.5), (5.5, 15.5, 25.5, 24.75)),
        ((-0.5, -0.5), (0, 2.5, 7.5, 12.5), (1.25, 7.5, 17.5, 27.5)),
        ((9, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_a_moved_tap(deformed, offset, first, last):
    offsets = jnp.broadcast_to(jnp.array(offset, jnp.float32), (1, 4, 4, 1, 9, 2))
    y = deformed(ramp(4), offsets, CENTRE)[0, :, :, 0]
    np.testing.assert_allclose(y[0], first, atol=1e-5)
    np.testing.assert_allclose(y[-1], last, atol=1e-5)


def test_taps_at_rest_are_a_convolution_and_groups_move_alone(deformed):
    rng = np.random.default_rng(0)
    x, kernel = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((2, 5, 6, 4), (3, 3, 4, 3))
    )
    plain = conv2d(x, kernel, padding=((1, 1), (1, 1)))
    offsets = jnp.zeros((2, 5, 6, 2, 9, 2))
    np.testing.assert_allclose(deformed(x, offsets, kernel), plain, atol=1e-5)
    # The second half of the channels, one pixel to the right.
    moved = jnp.roll(x[..., 2:], -1, axis=2).at[:, :, -1].set(0)
    offsets = offsets.at[:, :, :, 1, :, 1].set(1.0)
    got = deformed(x, offsets, kernel)[:, :, 1:-2]  # what the roll does not bring round
    both = jnp.concatenate([x[..., :2], moved], axis=-1)
    want = conv2d(both, kernel, padding=((1, 1), (1, 1)))[:, :, 1:-2]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_gradients_of_bfloat16_maps_are_summed_in_float32():
    """bfloat16 has eight bits: 256 + 1 is 256, so a sum of its own would stop there."""
    x = jnp.ones((1, 8, 8, 1), jnp.bfloat16)
    # Sixty boxes of the same four pixels, whose samples all lie between their centres.
    boxes = jnp.tile(jnp.array([4.0, 4, 12, 12]), (1, 60, 1))
    gradient = jax.jit(jax.grad(lambda x: roi_align((x,), boxes, bins=7).sum()))(x)
    total = np.asarray(gradient, float).sum()
    assert total == pytest.approx(60 * 49, rel=0.01)
    # All nine taps of 400 places read the pixel (4, 4).
    x = jnp.ones((1, 20, 20, 1), jnp.bfloat16)
    at, taps = np.arange(20.0), np.arange(9)
    offsets = np.zeros((1, 20, 20, 1, 9, 2), np.float32)
    offsets[..., 0] = 4 - (at[:, None, None, None] + taps // 3 - 1)
    offsets[..., 1] = 4 - (at[None, :, None, None] + taps % 3 - 1)
    kernel = jnp.ones((3, 3, 1, 1))

    def moved(x):
        y = deformable_conv(x, jnp.asarray(offsets), kernel, Mode("bf16"))
        return y.astype(jnp.float32).sum()

    gradient = np.asarray(jax.jit(jax.grad(moved))(x), float)[0, :, :, 0]
    assert gradient[4, 4] == pytest.approx(9 * 400, rel=0.01)
    assert gradient.sum() == pytest.approx(gradient[4, 4])
