"""Decoding by hand; suppression against a slow greedy oracle; the letterbox."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.decode import BLOCK, decode, letterbox_geometry, unletterbox
from tqgd_jax.decode import nms as uncompiled_nms

nms = jax.jit(uncompiled_nms, static_argnames="max_detections")

ANCHORS = np.array([[[10, 13], [16, 30]], [[30, 61], [62, 45]]], np.float32)


def logit(p):
    return np.log(p / (1 - p))


def test_decode_of_a_cell_by_hand():
    preds = [
        np.zeros((1, 4, 6, 2, 7), np.float32),
        np.zeros((1, 2, 3, 2, 7), np.float32),
    ]
    # Level 1, row 1, column 2, anchor 1 (62, 45), stride 16
    p = np.array([0.75, 0.25, 0.6, 0.4, 0.9, 0.8, 0.1])
    preds[1][0, 1, 2, 1] = logit(p)
    boxes, scores, obj = decode([jnp.asarray(q) for q in preds], ANCHORS, (8, 16))
    assert boxes.shape == (1, 4 * 6 * 2 + 2 * 3 * 2, 4)
    cx, cy = (2 * 0.75 - 0.5 + 2) * 16, (2 * 0.25 - 0.5 + 1) * 16  # 48, 16
    w, h = 1.2**2 * 62, 0.8**2 * 45
    at = 4 * 6 * 2 + (1 * 3 + 2) * 2 + 1
    np.testing.assert_allclose(
        boxes[0, at], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-5
    )
    np.testing.assert_allclose(scores[0, at], [0.72, 0.09], rtol=1e-5)
    np.testing.assert_allclose(obj[0, at], 0.9, rtol=1e-5)
    # All-zero outputs: the anchor, centred in its cell. Level 0, row 0, column 1.
    np.testing.assert_allclose(boxes[0, 2], [12 - 5, 4 - 6.5, 12 + 5, 4 + 6.5])


def test_decode_computes_in_float32():
    rng = np.random.default_rng(0)
    preds = [jnp.asarray(rng.normal(0, 2, (2, 3, 3, 2, 6)), jnp.bfloat16)]
    half = decode(preds, ANCHORS[:1], (8,))
    full = decode([p.astype(jnp.float32) for p in preds], ANCHORS[:1], (8,))
    for a, b in zip(half, full, strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_array_equal(a, b)


def greedy(boxes, scores, obj, min_score, iou, most):
    """The rule, one candidate at a time, in float32: (box index, class) of the kept."""
    pairs = [
        (i, c)
        for i in range(len(boxes))
        for c in range(scores.shape[1])
        if obj[i] > min_score and scores[i, c] > min_score
    ]
    pairs.sort(key=lambda ic: (-scores[ic], ic))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inter = np.maximum(high - low, 0).prod(-1)
    over = inter / (area[:, None] + area[None] - inter) > iou
    kept = []
    for i, c in pairs:
        if len(kept) < most and not any(c == d and over[i, j] for j, d in kept):
            kept.append((i, c))
    return kept


def random_case(rng, b, n, c, field, levels):
    """Whole-pixel boxes (their IoU is exact in float32) and scores with many ties."""
    corner = rng.integers(0, field, (b, n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(2, 14, (b, n, 2))], -1)
    obj = rng.integers(0, levels + 1, (b, n)) / levels
    cls = rng.integers(1, levels + 1, (b, n, c)) / levels
    return [x.astype(np.float32) for x in (boxes, obj[..., None] * cls, obj)]


def assert_equal_to_greedy(kept, case, min_score, iou, most):
    for image, (boxes, scores, obj) in enumerate(zip(*case, strict=True)):
        expected = greedy(boxes, scores, obj, min_score, iou, most)
        k = len(expected)
        assert kept.valid[image].tolist() == [True] * k + [False] * (most - k)
        rows, labels = np.array(expected, int).reshape(-1, 2).T
        np.testing.assert_array_equal(kept.labels[image, :k], labels)
        np.testing.assert_array_equal(kept.boxes[image, :k], boxes[rows])
        np.testing.assert_array_equal(kept.scores[image, :k], scores[rows, labels])


@pytest.mark.parametrize(
    ("classes", "n", "most", "field", "levels"),
    [(1, 60, 40, 30, 20), (3, 24, 40, 20, 6)],
)
def test_equal_to_the_greedy_oracle_on_500_images(classes, n, most, field, levels):
    rng = np.random.default_rng(classes)
    suppressed = 0
    for iou in np.linspace(0.1, 0.9, 10, dtype=np.float32):
        case = random_case(rng, 50, n, classes, field, levels)
        min_score = np.float32(0.05)
        kept = nms(
            *map(jnp.asarray, case),
            min_score=jnp.asarray(min_score),
            iou=jnp.asarray(iou),
            max_detections=most,
        )
        kept = jax.tree.map(np.asarray, kept)
        assert_equal_to_greedy(kept, case, min_score, iou, most)
        suppressed += (case[1] > min_score).sum() - kept.valid.sum()
    assert suppressed > 1000  # the cases are not trivial


def test_more_candidates_than_a_block_and_than_may_be_kept():
    rng = np.random.default_rng(7)
    for field, most in ((25, 300), (400, 300)):  # suppression ends it; the limit does
        case = random_case(rng, 1, 4 * BLOCK + 17, 1, field, 50)
        kept = nms(
            *map(jnp.asarray, case), min_score=0.001, iou=0.3, max_detections=most
        )
        kept = jax.tree.map(np.asarray, kept)
        assert_equal_to_greedy(kept, case, 0.001, np.float32(0.3), most)
        assert (kept.valid.sum() == most) == (field == 400)


def run_one(boxes, scores, iou=0.6, min_score=0.001, most=5):
    boxes = jnp.asarray(boxes, jnp.float32)[None]
    scores = jnp.asarray(scores, jnp.float32).reshape(1, boxes.shape[1], -1)
    obj = scores.max(axis=-1)
    return nms(boxes, scores, obj, min_score=min_score, iou=iou, max_detections=most)


def test_only_an_iou_above_the_limit_suppresses():
    boxes = [(0, 0, 10, 10), (0, 2, 10, 12), (0, 5, 10, 15)]  # IoU .6667 .3333 .5385
    kept = run_one(boxes, [0.9, 0.8, 0.7])
    assert kept.valid[0].tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(kept.scores[0, :2], [0.9, 0.7], rtol=1e-6)
    halves = [(0, 0, 10, 10), (0, 0, 10, 5)]  # IoU exactly .5
    assert run_one(halves, [0.9, 0.8], iou=0.5).valid.sum() == 2
    assert run_one(halves, [0.9, 0.8], iou=0.4999).valid.sum() == 1


def test_a_suppressed_box_suppresses_nothing():
    boxes = [(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)]  # a chain: .43, .43, .11
    kept = run_one(boxes, [0.9, 0.8, 0.7], iou=0.4)
    np.testing.assert_allclose(kept.scores[0, :2], [0.9, 0.7], rtol=1e-6)
    assert kept.valid.sum() == 2


def test_classes_do_not_suppress_each_other_and_a_box_may_have_two():
    kept = run_one([(0, 0, 10, 10), (0, 0, 10, 10)], [[0.9, 0.3], [0.2, 0.8]])
    assert kept.labels[0, :2].tolist() == [0, 1]
    np.testing.assert_allclose(kept.scores[0, :2], [0.9, 0.8], rtol=1e-6)
    assert kept.valid.sum() == 2
    both = run_one([(0, 0, 10, 10)], [[0.9, 0.3]])
    assert both.labels[0, :2].tolist() == [0, 1]
    assert both.valid.sum() == 2


def test_far_from_the_origin_boxes_of_two_classes_keep_their_precision():
    # An offset of thousands of px per class would round these IoUs in float32.
    box = (5000.25, 5000.25, 5001.25, 5001.5)
    kept = run_one([box, box], [[0.9] + [0.0] * 78 + [0.0], [0.0] * 79 + [0.8]])
    assert kept.labels[0, :2].tolist() == [0, 79]
    np.testing.assert_array_equal(kept.boxes[0, 1], np.float32(box))


def test_nothing_above_the_limit_gives_nothing():
    kept = run_one([(0, 0, 10, 10)] * 3, [0.001, 0.0005, 0.0])  # .001 is not above it
    assert not kept.valid.any()
    assert not kept.boxes.any()


def test_low_objectness_alone_drops_a_box():
    boxes, scores = jnp.ones((1, 1, 4)), jnp.full((1, 1, 1), 0.5)
    obj = jnp.full((1, 1), 0.0005)
    kept = nms(boxes, scores, obj, min_score=0.001, iou=0.6, max_detections=2)
    assert not kept.valid.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_never_kept(bad):
    sound, far = (0, 0, 10, 10), (50, 50, 60, 60)
    kept = run_one([sound, far], [0.5, bad])
    assert kept.valid[0].tolist() == [True] + [False] * 4
    assert kept.scores[0, 0] == 0.5
    kept = run_one([(0, 0, 10, bad), far], [0.9, 0.5])
    assert kept.valid[0].tolist() == [True] + [False] * 4
    assert kept.scores[0, 0] == 0.5


def test_an_image_does_not_depend_on_its_batch():
    rng = np.random.default_rng(3)
    case = [jnp.asarray(x) for x in random_case(rng, 3, 300, 2, 60, 1000)]
    # The middle image has no candidate, the last one stops at the limit.
    case[1], case[2] = case[1].at[1].set(0), case[2].at[1].set(0)
    settings = {"min_score": 0.001, "iou": 0.3, "max_detections": 50}
    together = nms(*case, **settings)
    assert together.valid.any(axis=1).tolist() == [True, False, True]
    for i in range(3):
        alone = nms(*(x[i : i + 1] for x in case), **settings)
        jax.tree.map(
            lambda a, t, i=i: np.testing.assert_array_equal(a[0], t[i]), alone, together
        )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), (1.0, 0, 0)),
        ((128, 256), (1.0, 64, 0)),
        ((512, 300), (0.5, 0, 53)),
        ((100, 200), (1.28, 64, 0)),  # enlarged
        ((99, 200), (1.28, 64, 0)),  # (256 - 126.72) / 2 = 64.64
    ],
)
def test_letterbox_by_hand(size, expected):
    assert letterbox_geometry(size, 256) == pytest.approx(expected, rel=1e-6)
    on_device = letterbox_geometry(jnp.asarray([size, size]), 256)
    for got, value in zip(on_device, expected, strict=True):
        np.testing.assert_allclose(got, [value, value], rtol=1e-6)


def test_letterbox_never_pads_the_long_side():
    # In floats, 640 / 257 * 257 may exceed 640, and its padding would be -1.
    side = np.arange(1, 3000)
    size = np.stack([side, np.maximum(side // 2, 1)], axis=1)
    gain, pad_y, pad_x = letterbox_geometry(size, 640)
    assert not pad_y.any()
    np.testing.assert_allclose(gain * side, 640, rtol=1e-6)
    left = (640 - size[:, 1] * gain.astype(np.float64)) / 2 - pad_x
    assert -1e-4 < left.min() <= left.max() < 1


def test_unletterbox_reverses_the_letterbox_and_clips():
    sizes = np.array([[374, 200], [96, 97], [640, 640]], np.int32)
    rng = np.random.default_rng(5)
    native = rng.uniform(0, 1, (3, 7, 4)).astype(np.float32)
    native = np.sort(native.reshape(3, 7, 2, 2), axis=2).reshape(3, 7, 4)
    native *= np.tile(sizes[:, None, ::-1], (1, 1, 2))
    for i, (h, w) in enumerate(sizes.tolist()):
        gain = 640 / max(h, w)
        shift = np.floor((640 - np.array([w, h, w, h]) * gain) / 2 + 1e-9)
        network = (native[i] * gain + shift).astype(np.float32)
        np.testing.assert_allclose(
            unletterbox(network, (h, w), 640), native[i], atol=2e-4
        )
        batch = unletterbox(
            jnp.asarray(network)[None], jnp.asarray(sizes[i])[None], 640
        )
        np.testing.assert_allclose(batch[0], native[i], atol=2e-4)
    wild = np.array([[-50, -50, 900, 900]], np.float32)
    np.testing.assert_array_equal(
        unletterbox(wild, (374, 200), 640), [[0, 0, 200, 374]]
    )
