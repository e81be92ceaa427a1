"""Where the compiled steps get their batches: from the device, or from a stream."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.data.batches import resident
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.network import build
from tqgd_jax.training.plan import Plan
from tqgd_jax.training.runtime import distributed, sharding
from tqgd_jax.training.step import make_train_step


class Inputs:
    """The batches of a run, by `data.placement`; both give the same bits.

    Attributes:
      constant: what lies on the devices through the whole run, for `CompiledSteps`.
      at_most: steps that a call of the compiled steps may do.
    """

    def __init__(
        self, config: Config, images: Dataset, plan: Plan, *, masks: bool = False
    ):
        """Reads the images, and `masks` of the lesions, if they are to lie on devices.

        Raises:
          ValueError: a stream needs TensorFlow, or devices and batch do not fit.
        """
        self._config, self._images, self._plan = config, images, plan
        self._masks = masks
        self._rows = sharding.rows(config)
        # On none, when one of several processes has no room.
        self._resident = not distributed.most(
            not resident.fits(images, config, masks=masks)
        )
        if not self._resident and importlib.util.find_spec("tensorflow") is None:
            raise ValueError(
                "data.placement=stream needs TensorFlow, which is not installed: pip "
                "install tensorflow-cpu, or data.placement=resident with a larger "
                "data.resident_mib"
            )
        # Given, not part of the program: runs on other folds and seeds compile nothing.
        key = np.asarray(jax.random.key_data(jax.random.key(config.seed)))
        self.constant = (np.asarray(plan.anchors), key)
        if self._resident:
            self.constant += (resident.arrays(images, masks=masks),)
        self.at_most = sharding.steps_per_call(config, resident=self._resident)

    def step(self, state: Any, anchors: Any, key: Any, *given: Any) -> Any:
        """One step on `(state, *constant, *inputs, hyper)`; `start` gives the inputs."""
        *data, batch, hyper = given
        if data:
            with jax.named_scope("input"):
                batch = resident.take(data[0], batch)
        config, classes = self._config, self._images.classes
        network = build(config, len(classes), anchors, sharding.axis_name(config))
        step = make_train_step(network, config, jax.random.wrap_key_data(key))
        return step(state, batch, hyper)

    def start(self, done: int) -> Iterator[tuple[Any, ...]]:
        """Inputs of each step in order, when `done` steps are done."""
        if self._resident:
            for i in range(done, self._plan.stop):
                yield (self._plan.indices(i)[self._rows],)
            return
        from tqgd_jax.data.batches.stream import stream

        stop, rows, masks = self._plan.stop, self._rows, self._masks
        for batch in stream(self._images, self._config, done, stop, rows, masks=masks):
            yield (batch,)
