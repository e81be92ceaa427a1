"""Synthetic slices in memory, of the size and type that a prepared CT set has."""

import numpy as np

from tqgd_jax.config import Augment, Config, Data, Model, Train
from tqgd_jax.data.dataset import Dataset

ORCASCORE = 131  # slices with calcium in the training part of the paper's orCaScore
MODELS = {"yolov5": ("conv", ("pan",)), "tqgdnet": ("thr", ("queen", "gd"))}


def source(n, size, seed=0):
    """`n` slices of int16 HU: noise around soft tissue, one to four bright boxes."""
    rng = np.random.default_rng(seed)
    images = rng.normal(40, 25, (n, size, size, 1)).astype(np.int16)
    boxes = []
    for image in images:
        wh = rng.integers(4, 24, (rng.integers(1, 5), 2))
        low = rng.integers(0, size - wh)
        for (x, y), (w, h) in zip(low, wh, strict=True):
            image[y : y + h, x : x + w] = rng.integers(200, 1200)
        boxes.append(np.concatenate([low, low + wh], 1).astype(np.float32))
    return Dataset(
        classes=("calcium",),
        names=[f"slice{i}" for i in range(n)],
        patients=[f"patient{i // 8}" for i in range(n)],
        sizes=np.full((n, 2), size, np.int32),
        boxes=boxes,
        labels=[np.zeros(len(b), np.int32) for b in boxes],
        shape=(size, size, 1),
        max_boxes=4,
        dtype=np.dtype(np.int16),
        fingerprint=f"synthetic {n} {size} {seed}",
        image=lambda i: images[i],
    )


def config(model, size, batch, precision="fp32", placement="resident", **train):
    """The paper's run, or YOLOv5's, on one device; `model` is `tqgdnets` for example."""
    name, scale = model[:-1], model[-1]
    if name not in MODELS:
        raise SystemExit(
            f"no model {model!r}: {' or '.join(MODELS)}, then n, s, m or l"
        )
    stem, neck = MODELS[name]
    return Config(
        model=Model(size=scale, stem=stem, neck=neck, precision=precision),
        data=Data(image_size=size, batch_size=batch, placement=placement),
        augment=Augment(),
        train=Train(devices=1, tensorboard=False, **train),
    )
