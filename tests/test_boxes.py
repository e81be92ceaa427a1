import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.boxes import ciou_xyxy, cxcywh_to_xyxy, giou_xyxy

FAMILY = (giou_xyxy, ciou_xyxy)
ONE = jnp.array([10.0, 10.0, 4.0, 6.0])

# GIoU, CIoU of ONE and another box (cx, cy, w, h), from YOLOv5 v7.0's functions.
REFERENCE = [
    ((11.0, 12.0, 6.0, 4.0), (0.190476, 0.269043)),
    ((10.0, 10.0, 4.0, 6.0), (1.0, 1.0)),
    ((20.0, 20.0, 4.0, 6.0), (-0.785714, -0.442478)),
]


@pytest.mark.parametrize(("other", "expected"), REFERENCE)
def test_giou_ciou_are_those_of_yolov5(other, expected):
    a, b = cxcywh_to_xyxy(ONE), cxcywh_to_xyxy(jnp.array(other))
    np.testing.assert_allclose([f(a, b) for f in FAMILY], expected, atol=1e-6)
    np.testing.assert_allclose([f(b, a) for f in FAMILY], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 2, 2), 1.0),
        ((2, 0, 4, 2), 0.0),  # side by side: no overlap, no gap
        ((4, 0, 6, 2), -1 / 3),  # a gap as wide as a box: (12 - 8) / 12
        ((0, 0, 1, 1), 0.25),  # inside: the hull is the union
        ((1, 1, 3, 3), 1 / 7 - 2 / 9),  # (9 - 7) / 9
    ],
)
def test_giou_by_hand(box, expected):
    box = jnp.array(box, jnp.float32)
    assert giou_xyxy(jnp.array([0.0, 0, 2, 2]), box) == pytest.approx(
        expected, abs=1e-6
    )


def test_ciou_by_hand():
    """One centre, sides 2x2 and 4x2: IoU 1/2, v = 4/pi^2 (atan 2 - pi/4)^2."""
    a, b = jnp.array([-1.0, -1, 1, 1]), jnp.array([-2.0, -1, 2, 1])
    v = 4 / np.pi**2 * (np.arctan(2) - np.pi / 4) ** 2
    assert ciou_xyxy(a, b) == pytest.approx(0.5 - v * v / (v + 0.5), abs=1e-6)


@pytest.mark.parametrize("iou", FAMILY)
def test_a_subpixel_box_far_from_the_origin_still_has_its_iou(iou):
    a = jnp.array([600.0, 600, 600.5, 600.5])  # exact in float32
    assert iou(a, a) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("iou", FAMILY)
@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (5, 5, 5, 5), (3, 0, 3, 9), (0, 2, 7, 2), (1, 1, 4, 5)]
)
def test_padding_is_finite_with_a_finite_gradient(iou, box):
    box = jnp.array(box, jnp.float32)
    for other in (jnp.zeros(4), jnp.array([1.0, 1, 4, 5]), box):
        value, grads = jax.value_and_grad(iou, argnums=(0, 1))(box, other)
        assert np.isfinite(value)
        assert np.isfinite(grads).all()


def test_the_aspect_weight_of_ciou_has_no_gradient():
    """Numbers: float64 autograd of the equations in PyTorch 2.13, alpha detached."""
    a, b = jnp.array([8.0, 7, 12, 13]), jnp.array([9.0, 10, 14, 14])
    value, grad = jax.value_and_grad(ciou_xyxy)(a, b)
    assert value == pytest.approx(0.18172026, abs=1e-6)
    np.testing.assert_allclose(
        grad, [0.04992984, 0.04175193, 0.08273876, 0.10095127], atol=1e-6
    )


def test_formats_by_hand():
    corners = jnp.array([[1.0, 2.0, 5.0, 8.0], [0.0, 0.0, 1.0, 3.0]])
    centres = jnp.array([[3.0, 5.0, 4.0, 6.0], [0.5, 1.5, 1.0, 3.0]])
    np.testing.assert_array_equal(cxcywh_to_xyxy(centres), corners)
