"""Everything that a run is at one moment."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.network import Network
from tqgd_jax.structures.batch import Arr
from tqgd_jax.training.optim import Hyper, accumulation, optimiser


class TrainState(NamedTuple):
    """All that a bit-exact resume needs; random keys follow from seed and step.

    Attributes:
      step: iterations done.
      updates: optimiser steps done.
      params, batch_stats: linen collections, float32; like all that go with them, packed
        inside `runtime.sharding.CompiledSteps` (`runtime.flat_state`).
      opt_state: of `optim.optimiser`.
      ema: moving averages of `params` and `batch_stats`, for evaluation.
      grads: gradients summed since the last optimiser step; empty without accumulation.
    """

    step: Arr
    updates: Arr
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any
    grads: Any


def create(network: Network, config: Config, *, pretrained: bool = True) -> TrainState:
    """The state before the first step, from `config.seed`; NumPy arrays.

    Args:
      network: of the run.
      config: of the run.
      pretrained: reads `baseline.weights`; not needed for what a checkpoint replaces.
    """
    first = network.init(config.seed, pretrained=pretrained)
    variables = jax.tree.map(np.asarray, first)
    params, batch_stats = variables["params"], variables["batch_stats"]
    zero = Hyper(*(jnp.zeros((), t) for t in ("f4", "f4", "f4", "?", "?")))
    tx = optimiser(config.optim, config.data.batch_size, zero)
    waits = accumulation(config.optim, config.data.batch_size) > 1
    return TrainState(
        step=np.zeros((), np.int32),
        updates=np.zeros((), np.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=_zeros(jax.eval_shape(tx.init, params)),  # sums of gradients
        # Copies: a donated state must not hold one buffer twice.
        ema=jax.tree.map(np.copy, {"params": params, "batch_stats": batch_stats}),
        grads=_zeros(params) if waits else {},
    )


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
