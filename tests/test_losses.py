import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.test_assign import ANCHORS, STRIDES, TARGETS
from tqgd_jax.config import Loss
from tqgd_jax.losses import bce, detection_loss, gains
from tqgd_jax.structures.batch import Targets

EMPTY = TARGETS._replace(
    boxes=jnp.zeros_like(TARGETS.boxes), valid=jnp.zeros_like(TARGETS.valid)
)


def zeros(size=640, batch=2, classes=1, strides=STRIDES):
    return [jnp.zeros((batch, size // s, size // s, 3, 5 + classes)) for s in strides]


def noise(seed=0, size=64, classes=1, batch=2):
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = [p.shape for p in zeros(size, batch, classes)]
    return [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]


def loss(preds, targets=TARGETS, cfg=None, classes=1, size=640, **more):
    return detection_loss(
        preds,
        targets,
        ANCHORS[: len(preds)],
        STRIDES[: len(preds)],
        cfg=cfg or Loss(),
        num_classes=classes,
        image_size=size,
        **more,
    )


def boxes_at_64(batch=2):
    """Random boxes on 64 px, the last row padding; labels 0 to 2."""
    rng = np.random.default_rng(1)
    centre, size = rng.uniform(4, 60, (batch, 5, 2)), rng.uniform(4, 30, (batch, 5, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=-1)
    valid = np.ones((batch, 5), bool)
    valid[:, -1] = False
    return Targets(
        jnp.asarray(boxes * valid[..., None], jnp.float32),
        jnp.asarray(rng.integers(0, 3, (batch, 5)), jnp.int32),
        jnp.asarray(valid),
    )


def by_hand(preds, targets, classes, size, smoothing, best=None):
    """The same loss in float64, one match after another; (loss, objectness targets).

    Given `best`, those are the objectness targets, which have no gradient.
    """
    boxes, labels, valid = (np.asarray(x) for x in targets)
    found = [np.zeros(p.shape[:-1]) for p in preds]
    box = obj = cls = 0.0
    for i, (p, anchors, s) in enumerate(
        zip(preds, np.asarray(ANCHORS), STRIDES, strict=True)
    ):
        _, h, w, _, _ = p.shape
        ious, losses = [], []
        for b, n in np.argwhere(valid):
            x0, y0, x1, y1 = boxes[b, n] / s
            gx, gy, gw, gh = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
            cells = [(int(gx), int(gy))]
            cells += [(int(gx) - 1, int(gy))] if gx % 1 < 0.5 and gx > 1 else []
            cells += [(int(gx), int(gy) - 1)] if gy % 1 < 0.5 and gy > 1 else []
            cells += [(int(gx) + 1, int(gy))] if gx % 1 > 0.5 and w - gx > 1 else []
            cells += [(int(gx), int(gy) + 1)] if gy % 1 > 0.5 and h - gy > 1 else []
            for a, (aw, ah) in enumerate(anchors / s):
                if max(gw / aw, aw / gw, gh / ah, ah / gh) >= 4:
                    continue
                for col, row in cells:
                    q = p[b, row, col, a]
                    t = 1 / (1 + np.exp(-q[:4]))
                    pw, ph = (2 * t[2]) ** 2 * aw, (2 * t[3]) ** 2 * ah
                    px, py = 2 * t[0] - 0.5 + col, 2 * t[1] - 0.5 + row
                    left, right = (px - pw / 2, x0), (px + pw / 2, x1)
                    top, low = (py - ph / 2, y0), (py + ph / 2, y1)
                    inter = max(min(right) - max(left), 0) * max(min(low) - max(top), 0)
                    union = pw * ph + gw * gh - inter
                    hull = (max(right) - min(left)) * (max(low) - min(top))
                    ious.append(inter / union - (hull - union) / hull)
                    found[i][b, row, col, a] = max(found[i][b, row, col, a], ious[-1])
                    hot = np.full(classes, smoothing / 2)
                    hot[labels[b, n]] = 1 - smoothing / 2
                    losses.append(cross_entropy(q[5:], hot).mean())
        wanted = found[i] if best is None else best[i]
        obj += (4, 1, 0.4)[i] * cross_entropy(p[..., 4], wanted).mean()
        if ious:
            box += 1 - np.mean(ious)
            cls += np.mean(losses)
    total = 0.05 * box + (size / 640) ** 2 * obj + 0.5 * classes / 80 * cls
    return total * len(boxes), found


def cross_entropy(logits, targets):
    p = 1 / (1 + np.exp(-logits))
    return -targets * np.log(p) - (1 - targets) * np.log(1 - p)


@pytest.mark.parametrize(
    ("iou", "box", "total"),
    [("giou", 0.108257, 7.702504), ("ciou", 0.106584, 7.699159)],
)
def test_all_zero_logits_cost_what_they_cost_in_yolov5(iou, box, total):
    """Two images, 31 matches, one class, 640 px: YOLOv5 v7.0's own functions."""
    value, parts = jax.jit(lambda p: loss(p, cfg=Loss(iou=iou)))(zeros())
    assert set(parts) == {"obj", "cls", iou}
    assert parts[iou] == pytest.approx(box, abs=1e-6)
    assert parts["obj"] == pytest.approx(3.742995, abs=1e-6)
    assert parts["cls"] == 0
    assert value == pytest.approx(total, abs=3e-6)


def test_loss_and_gradient_equal_a_loop_over_matches():
    preds, targets = noise(classes=3), boxes_at_64()
    cfg = Loss(label_smoothing=0.1)

    @jax.jit
    @jax.value_and_grad
    def objective(preds):
        return loss(preds, targets, cfg, classes=3, size=64)[0]

    value, grads = objective(preds)
    exact = [np.asarray(p, np.float64) for p in preds]
    expected, best = by_hand(exact, targets, 3, 64, 0.1)
    assert sum((b > 0).sum() for b in best) > 20
    assert value == pytest.approx(expected, rel=1e-5)

    rng = np.random.default_rng(0)
    for channel in range(8):  # slope along a random direction in one channel
        along = [np.zeros_like(p) for p in exact]
        for d in along:
            d[..., channel] = rng.normal(size=d.shape[:-1])
        ends = [
            by_hand(
                [p + e * d for p, d in zip(exact, along, strict=True)],
                targets,
                3,
                64,
                0.1,
                best,
            )[0]
            for e in (1e-5, -1e-5)
        ]
        slope = sum(
            (np.asarray(g) * d).sum() for g, d in zip(grads, along, strict=True)
        )
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-6)


def test_an_empty_batch_has_only_objectness():
    """All logits 0 and no target: every cell costs log 2; the levels weigh 5.4."""
    (value, parts), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        zeros(), EMPTY
    )
    assert parts["giou"] == 0
    assert value == pytest.approx(2 * 5.4 * np.log(2), rel=1e-6)
    for grad in grads:
        assert np.isfinite(grad).all()
        assert not grad[..., :4].any()
        assert (grad[..., 4] > 0).all()


def test_the_better_of_two_boxes_on_one_anchor_is_the_objectness_target():
    """All logits 0: the prediction is the anchor itself, centred on its cell."""
    boxes = [(151, 197.5, 161, 210.5), (146, 194, 166, 214)]  # 10x13 and 20x20
    targets = Targets(
        jnp.array([boxes], jnp.float32),
        jnp.zeros((1, 2), jnp.int32),
        jnp.ones((1, 2), bool),
    )

    @jax.jit
    def slope(targets):
        grads = jax.grad(lambda p: loss(p, targets)[0])(zeros(batch=1))
        return grads[0][0, 25, 19, 0, 4] * 80 * 80 * 3 / 4

    # d bce / d logit = 0.5 - target; centre (156, 204) is the middle of its cell and
    # the first box is the anchor, so its GIoU is 1. In either order.
    assert slope(targets) == pytest.approx(-0.5, abs=1e-4)
    flipped = targets._replace(boxes=targets.boxes[:, ::-1])
    assert slope(flipped) == pytest.approx(-0.5, abs=1e-4)
    # Alone, the second counts: 10 * 13 of 20 * 20, inside it.
    alone = targets._replace(valid=jnp.array([[False, True]]))
    assert slope(alone) == pytest.approx(0.5 - 130 / 400, abs=1e-4)


def test_gains_follow_levels_classes_and_size():
    assert gains(Loss(), 3, 1, 640) == (0.05, 1.0, 0.0)
    assert gains(Loss(), 3, 80, 640) == pytest.approx((0.05, 1.0, 0.5))
    assert gains(Loss(), 2, 8, 320) == pytest.approx((0.075, 0.375, 0.075))


def test_other_level_counts_have_their_own_balance():
    """P3 and P4 without targets: (4 + 1) log 2, times 3 / 2."""
    _, parts = jax.jit(loss)(zeros()[:2], EMPTY)
    assert parts["obj"] == pytest.approx(5 * np.log(2) * 1.5, rel=1e-6)


def test_bce_does_not_overflow():
    logits = jnp.array([-200.0, 200.0, 0.0])
    targets = jnp.array([1.0, 0.0, 0.5])
    np.testing.assert_allclose(bce(logits, targets), [200, 200, np.log(2)], rtol=1e-6)


def test_half_precision_predictions_are_computed_in_float32():
    preds = [p.astype(jnp.bfloat16) for p in noise()[:1]]
    full = [p.astype(jnp.float32) for p in preds]
    targets = boxes_at_64()
    value = jax.jit(lambda preds: loss(preds, targets, size=64)[0])
    assert value(preds) == value(full)


def test_a_batch_on_two_devices_has_the_loss_and_gradient_of_the_whole():
    """The images differ in their number of matches, so a mean of means would not do."""
    preds, targets = noise(batch=2)[:1], boxes_at_64()
    targets = targets._replace(valid=targets.valid.at[0, 1:].set(False))

    def objective(preds, targets, axis_name=None):
        return loss(preds, targets, size=64, axis_name=axis_name)

    grad = jax.value_and_grad(objective, has_aux=True)
    expected = jax.jit(grad)(preds, targets)

    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    under_jit = jax.jit(grad)(*jax.device_put((preds, targets), sharding))

    def step(preds, targets):
        return grad(preds, targets, axis_name="data")

    split = jax.tree.map(lambda x: x[:, None], (preds, targets))
    values, grads = jax.pmap(step, axis_name="data")(*split)
    # A device's predictions are its own: their share in the mean over two devices.
    under_pmap = (
        jax.tree.map(lambda x: x[1], values),
        jax.tree.map(lambda x: x[:, 0] / 2, grads),
    )
    for actual in (under_jit, under_pmap):
        jax.tree.map(
            lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-7),
            actual,
            expected,
        )
