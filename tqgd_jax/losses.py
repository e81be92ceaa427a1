"""Objectness, class and box losses (§3.1), put together as in YOLOv5 v7.0."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from tqgd_jax.assign import Candidates, assign
from tqgd_jax.boxes import ciou_xyxy, cxcywh_to_xyxy, giou_xyxy
from tqgd_jax.config import Loss
from tqgd_jax.structures.batch import Targets

IOU = {"giou": giou_xyxy, "ciou": ciou_xyxy}


def detection_loss(
    preds: Sequence[Float[Array, "b _ _ a o"]],
    targets: Targets,
    anchors: Float[Array, "levels a 2"],
    strides: Sequence[int],
    *,
    cfg: Loss,
    num_classes: int,
    image_size: int,
    axis_name: str | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss of a batch and its terms `obj`, `cls` and `giou` (or `ciou`).

    Args:
      preds: raw head outputs, finest level first; channels tx, ty, tw, th, obj, cls.
      targets: ground truth in network pixels.
      anchors: width and height in network pixels.
      strides: pixels per cell of each level.
      cfg: weights and switches.
      num_classes: with one class there is no class loss.
      image_size: side of the network input, px.
      axis_name: under pmap, the mapped axis. Every mean is then taken over all devices:
        each returns the loss of the whole batch, and the mean over the devices of
        their gradients is its gradient.

    Returns:
      The sum of the terms times the number of images (YOLOv5 v7.0 multiplies, so that
      the learning rate is that of summed losses), and the weighted terms themselves.
    """
    total = device_sum(axis_name)
    box_gain, obj_gain, cls_gain = gains(cfg, len(preds), num_classes, image_size)
    labels = jnp.asarray(targets.labels)
    box = obj = cls = jnp.zeros(())
    for i, (pred, weight) in enumerate(zip(preds, balance(len(preds)), strict=True)):
        grid = (pred.shape[1], pred.shape[2])
        candidates = assign(targets, anchors[i], strides[i], grid, cfg.anchor_threshold)
        terms = _level(pred, candidates, labels, anchors[i] / strides[i], cfg)
        box_sum, obj_sum, cls_sum = total(terms)
        matches = jnp.maximum(total(jnp.sum(candidates.mask, dtype=jnp.float32)), 1.0)
        cells = total(jnp.float32(pred[..., 0].size))
        box += box_sum / matches  # 0 at a level without a match
        obj += weight * obj_sum / cells
        cls += cls_sum / (matches * num_classes)
    parts = {"obj": obj_gain * obj, "cls": cls_gain * cls, cfg.iou: box_gain * box}
    images = total(jnp.float32(preds[0].shape[0]))
    return images * sum(parts.values(), jnp.zeros(())), parts


def gains(
    cfg: Loss, levels: int, num_classes: int, image_size: int
) -> tuple[float, float, float]:
    """Weights of the box, objectness and class terms for a run (YOLOv5 v7.0 rule)."""
    k = 3 / levels
    return (
        cfg.box * k,
        cfg.obj * k * (image_size / 640) ** 2,
        cfg.cls * k * num_classes / 80 if num_classes > 1 else 0.0,
    )


def balance(levels: int) -> tuple[float, ...]:
    """Weights of the levels in the objectness term, finest first (YOLOv5 v7.0)."""
    return (4.0, 1.0, 0.4) if levels == 3 else (4.0, 1.0, 0.25, 0.06, 0.02)[:levels]


def bce(logits: Float[Array, "*n"], targets: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Binary cross-entropy, -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x))."""
    return jax.nn.softplus(logits) - logits * targets


def _level(
    pred: Float[Array, "b h w a o"],
    candidates: Candidates,
    labels: Int[Array, "b n"],
    anchors: Float[Array, "a 2"],
    cfg: Loss,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Sums of the box, objectness and class losses of one level; anchors in cells."""
    b, _, w, a, o = pred.shape
    pred = pred.astype(jnp.float32).reshape(b, -1, o)
    mask = jnp.moveaxis(candidates.mask, 2, 0)  # b k a n
    cell = jnp.moveaxis(candidates.row * w + candidates.col, 1, 0)[:, :, None, :]
    index = cell * a + jnp.arange(a)[None, None, :, None]
    flat = index.reshape(b, -1)
    at = jax.vmap(lambda p, i: p.at[i].get(mode="promise_in_bounds"))(pred, flat)
    at = at.reshape(*index.shape, o)

    shape = (*index.shape, 2)
    t = jax.nn.sigmoid(at[..., :4])
    xy = 2 * t[..., :2] - 0.5
    wh = (2 * t[..., 2:]) ** 2 * anchors[None, None, :, None, :]
    true_xy = jnp.broadcast_to(jnp.moveaxis(candidates.xy, 1, 0)[:, :, None], shape)
    true_wh = jnp.broadcast_to(candidates.wh[:, None, None], shape)
    iou = IOU[cfg.iou](
        cxcywh_to_xyxy(jnp.concatenate([xy, wh], axis=-1)),
        cxcywh_to_xyxy(jnp.concatenate([true_xy, true_wh], axis=-1)),
    )
    box = jnp.sum(jnp.where(mask, 1 - iou, 0.0))

    # Two boxes may claim one anchor: the better fit counts. Others write 0, a no-op.
    fit = jnp.where(mask, jnp.maximum(jax.lax.stop_gradient(iou), 0.0), 0.0)
    best = jax.vmap(lambda i, v: jnp.zeros(pred.shape[1]).at[i].max(v))
    obj = jnp.sum(bce(pred[..., 4], best(flat, fit.reshape(b, -1))))

    if o == 6:  # one class
        return box, obj, jnp.zeros(())
    on, off = 1 - 0.5 * cfg.label_smoothing, 0.5 * cfg.label_smoothing
    hot = jax.nn.one_hot(labels, o - 5) * (on - off) + off
    hot = jnp.broadcast_to(hot[:, None, None], (*index.shape, o - 5))
    cls = jnp.where(mask[..., None], bce(at[..., 5:], hot), 0.0)
    return box, obj, jnp.sum(cls)


def device_sum(axis_name: str | None) -> Callable:
    """The sum over the devices of a mapped axis, or nothing."""
    if axis_name is None:
        return lambda x: x
    return lambda x: jax.lax.psum(x, axis_name)
