"""Everything that a run is at one moment."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.detector import Detector
from tqgd_jax.nn.init import initial
from tqgd_jax.structures.batch import Arr
from tqgd_jax.training.optim import Hyper, accumulation, sgd


class TrainState(NamedTuple):
    """All that a bit-exact resume needs; random keys follow from seed and step.

    Attributes:
      step: iterations done.
      updates: optimiser steps done.
      params, batch_stats: linen collections, float32; like all that go with them, packed
        inside `runtime.sharding.CompiledSteps` (`runtime.flat_state`).
      opt_state: of `optim.sgd`.
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


def create(detector: Detector, config: Config) -> TrainState:
    """The state before the first step, from `config.seed`; NumPy arrays."""
    # A small image makes the same parameters, because the network is convolutional.
    image = jax.ShapeDtypeStruct((1, 64, 64, config.model.in_channels), "float32")
    shapes = jax.eval_shape(
        lambda key, x: detector.init(key, x, train=False), jax.random.key(0), image
    )
    thr = config.model.resolved_thr()
    if thr is None or thr.form == "plain":
        variables = initial(shapes, config.seed)
    else:
        variables = initial(shapes, config.seed, thr.init)
    params, batch_stats = variables["params"], variables["batch_stats"]
    zero = Hyper(*(jnp.zeros((), t) for t in ("f4", "f4", "f4", "?", "?")))
    tx = sgd(config.optim, config.data.batch_size, zero)
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
