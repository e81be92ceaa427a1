import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.augmented import MOVING, STILL, S, boxed, compiled, make_batch, noise
from tqgd_jax.augment import augment, draw
from tqgd_jax.augment_geometry import (
    Place,
    letterbox_place,
    mosaic_place,
    sampling_matrix,
)
from tqgd_jax.config import Augment, Data

MOVE = compiled()
DRAW = jax.jit(lambda key, size: draw(key, size, MOVING, S))


def painted_extent(image):
    """(x0, y0, x1, y1) of the pixels of at least 0.5."""
    y, x = np.nonzero(np.asarray(image)[..., 0] >= 0.5)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])


def test_painted_boxes_stay_on_their_paint():
    """Two images of four odd-sized tiles, one tile of each painted, 60 random views."""
    fn = compiled(pad_value=0)
    sizes = [(80, 57), (33, 64), (64, 41), (21, 30)]
    rng = np.random.default_rng(3)
    checked, valid_boxes = 0, 0
    for seed in range(60):
        images = [[np.zeros(size, np.uint8) for size in sizes] for _ in range(2)]
        boxes = {}
        for i in range(2):
            tile = (seed + i) % 4
            h, w = sizes[tile]
            bw, bh = rng.integers(8, 20, 2)
            x, y = rng.integers(0, w - bw + 1), rng.integers(0, h - bh + 1)
            if seed % 5 == 0:  # in a corner
                x, y = (0 if x < w / 2 else w - bw), (0 if y < h / 2 else h - bh)
            images[i][tile][y : y + bh, x : x + bw] = 255
            boxes[i, tile] = [(x, y, x + bw, y + bh)]
        (image, targets, _), counts = fn(
            jax.random.key(seed), make_batch(images, boxes)
        )
        assert counts["boxes"] == 2
        kept = int(targets.valid.sum())
        assert kept == 2 - int(counts["outside"]) - int(counts["small"])
        valid_boxes += kept
        for i in range(2):
            if not targets.valid[i].any():
                continue
            box = np.asarray(targets.boxes[i][np.asarray(targets.valid[i])][0])
            np.testing.assert_allclose(painted_extent(image[i]), box, atol=1.0)
            checked += 1
    assert checked == valid_boxes > 50


def test_letterboxed_boxes_stay_on_their_paint():
    sizes, images, boxes = [(80, 57), (33, 64), (21, 30), (64, 64), (40, 300)], [], {}
    for i, (h, w) in enumerate(sizes):
        box = (w // 5, h // 3, w // 2, h // 3 + h // 4)
        image = np.zeros((h, w), np.uint8)
        image[box[1] : box[3], box[0] : box[2]] = 255
        images.append([image])
        boxes[i, 0] = [box]
    out, targets, _ = boxed(make_batch(images, boxes), pad_value=0)
    for i, (h, w) in enumerate(sizes):
        gain = S / max(h, w)
        pad = np.floor([(S - w * gain) / 2, (S - h * gain) / 2])
        expected = np.array(boxes[i, 0][0]) * gain + np.tile(pad, 2)
        np.testing.assert_allclose(targets.boxes[i, 0], expected, atol=1e-4)
        np.testing.assert_allclose(painted_extent(out[i]), expected, atol=1.0)
    assert targets.valid.tolist() == [[True, False]] * 5


@pytest.mark.parametrize("seed", range(6))
def test_a_mosaic_view_equals_scipy_on_an_explicit_canvas(seed):
    """Tiles with a long side of S, so that their pixels are the canvas's."""
    tiles = [noise(64, 50), noise(37, 64), noise(64, 64), noise(64, 11)]
    key = jax.random.key(seed)
    (image, _, _), _ = MOVE(key, make_batch([tiles]))

    size = jnp.array([t.shape for t in tiles])
    pose = jax.random.split(jax.random.fold_in(key, 0))[0]
    place, view = DRAW(pose, size)
    margin = S  # sampling beyond the canvas finds its colour
    canvas = np.full((4 * S, 4 * S), 114.0)
    hidden = np.full_like(canvas, 114.0)
    for tile, (y, x) in zip(tiles, np.asarray(place.origin), strict=True):
        assert (y % 1, x % 1) == (0, 0)
        y, x = int(y) + margin, int(x) + margin
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    shown = slice(margin, margin + 2 * S)
    hidden[shown, shown] = canvas[shown, shown]

    out = np.arange(S) + 0.5
    x = S - out if view.flip else out
    y, x = (
        (v - float(shift)) / float(view.scale) + S - 0.5 + margin
        for v, shift in ((out, view.shift[0]), (x, view.shift[1]))
    )
    grid = np.meshgrid(y, x, indexing="ij")
    expected = ndimage.map_coordinates(hidden, grid, order=1) / 255
    np.testing.assert_allclose(image[0, ..., 0], expected, atol=2e-4)


def test_tiles_meet_at_the_corner_in_their_quadrants():
    """Height x width: 32 x 64 stays so at S = 64, 16 x 8 becomes 64 x 32."""
    size = jnp.array([[32, 64], [16, 8], [64, 64], [8, 16]])
    place = mosaic_place(size, jnp.array([40, 50]), jnp.array([3, 0, 1, 2]), S)
    np.testing.assert_array_equal(place.gain, [1, 4, 1, 4])
    np.testing.assert_array_equal(
        place.origin, [(40, 50), (40 - 64, 50 - 32), (40 - 64, 50), (40, 50 - 64)]
    )
    np.testing.assert_array_equal(place.low, [(40, 50), (0, 18), (0, 50), (40, 0)])
    np.testing.assert_array_equal(
        place.high, [(72, 114), (40, 50), (40, 114), (72, 50)]
    )


def test_at_a_cut_the_hidden_part_of_a_tile_does_not_show():
    """8 rows from canvas row -2, cut at 0: row 2 fades out half a pixel beyond."""
    edge = jnp.array([[0.0, 0.0]])
    place = Place(jnp.ones(1), edge - 2, edge, edge + 6)
    centres = jnp.array([-0.75, -0.25, 0.5, 0.75, 6.25])
    weights, share = sampling_matrix(centres, place, jnp.array([[8, 8]]), 0, 9)
    expected = np.zeros((5, 9))
    expected[1, 2], expected[2, 2] = 0.25, 1
    expected[3, 2:4] = 0.75, 0.25
    expected[4, 7] = 0.25
    np.testing.assert_allclose(weights[0], expected, atol=1e-6)
    np.testing.assert_allclose(share[0], [0, 0.25, 1, 1, 0.25], atol=1e-6)


def test_enlarging_is_bilinear_with_half_pixel_centres():
    image = noise(32, 20)
    out, *_ = boxed(make_batch([[image]]))
    at = [(np.arange(n) + 0.5) / 2 - 0.5 for n in (64, 40)]
    grid = np.meshgrid(*at, indexing="ij")
    expected = ndimage.map_coordinates(image / 255.0, grid, order=1, mode="nearest")
    np.testing.assert_allclose(out[0, :, 12:52, 0], expected, atol=1e-6)
    assert (
        np.delete(out[0, ..., 0], np.s_[12:52], axis=1) == np.float32(114 / 255)
    ).all()


def test_shrinking_for_evaluation_averages_areas():
    """100 x 75 px at 16 samples per pixel are 64 x 48 px at 25."""
    image = noise(100, 75)
    out, *_ = boxed(make_batch([[image]]))
    fine = image.repeat(16, 0).repeat(16, 1) / 255
    expected = fine.reshape(64, 25, 48, 25).mean((1, 3))
    np.testing.assert_allclose(out[0, :, 8:56, 0], expected, atol=1e-5)


def test_an_image_of_the_right_size_passes_unchanged_with_the_odd_pixel_right():
    image = noise(64, 31)
    out, *_ = boxed(make_batch([[image]]), pad_value=51)
    np.testing.assert_allclose(out[0, :, 16:47, 0], image / 255, atol=1e-7)
    assert (out[0, :, :16] == np.float32(0.2)).all()
    assert (out[0, :, 47:] == np.float32(0.2)).all()
    (still, _, _), _ = compiled(STILL, pad_value=51)(
        jax.random.key(0), make_batch([[image]])
    )
    np.testing.assert_array_equal(still, out)


@pytest.mark.parametrize("size", [(64, w) for w in range(1, 65, 7)] + [(257, 640)])
def test_the_long_side_fills_the_input_exactly(size):
    for side in (S, 640):
        place = letterbox_place(jnp.array([size, size[::-1]]), side)
        assert place.low[0, np.argmax(size)] == 0
        assert place.high[0, np.argmax(size)] == side
        assert (place.low >= 0).all()


def test_images_of_different_size_do_not_touch_each_other_or_their_padding():
    images = [noise(64, 40, seed=1), noise(20, 32, seed=2)]
    stored = make_batch([[im] for im in images])
    stored.image[1, 0, 20:], stored.image[1, 0, :, 32:] = 255, 255  # must not show
    together, *_ = boxed(stored)
    for i, image in enumerate(images):
        alone, *_ = boxed(make_batch([[image]]))
        np.testing.assert_allclose(together[i], alone[0], atol=1e-6)
    padding = np.float32(114 / 255)
    assert (together[1, :12] == padding).all()  # 20 x 32: 40 rows of image
    assert (together[1, 52:] == padding).all()


def test_a_padding_image_is_all_padding():
    batch = make_batch([[noise(8, 8)]])._replace(size=np.zeros((1, 1, 2), np.int32))
    out, targets, _ = boxed(batch)
    np.testing.assert_allclose(out, 114 / 255, rtol=1e-6)
    assert not targets.valid.any()


def test_an_empty_image_has_no_targets_and_counts_nothing():
    tiles = [noise(64, 50), noise(37, 64), noise(64, 64), noise(64, 11)]
    (image, targets, _), counts = MOVE(jax.random.key(0), make_batch([tiles]))
    assert np.isfinite(image).all()
    assert not targets.valid.any()
    assert not targets.boxes.any()
    assert {k: int(v) for k, v in counts.items()} == dict.fromkeys(counts, 0)


def test_targets_lost_to_each_rule_are_counted():
    """2 px is too thin; 3 of 33 px is less than a tenth inside, 3 of 28 is not."""
    boxes = [
        (0, 0, 2, 9),
        (0, 0, 2.1, 9),
        (-30, 0, 3, 9),
        (-25, 0, 3, 9),
        (70, 0, 90, 9),
    ]
    batch = make_batch([[noise(64, 64)]], {(0, 0): boxes}, rows=6)
    (_, targets, _), counts = compiled(STILL)(jax.random.key(0), batch)
    assert targets.valid.tolist() == [[False, True, False, True, False, False]]
    np.testing.assert_allclose(targets.boxes[0, 3], (0, 0, 3, 9))
    assert targets.labels[0, 3] == 3
    assert {k: int(v) for k, v in counts.items()} == {
        "boxes": 5,
        "outside": 2,
        "small": 1,
    }


def test_without_mosaic_only_the_first_tile_is_seen():
    cfg = dataclasses.replace(MOVING, mosaic=0)
    tiles = [noise(50, 64, seed=i) for i in range(4)]
    boxes = {(0, j): [(10, 10, 40, 40)] for j in range(4)}
    fn, key = compiled(cfg), jax.random.key(5)
    (four, targets, _), counts = fn(key, make_batch([tiles], boxes))
    (one, expected, _), _ = fn(key, make_batch([tiles[:1]], boxes))
    np.testing.assert_allclose(four, one, atol=1e-6)
    assert counts["boxes"] == 1
    assert targets.valid.sum() == 1
    np.testing.assert_allclose(targets.boxes[0, 0], expected.boxes[0, 0])


def test_mosaic_happens_as_often_as_asked():
    """Of 64 images with one box per tile, about half show one tile."""
    cfg = dataclasses.replace(MOVING, mosaic=0.5)
    boxes = {(i, j): [(1, 1, 7, 7)] for i in range(64) for j in range(4)}
    batch = make_batch([[noise(8, 8)] * 4] * 64, boxes)
    _, counts = compiled(cfg)(jax.random.key(0), batch)
    mosaics = (int(counts["boxes"]) - 64) / 3
    assert 20 <= mosaics <= 44  # three standard deviations


def test_one_key_one_result_whatever_else_is_in_the_batch():
    tiles = [noise(64, 50), noise(37, 64), noise(64, 64), noise(64, 11)]
    boxes = {(0, 0): [(5, 5, 30, 40)], (1, 0): [(5, 5, 30, 40)]}
    pair, single = make_batch([tiles, tiles], boxes), make_batch([tiles], boxes)
    fn = compiled(Augment())
    first, again = fn(jax.random.key(1), pair), fn(jax.random.key(1), pair)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.allclose(first[0].image[0], first[0].image[1])
    other = fn(jax.random.key(2), pair)
    assert not np.allclose(first[0].image, other[0].image)
    alone = fn(jax.random.key(1), single)
    np.testing.assert_allclose(alone[0].image[0], first[0].image[0], atol=1e-6)


def test_a_flip_mirrors_pixels_and_boxes():
    image = noise(64, 40)
    batch = make_batch([[image]], {(0, 0): [(3, 5, 20, 30)]})
    cfg = dataclasses.replace(STILL, flip=1)
    (out, targets, _), _ = compiled(cfg)(jax.random.key(0), batch)
    np.testing.assert_allclose(out[0, :, 12:52, 0], image[:, ::-1] / 255, atol=1e-7)
    # Padding 12 px: 15..32 before, 64 - 32 .. 64 - 15 after.
    np.testing.assert_allclose(targets.boxes[0, 0], (32, 5, 49, 30))


def test_two_tiles_are_refused():
    batch = make_batch([[noise(8, 8)] * 2])
    with pytest.raises(ValueError, match="4 tiles for mosaic or 1 without, got 2"):
        augment(jax.random.key(0), batch, cfg=STILL, data=Data(), channels=1)
