"""Masks and pixels go the same way: a lesion painted into an image is its own mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.augmented import MOVING, S, boxed, compiled, make_batch
from tqgd_jax.augment import native_maps

SIZES = [(80, 57), (33, 64), (64, 41), (21, 30)]


def painted(seed, shapes):
    """Tiles of one image, black but for a white rectangle in each, its box."""
    rng = np.random.default_rng(seed)
    tiles, boxes = [], {}
    for j, (h, w) in enumerate(shapes):
        bw, bh = rng.integers(8, 18, 2)
        x, y = rng.integers(0, w - bw + 1), rng.integers(0, h - bh + 1)
        tiles.append(np.zeros((h, w), np.uint8))
        tiles[j][y : y + bh, x : x + bw] = 255
        boxes[0, j] = [(x, y, x + bw, y + bh)]
    return tiles, boxes


def masked(batch, classes=None):
    """With the mask of all that is white, of class `classes[j]` in tile j."""
    lesion = (batch.image[..., 0] == 255).astype(np.uint8)
    if classes is not None:
        lesion *= 1 + np.array(classes, np.uint8)[None, :, None, None]
    return batch._replace(lesion=lesion)


MOVE = compiled(MOVING, pad_value=0)


def test_masks_move_with_pixels_and_boxes():
    """Mosaic, scale, translation and flip; a mask is the image at one half."""
    checked = 0
    for seed in range(12):
        tiles, boxes = painted(seed, SIZES)
        batch = masked(make_batch([tiles], boxes))
        (image, targets, lesion), _ = MOVE(jax.random.key(seed), batch)
        assert lesion.dtype == jnp.int32
        np.testing.assert_array_equal(lesion[0], image[0, ..., 0] >= 0.5)
        parts, _ = ndimage.label(lesion[0], np.ones((3, 3)))
        at = [np.argwhere(parts == k) for k in range(1, parts.max() + 1)]
        extents = [(*a.min(0)[::-1], *(a.max(0)[::-1] + 1)) for a in at]
        valid = np.asarray(targets.boxes[0])[np.asarray(targets.valid[0])]
        for box in valid:
            near = (valid[:, :2] < box[2:] + 2) & (valid[:, 2:] > box[:2] - 2)
            if near.all(axis=1).sum() > 1:
                continue  # two tiles meet there, and their lesions
            assert np.abs(np.array(extents) - box).max(axis=1).min() <= 1.0
            checked += 1
    assert checked > 20


def test_the_image_is_the_same_with_and_without_masks():
    tiles, boxes = painted(0, SIZES)
    batch = make_batch([tiles], boxes)
    (with_masks, *_), _ = MOVE(jax.random.key(3), masked(batch))
    (without, _, lesion), _ = MOVE(jax.random.key(3), batch)
    assert lesion is None
    np.testing.assert_allclose(with_masks, without, atol=1e-6)


def test_each_class_is_its_own_map():
    tiles, boxes = painted(1, SIZES)
    batch = masked(make_batch([tiles], boxes), (2, 0, 1, 2))
    three = compiled(MOVING, num_classes=3, pad_value=0)
    classes = set()
    for seed in range(4):
        (image, _, lesion), _ = three(jax.random.key(seed), batch)
        (_, _, as_one), _ = MOVE(jax.random.key(seed), batch)
        np.testing.assert_array_equal(lesion > 0, image[..., 0] >= 0.5)
        np.testing.assert_array_equal(lesion > 0, as_one == 1)
        classes |= set(np.unique(lesion).tolist())
    assert classes == {0, 1, 2, 3}


def test_letterboxed_masks_are_areas_of_at_least_a_half():
    """128 x 64 px shrink to 64 x 32: 2 of 4 pixels are a lesion, 1 of 4 is none."""
    lesion = np.zeros((2, 1, 128, 64), np.uint8)
    lesion[0, 0, 10, 20:22], lesion[0, 0, 40, 30] = 1, 1
    lesion[1, 0, :, :32], lesion[1, 0, :, 32:] = 1, 2
    batch = make_batch([[np.zeros((128, 64), np.uint8)]] * 2)
    batch = batch._replace(lesion=lesion)
    out = np.asarray(boxed(batch, num_classes=2, pad_value=255).lesion)
    assert np.argwhere(out[0]).tolist() == [[5, 16 + 10]]
    assert (out[1] == np.repeat([0, 1, 2, 0], 16)[None]).all()


@pytest.mark.parametrize("size", [(32, 20), (64, 64), (128, 100)])
def test_a_map_comes_back_to_the_stored_pixels(size):
    """A straight slope survives bilinear sampling, forth and back, but for its edges."""
    h, w = size
    gain, pad = S / h, (S - w * S / h) // 2
    y, x = np.mgrid[:S, :S] + 0.5
    stored = make_batch([[np.zeros((h + 3, w + 3), np.uint8)]])
    stored = stored._replace(size=np.array([[size]], np.int32))
    slope = 0.1 + 0.004 * (y + 2 * (x - pad)) / gain * h / 128
    out = np.asarray(
        jax.jit(native_maps)(jnp.asarray(slope[None], jnp.float32), stored)
    )
    row, column = np.mgrid[:h, :w] + 0.5
    expected = 0.1 + 0.004 * (row + 2 * column) * h / 128
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(out[0, :h, :w][inner], expected[inner], atol=2e-6)
    assert not out[0, h:].any()
    assert not out[0, :, w:].any()


def test_native_maps_by_hand():
    """64 px for 32: centre (0.5, 0.5) of a stored pixel is (1, 1) there, an edge."""
    values = np.zeros((1, S, S), np.float32)
    values[0, 2:4, 16:18] = [[1, 2], [3, 6]]  # 32 x 16 px lie at column 16
    stored = make_batch([[np.zeros((32, 16), np.uint8)]])
    out = jax.jit(native_maps)(jnp.asarray(values), stored)
    assert out.shape == (1, 32, 16)
    assert np.argwhere(np.asarray(out[0])).tolist() == [[1, 0]]
    np.testing.assert_allclose(out[0, 1, 0], 3.0, atol=1e-6)  # the mean of the four
