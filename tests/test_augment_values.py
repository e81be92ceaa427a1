"""What augmentation does to grey values, colours and Hounsfield units."""

import colorsys
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.augmented import STILL, boxed, make_batch, noise
from tqgd_jax.augment import augment
from tqgd_jax.augment_values import disturb, hsv_to_rgb, jitter, rgb_to_hsv
from tqgd_jax.config import Augment, Data


def test_brightness_gains_are_uniform_and_clipped():
    grey = jnp.array([0.5, 0.9])[None, :, None]
    keys = jax.random.split(jax.random.key(0), 500)
    out = jax.vmap(lambda k: jitter(k, grey, Augment(value=0.4)))(keys)
    gains = np.asarray(out[:, 0, 0, 0]) / 0.5
    assert 0.6 <= gains.min() < 0.62
    assert 1.38 < gains.max() <= 1.4
    np.testing.assert_allclose(out[:, 0, 1, 0], np.minimum(gains * 0.9, 1), rtol=1e-6)


def test_offsets_are_uniform_and_noise_has_up_to_the_asked_deviation():
    grey = jnp.full((16, 16, 1), 0.5)
    cfg = Augment(offset=0.1, noise=0.02)
    keys = jax.random.split(jax.random.key(0), 300)
    out = np.asarray(jax.vmap(lambda k: disturb(k, grey, cfg))(keys))
    shift = out.mean(axis=(1, 2, 3)) - 0.5
    assert np.abs(shift).max() < 0.1 + 0.02 / 16 * 4  # 4 errors of a mean of 256
    assert shift.min() < -0.09 < 0.09 < shift.max()
    sd = out.std(axis=(1, 2, 3))
    assert abs(sd.mean() - 0.01) < 0.001  # uniform from 0 to 0.02
    assert sd.max() < 0.02 * 1.2
    assert disturb(keys[0], grey, Augment()) is grey


def test_hsv_is_that_of_colorsys_and_inverts():
    rgb = np.random.default_rng(0).uniform(size=(50, 3)).astype(np.float32)
    rgb[:4] = [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0)]
    expected = [colorsys.rgb_to_hsv(*map(float, x)) for x in rgb]
    hsv = rgb_to_hsv(jnp.asarray(rgb))
    np.testing.assert_allclose(hsv, expected, atol=1e-5)
    np.testing.assert_allclose(hsv_to_rgb(hsv), rgb, atol=1e-5)


def test_hue_moves_colours_but_not_greys():
    cfg = Augment(hue=0.5, saturation=0.5, value=0)
    image = jnp.array([[[0.3, 0.3, 0.3], [0.2, 0.6, 0.4]]])
    out = jitter(jax.random.key(0), image, cfg)
    np.testing.assert_allclose(out[0, 0], image[0, 0], atol=1e-6)
    assert not np.allclose(out[0, 1], image[0, 1], atol=0.01)
    assert jnp.max(out[0, 1]) == pytest.approx(0.6, abs=1e-6)  # the value is kept


def test_slices_of_a_scan_are_no_colours():
    hu = noise(64, 64, 3).astype(np.int16) * 4 - 200
    cfg = dataclasses.replace(STILL, hue=0.5, saturation=0.5)
    batch = make_batch([[hu]])
    data = Data(image_size=64, hu_window=(-200, 900))
    (out, _, _), _ = augment(jax.random.key(0), batch, cfg=cfg, data=data, channels=3)
    # hue and saturation would mix or spread the channels
    np.testing.assert_allclose(out[0], (hu + 200.0) / 1100, atol=1e-6)


@pytest.mark.parametrize("window", [(-1200.0, 1800.0), (-150.0, 750.0)])
def test_hounsfield_units_come_back_from_the_device(window):
    low, high = window
    hu = np.arange(-1200, 1801).astype(np.int16)
    hu = hu[(hu >= low) & (hu <= high)]
    image = np.resize(hu, (64, 64)).astype(np.int16)
    out, *_ = boxed(make_batch([[image]]), channels=1, hu_window=window)
    back = np.asarray(out[0, ..., 0], np.float64) * (high - low) + low
    assert np.abs(back - image).max() <= 0.5  # float32 alone: about 2e-4


def test_channels_follow_the_model():
    grey, colour = noise(64, 64), noise(64, 64, 3)
    three, *_ = boxed(make_batch([[grey]]), channels=3)
    one, *_ = boxed(make_batch([[grey]]), channels=1)
    np.testing.assert_array_equal(three, np.repeat(one, 3, axis=-1))
    out, *_ = boxed(make_batch([[colour]]), channels=3)
    np.testing.assert_allclose(out[0], colour / 255, atol=1e-7)
    out, *_ = boxed(make_batch([[colour]]), channels=1)
    luma = colour @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(out[0, ..., 0], luma, atol=1e-6)
    with pytest.raises(ValueError, match="2 channels, the model wants 3"):
        boxed(make_batch([[noise(8, 8, 2)]]), channels=3)


def test_windows_of_every_stored_type():
    hu = noise(64, 64, dtype=np.int16) // 20  # -1638 to 1638
    out, *_ = boxed(make_batch([[hu]]))
    back = np.asarray(out[0, ..., 0], np.float64) * 3000 - 1200
    np.testing.assert_allclose(back, np.clip(hu, -1200, 1800), atol=0.01)

    wide = noise(64, 64, dtype=np.uint16)
    out, *_ = boxed(make_batch([[wide]]))
    np.testing.assert_array_equal(np.round(out[0, ..., 0] * 65535), wide)

    out, *_ = boxed(make_batch([[wide]]), window=(100.0, 1100.0))
    expected = (np.clip(wide, 100, 1100).astype(np.float64) - 100) / 1000
    np.testing.assert_allclose(out[0, ..., 0], expected, atol=1e-6)
