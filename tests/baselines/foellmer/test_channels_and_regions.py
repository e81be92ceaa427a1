"""What Foellmer's network reads, its weak labels, and the weights of its tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tqgd_jax.baselines.foellmer.channels import AIR, two_channels
from tqgd_jax.baselines.foellmer.network import weighted
from tqgd_jax.baselines.foellmer.regions import region_labels

WINDOW = (-1200.0, 1800.0)


def test_channels_are_density_and_what_may_be_calcium():
    hu = jnp.array([[-1200.0, 0.0, 130.0, 131.0, 1300.0, 1800.0]])
    image = ((hu - WINDOW[0]) / (WINDOW[1] - WINDOW[0]))[..., None]
    density, candidate = jnp.moveaxis(two_channels(image[None], WINDOW, 130.0), -1, 0)
    np.testing.assert_allclose(density[0, 0], (np.asarray(hu[0]) + 2000) / 3300, 1e-6)
    np.testing.assert_array_equal(candidate[0, 0], [0, 0, 0, 1, 1, 1])  # above 130


def test_every_whole_hu_is_on_its_side_of_the_threshold():
    hu = np.arange(-1200, 1801, dtype=np.float32)
    image = (hu - np.float32(-1200)) / np.float32(3000)  # as the window makes it
    x = jnp.asarray(image)[None, None, :, None]
    candidate = two_channels(x, WINDOW, 130.0)[0, 0, :, 1]
    np.testing.assert_array_equal(candidate, hu > 130)


def test_of_several_channels_the_middle_one_is_read():
    image = jnp.stack([jnp.zeros((1, 1, 2)), jnp.ones((1, 1, 2)), jnp.zeros((1, 1, 2))])
    image = jnp.moveaxis(image, 0, -1)
    density = two_channels(image, WINDOW, 130.0)[..., 0]
    np.testing.assert_allclose(density, (1800 + 2000) / 3300, rtol=1e-6)


def test_air_around_the_image():
    np.testing.assert_allclose(AIR, (0.2958, 0), atol=5e-5)


@pytest.mark.parametrize("radius", [2.0, 3.5])
def test_regions_are_disks_and_the_nearest_artery_wins(radius):
    rng = np.random.default_rng(0)
    lesion = np.where(rng.uniform(size=(2, 24, 19)) < 0.02, 1, 0)
    lesion = lesion * rng.integers(1, 4, lesion.shape)
    lesion[1] = 0  # no lesion, no region
    got = jax.jit(lambda x: region_labels(x, 3, radius))(jnp.asarray(lesion))
    assert not got[1].any()
    for image, labels in zip(lesion[:1], got[:1], strict=True):
        distance = np.stack(
            [scipy.ndimage.distance_transform_edt(image != k) for k in (1, 2, 3)]
        )
        expected = np.where(distance.min(0) <= radius, distance.argmin(0) + 1, 0)
        np.testing.assert_array_equal(labels, expected)


def test_weights_of_the_tasks():
    # PyTorch's numbers for cross-entropies of a region and a lesion task.
    losses, s = jnp.array([0.560648, 0.220095]), jnp.array([0.3, -0.2])
    value, g = jax.value_and_grad(weighted, 1)(losses, s)
    assert value == pytest.approx(0.784163, abs=2e-6)
    np.testing.assert_allclose(g, [0.584662, 0.731176], atol=2e-6)
    assert weighted(losses, 0 * s) == pytest.approx(0.780743, abs=2e-6)
