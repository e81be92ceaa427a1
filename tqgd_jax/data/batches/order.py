"""Which images a training step sees: a pure function of (seed, step)."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.config import Config

Boxes = Float[np.ndarray, "_ 4"]


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


def epoch_size(config: Config, boxes: Sequence[Boxes]) -> int:
    """Images of an epoch: all, or those with a box and `data.backgrounds` each without.

    Args:
      config: settings.
      boxes: of each training image.
    """
    positive = sum(len(of) > 0 for of in boxes)
    if not config.data.backgrounds or not positive:
        return len(boxes)
    return min(len(boxes), positive + round(config.data.backgrounds * positive))


def of_run(
    config: Config, boxes: Sequence[Boxes]
) -> Callable[[int], Int[np.ndarray, "b t"]]:
    """From a step to the images it sees: four tiles each with mosaic, else one.

    Args:
      config: settings.
      boxes: of each training image; see `epoch_size`.
    """
    tiles = 4 if config.augment.mosaic > 0 else 1
    seed, batch, size = config.seed, config.data.batch_size, epoch_size(config, boxes)
    boxed = np.array([len(of) > 0 for of in boxes])
    positive, background = np.flatnonzero(boxed), np.flatnonzero(~boxed)

    @functools.lru_cache(maxsize=2)
    def shown(epoch: int) -> Int[np.ndarray, "n"]:
        rng = np.random.default_rng((seed, epoch, 2))
        drawn = rng.choice(background, size - len(positive), replace=False)
        return np.concatenate([positive, drawn]).astype(np.int32)

    def images(step: int) -> Int[np.ndarray, "b t"]:
        rows = indices(seed, size, batch, step, tiles)
        if size == len(boxes):
            return rows
        return shown(step // steps_per_epoch(size, batch))[rows]

    return images


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
