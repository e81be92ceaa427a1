"""A data set and a run that are as small as they can be, shared by the tests."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tqgd_jax.config import Config, Data, Loss, Model, Train
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.network import build
from tqgd_jax.training import state
from tqgd_jax.training import train as story
from tqgd_jax.training.plan import Plan, make_plan
from tqgd_jax.training.records.checkpoint import Checkpoints
from tqgd_jax.training.runtime.sharding import CompiledSteps
from tqgd_jax.training.state import TrainState


def same_bits(a, b):
    """Holds two trees against each other."""
    jax.tree.map(np.testing.assert_array_equal, a, b)


def rows(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The objects of a log."""
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


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
        calcium=113,
    )


def config(**sections) -> Config:
    """A YOLOv5n with an FPN and one head, at 64 px with batch 2 and no event files."""
    values = {
        "model": Model(size="n", stem="conv", neck=("fpn",), heads=(4,)),
        "data": Data(image_size=64, batch_size=2, placement="resident"),
        # YOLOv5 scales objectness with the image's area; at 64 px little would be left.
        "loss": Loss(obj=100.0),
        "train": Train(
            epochs=4, devices=1, tensorboard=False, checkpoint_every=100, log_every=3
        ),
    }
    return Config(**(values | sections))


class Run:
    """A configuration on data; compiled once, however often it trains."""

    def __init__(self, config: Config, images: Dataset, val: Dataset | None = None):
        self.config, self.splits = config, {"train": images}
        if val is not None:
            self.splits["val"] = val
        self.steps: CompiledSteps | None = None
        self._first = state.create(build(config, len(images.classes)), config)

    def first(self) -> TrainState:
        """The state before the first step."""
        return jax.tree.map(np.copy, self._first)

    @property
    def plan(self) -> Plan:
        """Of all epochs."""
        validates = "val" in self.splits
        return make_plan(self.config, self.splits["train"], validates=validates)

    def train(self, folder: Path, stop: int) -> TrainState:
        """Goes on from the newest checkpoint in `folder` until `stop`: the state there."""
        config = dataclasses.replace(
            self.config, train=dataclasses.replace(self.config.train, steps=stop)
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(story, "CompiledSteps", self._compiled)
            patch.setattr(story, "create", lambda *_, **__: self.first())
            story.train(config, folder, self.splits)
        checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
        done, _ = checkpoints.restore(self.first())
        checkpoints.close()
        return done

    def _compiled(self, *how) -> CompiledSteps:
        self.steps = self.steps or CompiledSteps(*how)
        return self.steps
