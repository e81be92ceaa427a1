"""Anchors, deltas and the bounded IoU: values of mmdetection's functions (3.3.0)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.baselines.zhao.anchors import guided, nine, squares
from tqgd_jax.baselines.zhao.deltas import ROI_STDS, RPN_STDS, clip, decode, encode
from tqgd_jax.baselines.zhao.losses import bounded_iou, smooth_l1

SQUARE, LESION = (96.0, 200.0, 112.0, 216.0), (100.0, 200.0, 115.0, 214.0)


def row(*values):
    return jnp.array([values], jnp.float32)


def test_squares_stand_on_the_corners_of_cells_of_five_levels():
    boxes = jax.jit(lambda: squares((640, 640), 4.0))()
    assert boxes.shape == (34100, 4)
    assert boxes[0].tolist() == [-8, -8, 8, 8]
    # Row 2, column 1 of P2; the first of P3; the last of P6, ten cells of 64 px a side.
    assert boxes[2 * 160 + 1].tolist() == [4 - 8, 8 - 8, 4 + 8, 8 + 8]
    assert boxes[160 * 160].tolist() == [-16, -16, 16, 16]
    assert boxes[-1].tolist() == [576 - 128, 576 - 128, 576 + 128, 576 + 128]


def test_sides_that_64_does_not_divide_have_a_last_cell_of_p6():
    # 24 x 32, 12 x 16, 6 x 8, 3 x 4 cells, and 2 x 2.
    boxes = jax.eval_shape(lambda: squares((96, 128), 3.0))
    assert len(boxes) == 768 + 192 + 48 + 12 + 4


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((0, 0), SQUARE),
        ((1, -1), (94.7978, 201.0451, 113.2022, 214.9549)),
        ((3, 2), (91.8243, 197.415, 116.1757, 218.585)),
    ],
)
def test_guided_anchor(shape, box):
    np.testing.assert_allclose(guided(row(*SQUARE), row(*shape)), [box], rtol=1e-6)


def test_nine_approximate_anchors_have_the_octaves_areas_and_the_ratios():
    boxes = np.stack(nine(row(*SQUARE)))[:, 0]
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    areas = 256 * np.array([1, 2 ** (2 / 3), 2 ** (4 / 3)])
    np.testing.assert_allclose(w * h, np.repeat(areas, 3), rtol=1e-5)
    np.testing.assert_allclose(h / w, [0.5, 1, 2] * 3, rtol=1e-5)
    np.testing.assert_allclose(boxes[:, 0] + boxes[:, 2], 208, rtol=1e-6)


@pytest.mark.parametrize(
    ("stds", "deltas"),
    [
        (RPN_STDS, (3.125, -0.892857, -0.586714, -1.213922)),
        (ROI_STDS, (4.375, -1.25, -0.645385, -1.335314)),
    ],
)
def test_deltas_and_back(stds, deltas):
    encoded = encode(row(*SQUARE), row(*LESION), stds)
    np.testing.assert_allclose(encoded, [deltas], rtol=2e-6)
    np.testing.assert_allclose(decode(row(*SQUARE), encoded, stds), [LESION], rtol=1e-6)


def test_decoding_clips_the_ratio_after_the_standard_deviation():
    box = decode(row(0, 0, 10, 10), row(0, 0, 100, 0), RPN_STDS)  # 10 px * 1000 / 16
    np.testing.assert_allclose(box, [[-307.5, 0, 317.5, 10]], rtol=1e-5)


def test_boxes_are_cut_off_at_height_and_width():
    assert clip(row(-1, -2, 50, 60), (40, 30)).tolist() == [[0, 0, 30, 40]]


@pytest.mark.parametrize(
    ("box", "target", "losses"),
    [
        (SQUARE, LESION, (0.53638, 0.150047, 0.009784, 0.039097)),
        ((0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 0, 0)),
        ((0, 0, 10, 10), (8, 0, 18, 20), (0.9, 0.566678, 0, 0.400025)),
    ],
)
def test_bounded_iou(box, target, losses):
    np.testing.assert_allclose(
        bounded_iou(row(*box), row(*target)), [losses], atol=1e-6
    )


def test_smooth_l1_meets_at_beta():
    # 0.05^2 / 0.4, 0.2^2 / 0.4 = 0.2 - 0.1, 1 - 0.1
    losses = smooth_l1(jnp.array([0.05, 0.2, -1.0]), 0.2)
    np.testing.assert_allclose(losses, [0.00625, 0.1, 0.9], rtol=1e-6)
