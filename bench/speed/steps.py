"""The default network on one batch, again and again: `python -m bench.speed.steps`."""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax import anchors
from tqgd_jax.config import Augment, Config, Data
from tqgd_jax.detector import Detector
from tqgd_jax.structures.batch import Batch
from tqgd_jax.training import optim, state
from tqgd_jax.training.step import make_train_step


def main() -> None:
    """Prints the loss of each step; bright squares on noise, no augmentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=640, help="image side, px")
    parser.add_argument("--batch", type=int, default=2)
    args = parser.parse_args()

    calm = dataclasses.asdict(Augment()) | dict.fromkeys(
        ("mosaic", "scale", "translate", "flip", "hue", "value"), 0.0
    )
    config = Config(
        data=Data(image_size=args.size, batch_size=args.batch), augment=Augment(**calm)
    )
    network = Detector(config.model)
    boxes = anchors.choose(config.model, np.zeros((0, 2), np.float32), 0).boxes
    step = jax.jit(
        make_train_step(network, config, jnp.asarray(boxes)), donate_argnums=0
    )
    now = state.create(network, config)
    plan = optim.plan(
        config.optim, batch_size=args.batch, epochs=200, steps_per_epoch=33
    )

    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (args.batch, 1, 256, 256, 1)).astype(np.uint8)
    image[:, :, 100:116, 60:84] = 220
    batch = Batch(
        image=jnp.asarray(image),
        size=jnp.full((args.batch, 1, 2), 256, jnp.int32),
        boxes=jnp.tile(jnp.array([60.0, 100.0, 84.0, 116.0]), (args.batch, 1, 1, 1)),
        labels=jnp.zeros((args.batch, 1, 1), jnp.int32),
        valid=jnp.ones((args.batch, 1, 1), bool),
        index=jnp.zeros((args.batch, 1), jnp.int32),
    )
    for i in range(args.steps):
        now, metrics = step(now, batch, plan.at(i))
        print(i + 1, f"{float(metrics['loss']):.4f}", flush=True)


if __name__ == "__main__":
    main()
