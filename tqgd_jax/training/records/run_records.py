"""What a run leaves in its folder while it goes: checkpoints and figures."""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.training.non_finite import NonFinitePolicy
from tqgd_jax.training.plan import Plan
from tqgd_jax.training.records.checkpoint import Checkpoints
from tqgd_jax.training.records.log import RunLogger
from tqgd_jax.training.runtime import distributed
from tqgd_jax.training.runtime.signals import Stopped
from tqgd_jax.training.state import TrainState

log = logging.getLogger("tqgd_jax")

Metrics = dict[str, jax.Array]


class RunRecords:
    """Checkpoints, log, and what becomes of steps that are not finite.

    Of several processes the first alone reads and writes the folder; all call the same
    methods at the same steps.

    Attributes:
      step: steps that were done when the run was resumed.
      evaluated: the last step of which the checkpoint has an evaluation; 0 before.
    """

    def __init__(self, folder: Path, config: Config, plan: Plan, images: Dataset):
        """Opens the checkpoints; `resume` opens the log."""
        self._folder, self._config, self._plan = folder, config, plan
        self._names = images.names
        self._checkpoints, self._logger = None, None
        if distributed.first():
            self._checkpoints = Checkpoints(folder / "checkpoints", config.train.keep)
        self._waiting: list[tuple[range, Metrics]] = []

    def __enter__(self) -> "RunRecords":
        """These, to be closed in the end."""
        return self

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        """Waits until all is on the disk."""
        try:
            if self._logger:
                self._logger.close()
        finally:
            if self._checkpoints:
                self._checkpoints.close()
        if error is None or isinstance(error, Stopped):
            distributed.most(0)  # no process leaves before the first has written
        if error is None and (summary := self._policy.summary()):
            log.warning("%s", summary)

    def resume(self, first: TrainState) -> TrainState:
        """The state of the newest checkpoint, or `first` when there is none."""
        state, self._meta = first, {}
        begun = self._checkpoints and self._checkpoints.latest() is not None
        if self._checkpoints and begun:
            state, self._meta = self._checkpoints.restore(first, repair=True)
        if distributed.broadcast(begun):
            state = distributed.broadcast_arrays(state)
            self._meta = distributed.broadcast(self._meta)
        self.step = int(state.step)
        if self.step:
            log.info(
                "resuming %s at step %d of %d",
                *(self._folder, self.step, self._plan.stop),
            )
        self.evaluated = self._meta.get("threshold_step", 0)
        if self._checkpoints:
            self._logger = RunLogger(
                self._config,
                self._folder,
                start=self.step,
                evaluated=self.evaluated,
                stop=self._plan.stop,
                epoch=self._plan.steps_per_epoch,
            )
        self._policy = NonFinitePolicy(
            self._config.train,
            lambda i: ", ".join(self._names[j] for j in self._plan.indices(i).flat),
            self._meta.get("left_out", []),
        )
        return state

    def add(self, call: range, metrics: Metrics) -> None:
        """Takes the metrics of steps that the device may still be computing.

        Raises:
          OSError: the last checkpoint could not be written.
        """
        for x in metrics.values():
            x.copy_to_host_async()
        self._waiting.append((call, metrics))
        if self._checkpoints:
            self._checkpoints.check()

    def read(self, leave: int = 0) -> None:
        """Waits for metrics but those of the last `leave` calls, and writes them down.

        Raises:
          FloatingPointError: a step was not finite, and the policy is to stop.
        """
        rows = []
        try:
            while len(self._waiting) > leave:
                call, metrics = self._waiting.pop(0)
                values = {k: np.asarray(v) for k, v in metrics.items()}
                hyper = self._plan.schedule.at(slice(call.start, call.stop))
                for i, step in enumerate(call):
                    row = {"step": step + 1}
                    row |= {k: v[i].item() for k, v in values.items()}
                    row |= {"lr": hyper.lr[i].item()}
                    row |= {"momentum": hyper.momentum[i].item()}
                    row["skipped"] = int(row["skipped"])
                    self._policy.look(row)
                    rows.append(row)
        finally:
            if rows and self._logger:
                self._logger.steps(rows)

    def evaluation(self, step: int, results: dict[str, Any]) -> None:
        """Writes the figures of an evaluation; `save` then keeps its threshold."""
        self._meta |= {
            "threshold": results["optimistic"]["threshold"],
            "threshold_step": step,
            "AP50": results["AP50"],
        }
        if self._logger:
            self._logger.validation(step, results)

    def save(self, step: int, state: TrainState) -> None:
        """Writes a checkpoint in the background.

        Args:
          step: steps that are done.
          state: one copy.

        Raises:
          OSError: the one before could not be written.
        """
        self.read()
        if not (self._checkpoints and self._logger):
            return
        evaluated = self._meta.get("threshold_step") == step
        best = self._meta["AP50"] if evaluated else None
        meta = self._meta | {"left_out": list(self._policy.left_out)}
        self._checkpoints.save(step, state, meta, best=best)
        self._logger.start_clock(step)
