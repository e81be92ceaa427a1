"""Where the compiled steps get their batches: from the device, or from a stream."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.data.batches import resident
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.training.plan import Plan
from tqgd_jax.training.runtime import distributed, sharding
from tqgd_jax.training.step import Step


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

    def step_from(self, make_step: Callable[[Any, Any], Step]) -> Callable[..., Any]:
        """The step on `(state, *constant, *inputs, hyper)`; `start` gives the inputs.

        Args:
          make_step: from anchors and random key to a step on batches.
        """

        def step(state: Any, anchors: Any, key: Any, *given: Any) -> Any:
            *data, batch, hyper = given
            if data:
                with jax.named_scope("input"):
                    batch = resident.take(data[0], batch)
            return make_step(anchors, jax.random.wrap_key_data(key))(
                state, batch, hyper
            )

        return step

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
