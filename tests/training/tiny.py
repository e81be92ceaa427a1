"""A data set and a run that are as small as they can be, shared by the tests."""

from pathlib import Path

import numpy as np

from tqgd_jax.config import Augment, Config, Data, Loss, Model, Optim, Train
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.training.run import Run


def squares(n: int = 6, size: int = 64, seed: int = 0) -> Dataset:
    """Grey images with one or two bright rectangles on noise; the last has none."""
    rng = np.random.default_rng(seed)
    images, boxes = [], []
    for i in range(n):
        image = rng.integers(0, 60, (size, size, 1)).astype(np.uint8)
        drawn = []
        for _ in range(0 if i == n - 1 else rng.integers(1, 3)):
            w, h = rng.integers(8, 20, 2)
            x, y = rng.integers(0, size - w), rng.integers(0, size - h)
            image[y : y + h, x : x + w] = 220
            drawn.append((x, y, x + w, y + h))
        images.append(image)
        boxes.append(np.array(drawn, np.float32).reshape(-1, 4))
    return Dataset(
        classes=("square",),
        names=[f"image{i}" for i in range(n)],
        patients=[f"image{i}" for i in range(n)],
        sizes=np.full((n, 2), size, np.int32),
        boxes=boxes,
        labels=[np.zeros(len(b), np.int32) for b in boxes],
        shape=(size, size, 1),
        max_boxes=2,
        dtype=np.dtype(np.uint8),
        fingerprint="squares",
        image=lambda i: images[i],
    )


def config(**sections) -> Config:
    """YOLOv5n at 64 px with batch 2 and no event files."""
    values = {
        "model": Model(size="n", stem="conv", neck=("pan",)),
        "data": Data(image_size=64, batch_size=2, placement="resident"),
        # YOLOv5 scales objectness with the image's area; at 64 px little would be left.
        "loss": Loss(obj=100.0),
        "train": Train(
            epochs=4, devices=1, tensorboard=False, checkpoint_every=100, log_every=3
        ),
    }
    return Config(**(values | sections))


def train(run: Run, folder: Path, stop: int):
    """Goes on from the newest checkpoint in `folder` until `stop`."""
    folder.mkdir(parents=True, exist_ok=True)
    run.stop = stop
    return run.train(folder)


__all__ = ["Augment", "Model", "Optim", "Run", "config", "squares", "train"]
