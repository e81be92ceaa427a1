"""From raw predictions to detections: decoding, exact suppression, native pixels.

Dimension letters: b images, h w cells, a anchors, o = 5 + classes, n candidate boxes,
c classes, d kept detections, k candidates of one block, l levels.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Bool, Float, Int, Integer

from tqgd_jax.augment_geometry import letterbox_geometry
from tqgd_jax.boxes import pairwise_iou
from tqgd_jax.structures.batch import Arr, Detections

Number = float | Float[Array, ""]

BLOCK = 256  # candidates per step of `nms`; changes its speed, never its result


def decode(
    preds: Sequence[Float[Array, "b _ _ a o"]],
    anchors: Float[Arr, "l a 2"],
    strides: tuple[int, ...],
) -> tuple[Float[Array, "b n 4"], Float[Array, "b n c"], Float[Array, "b n"]]:
    """Boxes and probabilities of every anchor in every cell, in float32 (YOLOv5 v7.0).

    With s the sigmoid of an output: centre (2 s - 0.5 + cell) * stride, side
    (2 s)^2 * anchor. Candidates are ordered by level, row, column, anchor.

    Args:
      preds: per level the outputs tx, ty, tw, th, objectness, classes; any float type.
      anchors: width and height, network px.
      strides: network px per cell of each level.

    Returns:
      boxes: (x0, y0, x1, y1), network px, not clipped.
      scores: objectness times class probability.
      obj: objectness.
    """
    boxes, scores, objs = [], [], []
    for pred, anchor, stride in zip(preds, anchors, strides, strict=True):
        b, h, w, a, o = pred.shape
        p = jax.nn.sigmoid(pred.astype(jnp.float32))
        y, x = jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij")
        cell = jnp.stack([x, y], axis=-1).astype(jnp.float32)
        centre = (2 * p[..., 0:2] - 0.5 + cell[None, :, :, None, :]) * stride
        anchor = jnp.asarray(anchor, jnp.float32)
        side = (2 * p[..., 2:4]) ** 2 * anchor[None, None, None, :, :]
        box = jnp.concatenate([centre - side / 2, centre + side / 2], axis=-1)
        boxes.append(box.reshape(b, h * w * a, 4))
        scores.append((p[..., 4:5] * p[..., 5:]).reshape(b, h * w * a, o - 5))
        objs.append(p[..., 4].reshape(b, h * w * a))
    join = partial(jnp.concatenate, axis=1)
    return join(boxes), join(scores), join(objs)


def nms(
    boxes: Float[Array, "b n 4"],
    scores: Float[Array, "b n c"],
    obj: Float[Array, "b n"],
    *,
    min_score: Number,
    iou: Number,
    max_detections: int,
) -> Detections:
    """Greedy suppression within each class: exact for any number of candidates.

    YOLOv5's rule without its limits on candidates and time: every pair of box and class
    with objectness and score above `min_score` is a candidate; best score first (equal
    scores: lower index first), a candidate falls when its IoU with a kept one of its
    class is strictly above `iou`; the first `max_detections` kept ones are returned.
    Candidates with a number that is not finite are never kept. An image's result does
    not depend on the rest of the batch.
    """
    one = partial(
        _nms_of_image, min_score=min_score, iou=iou, max_detections=max_detections
    )
    return Detections(*jax.vmap(one)(boxes, scores, obj))


def _nms_of_image(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, "n c"],
    obj: Float[Array, "n"],
    *,
    min_score: Number,
    iou: Number,
    max_detections: int,
) -> tuple[Float[Array, "d 4"], Float[Array, "d"], Int[Array, "d"], Bool[Array, "d"]]:
    """Walks the sorted candidates in blocks until enough are kept or none is left."""
    n, c = scores.shape
    size = min(BLOCK, n * c)
    sound = jnp.isfinite(boxes).all(axis=1) & jnp.isfinite(obj) & (obj > min_score)
    above = sound[:, None] & jnp.isfinite(scores) & (scores > min_score)
    ranked = jnp.where(above, scores, -jnp.inf).reshape(-1)
    order = jnp.argsort(-ranked, stable=True).astype(jnp.int32)
    order = jnp.pad(order, (0, -(n * c) % size))  # padding is masked by `candidates`
    candidates = above.sum(dtype=jnp.int32)

    def body(state: tuple[Array, ...]) -> tuple[Array, ...]:
        start, count, kept_boxes, kept_scores, kept_labels = state
        at = lax.dynamic_slice(order, (start,), (size,))
        box, label = boxes[at // c], at % c
        waiting = start + jnp.arange(size, dtype=jnp.int32) < candidates
        taken = jnp.arange(max_detections, dtype=jnp.int32) < count
        fallen = taken[:, None] & _rivals(kept_boxes, kept_labels, box, label, iou)
        rivals = jnp.triu(_rivals(box, label, box, label, iou), k=1)
        keep = _greedy(waiting & ~fallen.any(axis=0), rivals)
        slot = count + jnp.cumsum(keep, dtype=jnp.int32) - 1
        slot = jnp.where(keep, slot, max_detections)  # out of range: dropped
        return (
            start + size,
            count + keep.sum(dtype=jnp.int32),
            kept_boxes.at[slot].set(box, mode="drop"),
            kept_scores.at[slot].set(ranked[at], mode="drop"),
            kept_labels.at[slot].set(label, mode="drop"),
        )

    _, count, *detections = lax.while_loop(
        lambda state: (state[0] < candidates) & (state[1] < max_detections),
        body,
        (
            jnp.int32(0),
            jnp.int32(0),
            jnp.zeros((max_detections, 4), boxes.dtype),
            jnp.zeros((max_detections,), scores.dtype),
            jnp.zeros((max_detections,), jnp.int32),
        ),
    )
    kept_boxes, kept_scores, kept_labels = detections
    valid = jnp.arange(max_detections, dtype=jnp.int32) < count
    return kept_boxes, kept_scores, kept_labels, valid


def _rivals(
    a: Float[Array, "d 4"],
    label_a: Int[Array, "d"],
    b: Float[Array, "k 4"],
    label_b: Int[Array, "k"],
    iou: Number,
) -> Bool[Array, "d k"]:
    """Pairs of one class whose IoU is strictly above `iou`; of empty boxes none."""
    over = pairwise_iou(a, b) > iou
    return over & (label_a[:, None] == label_b[None, :])


def _greedy(waiting: Bool[Array, "k"], rivals: Bool[Array, "k k"]) -> Bool[Array, "k"]:
    """Keeps a waiting candidate unless a kept earlier one is its rival.

    `rivals` is strictly upper triangular. Iterated from "all waiting are kept": after t
    rounds the first t answers are final, so the first unchanged round is the greedy
    result, usually after a handful of rounds instead of one per candidate.
    """

    def again(state: tuple[Array, Array]) -> tuple[Array, Array]:
        keep, _ = state
        return waiting & ~(keep[:, None] & rivals).any(axis=0), keep

    def changed(state: tuple[Array, Array]) -> Array:
        return (state[0] != state[1]).any()

    return lax.while_loop(changed, again, (waiting, jnp.zeros_like(waiting)))[0]


def unletterbox(
    boxes: Float[Arr, "*b n 4"],
    size: Integer[Arr, "*b 2"] | tuple[int, int],
    image_size: int,
) -> Float[Arr, "*b n 4"]:
    """Network px to native px, clipped to the image; see `letterbox_geometry`."""
    xp = jnp if isinstance(boxes, Array) else np
    size = xp.asarray(size)
    gain, pad_y, pad_x = letterbox_geometry(size, image_size)
    pad = xp.stack([pad_x, pad_y, pad_x, pad_y], axis=-1)[..., None, :]
    limit = size[..., [1, 0, 1, 0]].astype(boxes.dtype)[..., None, :]
    native = (boxes - pad) / gain[..., None, None]
    return xp.minimum(xp.maximum(native, 0), limit)
