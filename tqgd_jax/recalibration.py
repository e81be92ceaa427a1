"""Batch statistics for an evaluation, taken anew with the weights that are evaluated.

The running statistics average over weights that have moved on since; at a high learning
rate a network may detect well with its batch's own statistics and nothing with these
(docs/benchmarks.md has figures). Izmailov et al., UAI 2018, do the same after averaging
weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from tqgd_jax.augment import augment
from tqgd_jax.config import Config
from tqgd_jax.data.batches import order
from tqgd_jax.data.dataset import Dataset, load
from tqgd_jax.network import build
from tqgd_jax.structures.batch import Batch
from tqgd_jax.xla import compiler_options

Recalibrate = Callable[[Mapping[str, Any]], dict[str, Any]]


def make_recalibrate(config: Config, train: Dataset, batches: int) -> Recalibrate:
    """The function from variables to the same weights with new batch statistics.

    They are the means over the first `batches` batches of the run, augmented as there;
    the same weights give the same statistics. 0 batches leave the running ones.

    Args:
      config: of the run.
      train: the images that were trained on.
      batches: how many.
    """
    indices = order.of_run(config, train.boxes)
    key = jax.random.key(config.seed)
    module = build(config, len(train.classes)).module

    def statistics(variables: Any, batch: Batch, key: Any) -> Any:
        views, _ = augment(
            key,
            batch,
            cfg=config.augment,
            data=config.data,
            channels=config.model.in_channels,
        )
        _, mutated = module.apply(
            variables,
            views.image,
            train=True,
            mutable=["batch_stats", "moments"],
            rngs={"dropout": jax.random.fold_in(key, 1)},
        )
        return mutated["moments"]

    compiled = jax.jit(statistics, compiler_options=compiler_options())

    def recalibrate(variables: Mapping[str, Any]) -> dict[str, Any]:
        if not batches or not variables.get("batch_stats"):
            return dict(variables)
        variables = jax.device_put(dict(variables))
        total = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
        for step in range(batches):
            batch = jax.tree.map(jnp.asarray, load(train, indices(step)))
            seen = compiled(variables, batch, jax.random.fold_in(key, step))
            total = jax.tree.map(jnp.add, total, seen)
        stats = jax.tree.map(lambda x: x / batches, total)
        return {"params": variables["params"], "batch_stats": stats}

    return recalibrate
