"""A data set and a run that are as small as they can be, shared by the tests."""

import dataclasses
import itertools
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from tqgd_jax import anchors as anchor_boxes
from tqgd_jax.config import Augment, Config, Data, Loss, Model, Optim, Train
from tqgd_jax.data import order
from tqgd_jax.data.resident import take, upload
from tqgd_jax.data.source import Source
from tqgd_jax.detector import Detector
from tqgd_jax.training import loop, optim
from tqgd_jax.training.checkpoint import Checkpoints
from tqgd_jax.training.parallel import AXIS, Program
from tqgd_jax.training.state import create
from tqgd_jax.training.step import make_train_step


def squares(n: int = 6, size: int = 64, seed: int = 0) -> Source:
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
    return Source(
        classes=("square",),
        names=[f"image{i}" for i in range(n)],
        groups=[f"image{i}" for i in range(n)],
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
        "train": Train(epochs=4, devices=1, tensorboard=False, checkpoint_every=100),
    }
    return Config(**(values | sections))


def anchors(cfg: Config) -> np.ndarray:
    return anchor_boxes.choose(cfg.model, np.zeros((0, 2), np.float32), 0)


class Run:
    """One configuration with its compiled step, to be run many times."""

    def __init__(self, cfg: Config, source: Source):
        pmap = cfg.train.parallel == "pmap"
        self.cfg, self.source = cfg, source
        self.detector = Detector(cfg.model, axis_name=AXIS if pmap else None)
        step = make_train_step(self.detector, cfg, jnp.asarray(anchors(cfg)))
        self.program = Program(
            cfg,
            lambda state, data, rows, hyper: step(state, take(data, rows), hyper),
            constant=(upload(source),),
        )
        self.epoch = order.steps_per_epoch(len(source.names), cfg.data.batch_size)
        self.schedule = optim.plan(
            cfg.optim,
            batch_size=cfg.data.batch_size,
            epochs=cfg.train.epochs,
            steps_per_epoch=self.epoch,
        )

    def create(self):
        return create(self.detector, self.cfg)

    def rows(self, step: int) -> np.ndarray:
        tiles = 4 if self.cfg.augment.mosaic > 0 else 1
        return order.indices(
            self.cfg.seed, len(self.source.names), self.cfg.data.batch_size, step, tiles
        )

    def train(self, workdir: Path, stop: int, inputs=None, evaluate=None, log_every=3):
        """Goes on from the newest checkpoint in `workdir` until `stop`."""
        cfg = dataclasses.replace(
            self.cfg, train=dataclasses.replace(self.cfg.train, log_every=log_every)
        )
        workdir.mkdir(parents=True, exist_ok=True)
        checkpoints = Checkpoints(workdir / "checkpoints", cfg.train.keep)
        state, start, meta = self.create(), 0, {}
        if checkpoints.latest() is not None:
            state, meta = checkpoints.restore(state, repair=True)
            start = int(state.step)
        try:
            return loop.run(
                cfg,
                workdir,
                self.program,
                state,
                self.schedule,
                inputs or ((self.rows(i),) for i in itertools.count(start)),
                checkpoints,
                start=start,
                stop=stop,
                steps_per_epoch=self.epoch,
                describe_batch=lambda i: ", ".join(
                    self.source.names[j] for j in self.rows(i).flat
                ),
                evaluate=evaluate,
                meta=meta,
            )
        finally:
            checkpoints.close()


__all__ = ["Augment", "Optim", "Run", "anchors", "config", "squares"]
