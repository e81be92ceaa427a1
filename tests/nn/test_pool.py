"""Changes of size, by hand and against SciPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tqgd_jax.nn import pool


def image(*rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


def test_max_pool_at_stride_2_is_padded_on_both_sides():
    x = image([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16])
    # Windows around rows and columns 0 and 2, padded before: XLA's SAME would give
    # 11, 12, 15, 16.
    y = pool.max_pool(x, window=3, stride=2)
    np.testing.assert_array_equal(y[0, :, :, 0], [[6, 8], [14, 16]])


def test_max_pool_pads_with_less_than_any_value():
    y = pool.max_pool(image([-5, -6], [-7, -8]), window=5, stride=1)
    np.testing.assert_array_equal(y[0, :, :, 0], [[-5, -5], [-5, -5]])


def test_max_pool_may_be_wider_than_the_image():
    y = pool.max_pool(image([-3]), window=5, stride=1)
    np.testing.assert_array_equal(y[0, :, :, 0], [[-3]])


def test_nearest_repeats_pixels():
    y = pool.upsample_nearest(image([1, 2], [3, 4]))
    np.testing.assert_array_equal(
        y[0, :, :, 0], [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    )


def test_bilinear_by_hand():
    # Output centres at -0.25, 0.25, 0.75, 1.25 of the input.
    y = pool.upsample_bilinear(image([0, 4]))
    np.testing.assert_allclose(y[0, :, :, 0], [[0, 1, 3, 4], [0, 1, 3, 4]])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_bilinear_equals_scipy_sampling(factor):
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    at = [(np.arange(n * factor) + 0.5) / factor - 0.5 for n in x.shape]
    expected = scipy.ndimage.map_coordinates(
        x, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest"
    )
    y = pool.upsample_bilinear(jnp.asarray(x)[None, :, :, None], factor)
    np.testing.assert_allclose(y[0, :, :, 0], expected, atol=1e-6)


# (3, 4) map 0..11 to (6, 8), corner on corner; from PyTorch's F.interpolate with
# align_corners=True.
ALIGNED = [
    [0.0, 0.428571, 0.857143, 1.285714, 1.714286, 2.142857, 2.571429, 3.0],
    [1.6, 2.028571, 2.457143, 2.885714, 3.314286, 3.742857, 4.171429, 4.6],
]


def test_bilinear_with_aligned_corners_as_pytorch_has_it():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    y = jax.jit(pool.upsample_aligned)(x)
    assert y.shape == (1, 6, 8, 1)
    np.testing.assert_allclose(y[0, :2, :, 0], ALIGNED, atol=1e-6)
    np.testing.assert_allclose(y[0, -1, [0, -1], 0], [8, 11], rtol=1e-6)  # corners
    one = jnp.full((1, 1, 1, 1), 7.0)
    np.testing.assert_array_equal(jax.jit(pool.upsample_aligned)(one), 7)


def test_max_pool_remembers_its_pixels_and_unpooling_brings_values_back():
    # From PyTorch's MaxPool2d(2, return_indices=True) and MaxUnpool2d(2).
    x = image([1, 5, 2, 2], [3, 4, 2, 2], [0, 0, -1, -2], [0, 0, -3, -4])
    y, place = jax.jit(pool.max_pool_2x2)(x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[5, 2], [0, -1]])
    np.testing.assert_array_equal(place[0, :, :, 0], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(
        jax.jit(pool.max_unpool_2x2)(y, place)[0, :, :, 0],
        [[0, 5, 2, 0], [0, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0]],
    )
    g = jax.jit(jax.grad(lambda x: pool.max_pool_2x2(x)[0].sum()))(x)
    np.testing.assert_array_equal(
        g[0, :, :, 0], [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    )


def test_resize_averages_down_and_interpolates_up():
    x = image([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16])
    np.testing.assert_allclose(
        pool.resize_to(x, 2)[0, :, :, 0], [[3.5, 5.5], [11.5, 13.5]]
    )
    assert pool.resize_to(x, 4) is x
    assert pool.resize_to(x, 8).shape == (1, 8, 8, 1)


class EveryVariant(chex.TestCase):
    """The same values with and without jit, and on devices of its own."""

    @chex.variants(with_jit=True, without_jit=True, with_device=True)
    def test_sizes_change_alike(self):
        x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))

        @self.variant
        def all_of_them(x):
            return (
                pool.max_pool(x, window=3, stride=2),
                pool.avg_pool(x, 2),
                pool.upsample_nearest(x),
                pool.upsample_bilinear(x, 4),
            )

        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf),
            (3, 3),
            axis=(1, 2),
        )[:, ::2, ::2]
        blocks = np.asarray(x).reshape(2, 4, 2, 4, 2, 3)
        expected = (
            windows.max((-2, -1)),
            blocks.mean((2, 4)),
            np.asarray(x).repeat(2, 1).repeat(2, 2),
            jax.image.resize(x, (2, 32, 32, 3), "bilinear"),
        )
        chex.assert_trees_all_close(all_of_them(x), expected, atol=1e-6)


def test_the_first_of_equal_values_gets_the_gradient_of_a_maximum():
    x = jnp.full((1, 2, 2, 1), 7.0)
    g = jax.grad(lambda x: pool.max_pool(x, window=3, stride=2).sum())(x)
    np.testing.assert_array_equal(g[0, :, :, 0], [[1, 0], [0, 0]])
