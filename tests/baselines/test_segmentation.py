"""Losses of pixels against PyTorch's numbers, and sides that do not divide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.baselines import segmentation as seg
from tqgd_jax.structures.batch import Targets, Views

LOGIT = jnp.array([[[2.0, -1.0, 0.0], [-3.0, 0.5, 1.0]]])
TARGET = jnp.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]])
EMPTY = jnp.full((1, 2, 3), -4.0)


def dice(logit, target):
    return seg.dice_loss(jax.nn.sigmoid(logit), target)


@pytest.mark.parametrize(
    ("logit", "target", "bce", "dice_loss"),
    [
        (LOGIT, TARGET, 0.328210, 0.224383),
        (EMPTY, 0 * TARGET, 0.018150, 0.097406),
    ],
)
def test_terms_of_one_image(logit, target, bce, dice_loss):
    assert seg.binary_cross_entropy(logit, target) == pytest.approx(bce, abs=2e-6)
    assert dice(logit, target) == pytest.approx(dice_loss, abs=2e-6)


def test_dice_sums_over_the_batch():
    # The mean over the two images would be .160894.
    logit = jnp.concatenate([LOGIT, EMPTY])
    target = jnp.concatenate([TARGET, 0 * TARGET])
    assert dice(logit, target) == pytest.approx(0.236075, abs=2e-6)


def test_gradients_by_hand():
    p, t = np.asarray(jax.nn.sigmoid(LOGIT)), np.asarray(TARGET)
    g = jax.grad(seg.binary_cross_entropy)(LOGIT, TARGET)
    np.testing.assert_allclose(g, (p - t) / t.size, atol=1e-6)
    # d/dp of 1 - (2 I + 1) / S is (2 I + 1 - 2 t S) / S^2; dp/dx is p (1 - p).
    i, s = (p * t).sum(), (p + t).sum() + 1
    expected = (2 * i + 1 - 2 * t * s) / s**2 * p * (1 - p)
    np.testing.assert_allclose(jax.grad(dice)(LOGIT, TARGET), expected, atol=1e-6)


def test_cross_entropy_of_two_classes_is_binary():
    two = jnp.stack([0.3 - LOGIT, 0.3 + 0 * LOGIT], axis=-1)  # difference: LOGIT
    got = seg.cross_entropy(two, TARGET.astype(jnp.int32))
    assert got == pytest.approx(0.328210, abs=2e-6)


def test_losses_of_two_devices_are_those_of_the_whole_batch():
    logit = jnp.stack([LOGIT, EMPTY])  # by device
    target = jnp.stack([TARGET, 0 * TARGET])

    def of(logit, target, axis=None):
        two = jnp.stack([-logit, logit], axis=-1)
        return (
            seg.binary_cross_entropy(logit, target, axis)
            + seg.dice_loss(jax.nn.sigmoid(logit), target, axis)
            + seg.cross_entropy(two, target.astype(jnp.int32), axis)
        )

    step = jax.value_and_grad(of)
    loss, g = jax.pmap(lambda a, b: step(a, b, "data"), axis_name="data")(logit, target)
    whole, expected = step(logit.reshape(2, 2, 3), target.reshape(2, 2, 3))
    np.testing.assert_allclose(loss, whole, rtol=1e-6)
    # The step takes the mean over the devices.
    np.testing.assert_allclose(g.reshape(2, 2, 3) / 2, expected, atol=1e-7)


def test_an_image_is_padded_after_itself_and_cut_back():
    image = jnp.ones((1, 40, 64, 2))
    wide = seg.padded(image, 32, (0.25, 0.0))
    assert wide.shape == (1, 64, 64, 2)
    np.testing.assert_array_equal(wide[0, 40:, :, 0], 0.25)
    np.testing.assert_array_equal(wide[0, 40:, :, 1], 0)
    np.testing.assert_array_equal(seg.cut_back(wide, image), image)
    assert seg.padded(image, 8).shape == image.shape
    assert seg.padded(image, 32, least=65).shape == (1, 96, 96, 2)


def test_a_batch_without_label_maps_is_refused():
    none = Targets(
        jnp.zeros((1, 1, 4)), jnp.zeros((1, 1), int), jnp.zeros((1, 1), bool)
    )
    with pytest.raises(ValueError, match="give masks"):
        seg.lesion_of(Views(jnp.zeros((1, 2, 2, 1)), none, None))
