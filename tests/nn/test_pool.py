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
