"""SIGINT and SIGTERM end a run in order, on all of its processes at the same step."""

import logging
import signal
from collections.abc import Callable
from typing import Any

from tqgd_jax.training.runtime import distributed

log = logging.getLogger("tqgd_jax")


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
    """A signal came during something that a signal may end."""


class Signals:
    """Notes SIGINT and SIGTERM instead of dying; a second Ctrl-C is not held back.

    Attributes:
      caught: the signal that all processes of the run know of; 0 before.
    """

    def __init__(self) -> None:
        """Nothing is changed before `with`."""
        self.caught = self._own = 0
        self._may_interrupt = False

    def __enter__(self) -> "Signals":
        """Takes both signals."""
        self._before = {
            s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        """Gives them back."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def agree(self) -> None:
        """A signal of one process becomes one of all; all have to ask."""
        # The handler may have set it meanwhile.
        self.caught = max(self.caught, distributed.most(self._own))

    def interruptible(self, function: Callable[..., Any], *args: Any) -> Any:
        """What the function returns; None when a signal of this process ended it."""
        try:
            self._may_interrupt = True
            return None if self._own else function(*args)
        except _Interrupted:
            return None
        finally:
            self._may_interrupt = False

    def _note(self, signum: int, frame: Any) -> None:
        del frame
        if self._own:
            if signum == signal.SIGINT:
                raise KeyboardInterrupt
            return  # a scheduler that asks twice
        self._own = signum
        if distributed.count() == 1:
            self.caught = signum
        log.warning("%s: finishing this step", signal.Signals(signum).name)
        if self._may_interrupt:
            raise _Interrupted
