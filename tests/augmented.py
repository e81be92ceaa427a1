"""Batches and compiled augmentation for the tests of both its halves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.augment import augment, letterbox
from tqgd_jax.config import Augment, Data
from tqgd_jax.structures.batch import Batch

S = 64


STILL = Augment(mosaic=0, scale=0, translate=0, flip=0, hue=0, value=0)


MOVING = Augment(hue=0, value=0)  # all of the geometry, no change of values


def make_batch(images, boxes=None, rows=2):
    """A batch from [b][t] arrays (h, w) or (h, w, c) and [b][t] lists of boxes."""
    b, t = len(images), len(images[0])
    size = np.array([[im.shape[:2] for im in tiles] for tiles in images], np.int32)
    c = images[0][0].shape[2] if images[0][0].ndim == 3 else 1
    stored = np.zeros((b, t, *size.max((0, 1)), c), images[0][0].dtype)
    stored_boxes = np.zeros((b, t, rows, 4), np.float32)
    valid = np.zeros((b, t, rows), bool)
    for i in range(b):
        for j in range(t):
            h, w = size[i, j]
            stored[i, j, :h, :w] = images[i][j].reshape(h, w, c)
            for k, box in enumerate((boxes or {}).get((i, j), [])):
                stored_boxes[i, j, k], valid[i, j, k] = box, True
    labels = np.arange(b * t * rows, dtype=np.int32).reshape(b, t, rows)
    return Batch(stored, size, stored_boxes, labels, valid, np.zeros((b, t), np.int32))


def compiled(cfg=MOVING, channels=1, num_classes=1, **data):
    how = {"data": Data(image_size=S, **data), "channels": channels}
    return jax.jit(functools.partial(augment, cfg=cfg, num_classes=num_classes, **how))


def boxed(batch, channels=1, num_classes=1, **data):
    how = {"data": Data(image_size=S, **data), "channels": channels}
    fn = functools.partial(letterbox, num_classes=num_classes, **how)
    return jax.jit(fn)(jax.tree.map(jnp.asarray, batch))


def noise(*shape, seed=0, dtype=np.uint8):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
