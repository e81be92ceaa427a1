"""The parts of the networks, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.baselines.zair.network import lesion_logit
from tqgd_jax.baselines.zair.unet import UpConv


def test_a_transposed_convolution_gives_each_pixel_its_square():
    kernel = jnp.arange(1.0, 9.0).reshape(2, 2, 2, 1)  # row, column, in, out
    x = jnp.array([[1.0, 0.0], [0.0, 10.0]])[None, None]  # 1 row, 2 columns, 2 channels
    params = {"kernel": kernel, "bias": jnp.full(1, 0.5)}
    y = jax.jit(UpConv(1).apply)({"params": params}, x)
    # Of the first pixel channel 0 (kernel 1 3 5 7), of the second channel 1 (2 4 6 8).
    expected = [[1, 3, 20, 40], [5, 7, 60, 80]]
    np.testing.assert_allclose(y[0, :, :, 0], np.add(expected, 0.5))


def test_the_logit_of_two_classes_is_their_difference():
    two = jnp.array([[[[0.3, 1.0]]]])
    p = jax.nn.softmax(two)[..., 1]
    np.testing.assert_allclose(jax.nn.sigmoid(lesion_logit(two)), p, rtol=1e-6)
    np.testing.assert_array_equal(lesion_logit(two[..., 1:]), [[[1.0]]])
