"""Which images a training step sees: a pure function of (seed, step)."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from tqgd_jax.config import Config


def steps_per_epoch(n: int, batch: int) -> int:
    """Steps that show each of `n` images at least once."""
    return -(-n // batch)


def indices(
    seed: int, n: int, batch: int, step: int, tiles: int
) -> Int[np.ndarray, "{batch} {tiles}"]:
    """Images of one training step.

    Tile 0 runs through a permutation of all images, new in each epoch; the last batch
    of an epoch is filled up from the start of the same permutation. Tiles 1 to 3 are
    mosaic partners, drawn uniformly with replacement (YOLOv5).
    """
    if n < 1:
        raise ValueError("no images to draw from: the train split is empty")
    if not 1 <= tiles <= 4:
        raise ValueError(f"tiles must be 1 (no mosaic) to 4, got {tiles}")
    epoch, k = divmod(step, steps_per_epoch(n, batch))
    return _epoch(seed, n, batch, epoch)[k * batch : (k + 1) * batch, :tiles].copy()


def of_run(config: Config, n: int) -> Callable[[int], Int[np.ndarray, "b t"]]:
    """From a step to the images it sees: four tiles each with mosaic, else one."""
    tiles = 4 if config.augment.mosaic > 0 else 1
    return lambda step: indices(config.seed, n, config.data.batch_size, step, tiles)


@functools.lru_cache(maxsize=2)
def _epoch(seed: int, n: int, batch: int, epoch: int) -> Int[np.ndarray, "_ 4"]:
    rows = steps_per_epoch(n, batch) * batch
    order = np.random.default_rng((seed, epoch)).permutation(n)
    partners = np.random.default_rng((seed, epoch, 1)).integers(n, size=(rows, 3))
    table = np.concatenate([np.resize(order, rows)[:, None], partners], axis=1)
    return table.astype(np.int32)


def eval_indices(n: int, batch: int) -> list[Int[np.ndarray, "{batch} 1"]]:
    """Batches that show each of `n` images once, in order; -1 fills the last."""
    rows = np.full((steps_per_epoch(n, batch), batch, 1), -1, np.int32)
    rows.reshape(-1)[:n] = np.arange(n)
    return list(rows)
