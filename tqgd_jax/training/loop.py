"""The loop: steps, evaluations, checkpoints, and an orderly end to all of them."""

import contextlib
import itertools
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.training.non_finite import NonFinitePolicy
from tqgd_jax.training.optim import Hyper
from tqgd_jax.training.records.checkpoint import Checkpoints
from tqgd_jax.training.records.log import RunLogger
from tqgd_jax.training.runtime import distributed
from tqgd_jax.training.runtime.sharding import CompiledSteps
from tqgd_jax.training.state import TrainState

log = logging.getLogger("tqgd_jax")

Inputs = Callable[[int], Iterator[tuple[Any, ...]]]  # iteration -> from there on
Evaluate = Callable[[Any], dict[str, Any]]  # EMA variables -> results


class Stopped(RuntimeError):
    """A signal ended the run after its state was saved.

    Attributes:
      signum: which.
    """

    def __init__(self, signum: int, step: int):
        """Names the signal and the step that was saved."""
        self.signum = signum
        super().__init__(
            f"{signal.Signals(signum).name}: saved step {step}; the same command goes on"
        )


class _Interrupted(Exception):
    """A signal came during an evaluation."""


@dataclass
class Loop:
    """A run from one iteration to another.

    Attributes:
      config: of the run.
      program: the compiled steps.
      schedule: of the whole run, see `optim.plan`.
      inputs: the steps' inputs in order, from an iteration on.
      checkpoints: where the state goes.
      journal: where the figures go.
      trouble: what becomes of iterations that are not finite.
      evaluate: on the validation split; None when there is none.
      steps_per_epoch: iterations of an epoch.
      meta: plain data stored with each checkpoint; gets `threshold` from evaluations.
    """

    config: Config
    program: CompiledSteps
    schedule: Hyper
    inputs: Inputs
    checkpoints: Checkpoints
    journal: RunLogger
    trouble: NonFinitePolicy
    evaluate: Evaluate | None
    steps_per_epoch: int
    meta: dict[str, Any]

    def run(self, state: TrainState, start: int, stop: int) -> TrainState:
        """Trains until `stop` iterations are done.

        Args:
          state: at `start`, one copy.
          start: iterations that are done.
          stop: iterations that are done at the end.

        Returns:
          The state at the end, one copy. All of it is on disk.

        Raises:
          FloatingPointError: the loss or the gradient is not finite, and the policy is
            to stop; nothing of that step is saved.
          Stopped: a signal came; the state is saved.
          OutOfMemory: of a device.
        """
        self._noted: list[int] = []  # signals of this process
        # Those that all know of.
        self._caught = self._noted if distributed.count() == 1 else []
        self._evaluating = False
        with contextlib.closing(self.journal), self._signals():
            with self.program.memory():
                state = self._go(self.program.place(state), start, stop)
            self.checkpoints.wait()
        return self.program.one(state)

    def _go(self, state: TrainState, start: int, stop: int) -> TrainState:
        """Placed state at `start` to placed state at `stop`."""
        waiting: list[tuple[int, int, dict[str, jax.Array]]] = []
        inputs = self.inputs(start)
        done = start
        if self._due_evaluation(done, stop) and self.journal.judged != done:
            self._judge(done, state)  # a signal ended it
            if self._caught:
                raise Stopped(self._caught[0], done)
            if done == self.checkpoints.latest():
                self._save(done, state)  # again, with the figures
        while done < stop:
            n = min(self.program.steps, self._next_stop(done, stop) - done)
            state, metrics = self.program(
                state,
                list(itertools.islice(inputs, n)),
                self.schedule.at(slice(done, done + n)),
            )
            for x in metrics.values():
                x.copy_to_host_async()
            waiting.append((done, n, metrics))
            done += n
            self.checkpoints.check()
            judge = self._due_evaluation(done, stop)
            save = judge or self._due_checkpoint(done, stop)
            look = done - waiting[0][0] - n >= self.config.train.log_every
            if distributed.count() > 1 and (save or look):
                self._read(waiting, leave=0)
                self._agree()
            elif save or self._caught:
                self._read(waiting, leave=0)
            elif look:
                self._read(waiting, leave=1)  # the newest is still being computed
            if judge and not self._caught:
                self._judge(done, state)
            if save or self._caught:
                self._read(waiting, leave=0)  # a signal came while others were read
                self._save(done, state)
            if self._caught and (done < stop or judge):
                self.checkpoints.wait()
                raise Stopped(self._caught[0], done)
        return state

    def _read(self, waiting: list[tuple[int, int, Any]], leave: int) -> None:
        """Waits for metrics, looks at them, writes them down."""
        rows = []
        while len(waiting) > leave:
            first, n, metrics = waiting.pop(0)
            values = {k: np.asarray(v) for k, v in metrics.items()}
            hyper = self.schedule.at(slice(first, first + n))
            for i in range(n):
                row = {"step": first + i + 1}
                row |= {k: v[i].item() for k, v in values.items()}
                row |= {"lr": hyper.lr[i].item(), "momentum": hyper.momentum[i].item()}
                row["skipped"] = int(row["skipped"])
                try:
                    self.trouble.look(row)
                except FloatingPointError:
                    if rows:
                        self.journal.steps(rows)
                    raise
                rows.append(row)
        if rows:
            self.journal.steps(rows)

    def _judge(self, step: int, state: TrainState) -> None:
        """Evaluates; a signal ends it, and the run does it again when it goes on."""
        assert self.evaluate is not None
        results = None
        try:
            self._evaluating = True
            results = self.evaluate(self.program.one(state.ema))
        except _Interrupted:
            pass
        finally:
            self._evaluating = False
        self._agree()
        if results is None or self._caught:
            return
        self.meta |= {
            "threshold": results["optimistic"]["threshold"],
            "threshold_step": step,
            "evaluated": step,
            "AP50": results["AP50"],
        }
        self.journal.validation(step, results)

    def _agree(self) -> None:
        """A signal of one process becomes one of all, at the same step."""
        if distributed.count() > 1 and (
            signum := distributed.most(max(self._noted, default=0))
        ):
            self._caught.append(signum)

    def _save(self, step: int, state: TrainState) -> None:
        best = self.meta.get("AP50") if self.meta.get("evaluated") == step else None
        meta = self.meta | {"left_out": list(self.trouble.left_out)}
        self.checkpoints.save(step, self.program.one(state), meta, best=best)
        self.journal.start_clock(step)

    def _due_evaluation(self, step: int, stop: int) -> bool:
        if self.evaluate is None or step == 0:
            return False
        epoch, within = divmod(step, self.steps_per_epoch)
        every = self.config.train.eval_every
        return step == stop or (within == 0 and every > 0 and epoch % every == 0)

    def _due_checkpoint(self, step: int, stop: int) -> bool:
        train = self.config.train
        epoch, within = divmod(step, self.steps_per_epoch)
        return (
            step == stop
            or (within == 0 and epoch % train.checkpoint_every == 0)
            or (train.checkpoint_steps > 0 and step % train.checkpoint_steps == 0)
        )

    def _next_stop(self, step: int, stop: int) -> int:
        """The next step after which the host has something to do."""
        epoch_end = (step // self.steps_per_epoch + 1) * self.steps_per_epoch
        every = self.config.train.checkpoint_steps
        more = (step // every + 1) * every if every else stop
        return min(stop, epoch_end, more)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Notes SIGINT and SIGTERM instead of dying; a second Ctrl-C is not held back."""

        def note(signum: int, frame: Any) -> None:
            del frame
            if self._noted:
                if signum == signal.SIGINT:
                    raise KeyboardInterrupt
                return  # a scheduler that asks twice
            self._noted.append(signum)
            log.warning("%s: finishing this step", signal.Signals(signum).name)
            if self._evaluating:
                raise _Interrupted

        old = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for s, handler in old.items():
                signal.signal(s, handler)
