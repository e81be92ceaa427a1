"""The step on one device or many. Only this module knows which.

`jit` shards the batch over a mesh; the program is one, so batch norm and losses see the
whole batch. `pmap` runs the same step on each device's share; it is in maintenance mode
in JAX and kept for those who build on it.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tqgd_jax.config import Config
from tqgd_jax.training.optim import Hyper
from tqgd_jax.training.state import TrainState

AXIS = "data"


def devices(config: Config) -> list[Any]:
    """The devices of a run.

    Raises:
      ValueError: fewer there are, or the batch does not divide by them.
    """
    there = jax.devices()
    wanted = config.train.devices or len(there)
    if wanted > len(there):
        raise ValueError(
            f"train.devices={wanted}, but JAX sees {len(there)}: {there}; "
            "0 means all that there are"
        )
    if config.data.batch_size % wanted:
        raise ValueError(
            f"data.batch_size={config.data.batch_size} does not divide by {wanted} "
            "devices; change it, or set train.devices to a divisor"
        )
    return there[:wanted]


class Program:
    """A compiled step `(state, *inputs, hyper) -> (state, metrics)` and its placements.

    Every leaf of `inputs` has the batch as its first axis, except those of `constant`,
    which is passed first and lies whole on every device.
    """

    def __init__(self, config: Config, step: Callable[..., Any], constant: Any = ()):
        """Compiles lazily, at the first call; `step` takes `constant` if it is given."""
        self.kind = config.train.parallel
        self.devices = devices(config)
        mesh = Mesh(np.array(self.devices), (AXIS,))
        self.whole = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec(AXIS))
        self.n = len(self.devices)
        if self.kind == "pmap":
            self.constant = self._copies(constant)
            self.step = jax.pmap(
                lambda state, const, inputs, hyper: step(state, *const, *inputs, hyper),
                axis_name=AXIS,
                in_axes=(0, 0, 0, None),
                donate_argnums=(0,),
                devices=self.devices,
            )
        else:
            self.constant = jax.device_put(constant, self.whole)
            self.step = jax.jit(
                lambda state, const, inputs, hyper: step(state, *const, *inputs, hyper),
                donate_argnums=(0,),
            )

    def place(self, state: TrainState) -> TrainState:
        """A host or one-device state, copied to every device."""
        if self.kind == "pmap":
            return self._copies(state)
        return jax.device_put(state, self.whole)

    def one(self, tree: Any) -> Any:
        """One copy of what is the same on every device."""
        return jax.tree.map(lambda x: x[0], tree) if self.kind == "pmap" else tree

    def __call__(
        self, state: TrainState, *inputs: Any, hyper: Hyper
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """One step; `state` is given up. Metrics are not waited for."""
        if self.kind == "pmap":
            inputs = jax.tree.map(
                lambda x: x.reshape(self.n, x.shape[0] // self.n, *x.shape[1:]), inputs
            )
            state, metrics = self.step(state, self.constant, inputs, hyper)
            return state, self.one(metrics)
        return self.step(
            state, self.constant, jax.device_put(inputs, self.split), hyper
        )

    def _copies(self, tree: Any) -> Any:
        return jax.tree.map(
            lambda x: np.broadcast_to(np.asarray(x)[None], (self.n, *np.shape(x))), tree
        )
