"""Orbax checkpoints: the whole state in float32, and what evaluation needs beside it."""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from tqgd_jax.training.state import TrainState

log = logging.getLogger("tqgd_jax")


class Checkpoints:
    """The folder of checkpoints of a run, newest last.

    Orbax writes a step aside and renames it when it is complete, so a killed run leaves
    either the whole step or none.
    """

    def __init__(self, folder: Path, keep: int = 2):
        """Opens or makes the folder; beyond `keep`, the oldest steps are deleted."""
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
        )

    def latest(self) -> int | None:
        """The newest complete step."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, meta: dict[str, Any]) -> None:
        """Writes `state` (one copy) and `meta` (plain data); goes on in the background.

        Raises:
          RuntimeError: the folder has this step or a later one.
        """
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_named(state)),
                meta=ocp.args.JsonSave(meta),
            ),
        )
        if not saved:
            raise RuntimeError(
                f"step {step} was not saved: {self._manager.directory} already holds "
                f"step {self.latest()}; another run writes there, or files were copied in"
            )

    def restore(
        self, like: TrainState, step: int | None = None, *, repair: bool = False
    ) -> tuple[TrainState, dict[str, Any]]:
        """The state (NumPy arrays) and plain data of a step, as a rule the newest.

        Falls back to an older step, with a warning, when the newest cannot be read.

        Args:
          like: a state of the same shapes.
          step: which; None is the newest.
          repair: moves steps that cannot be read out of the way, to `damaged-STEP`
            beside the folder, so that the run can be written on.

        Raises:
          FileNotFoundError: there is no step, or not this one.
          ValueError: none of the steps can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        if step is not None:
            steps = [s for s in steps if s == step]
        if not steps:
            wanted = "" if step is None else f" of step {step}"
            raise FileNotFoundError(
                f"{self._manager.directory} holds no complete checkpoint{wanted}; train "
                "first, with train.py and the same --workdir"
            )
        template = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), _named(like))
        unreadable = []
        for newest in steps:
            try:
                found = self._manager.restore(
                    newest,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(template),
                        meta=ocp.args.JsonRestore(),
                    ),
                )
                state = TrainState(**_unnamed(found["state"], like))
            except (ValueError, OSError, KeyError) as error:
                log.warning(
                    "checkpoint %s/%d cannot be read (%s); trying the one before",
                    self._manager.directory, newest, str(error).splitlines()[0],
                )  # fmt: skip
                unreadable.append(newest)
                continue
            if repair:
                self._move_aside(unreadable)
            return state, found["meta"]
        raise ValueError(
            f"none of the checkpoints {steps} in {self._manager.directory} can be read "
            "with this configuration; restore the folder from a copy or delete it to "
            "train again"
        )

    def _move_aside(self, steps: list[int]) -> None:
        folder = Path(self._manager.directory)
        for step in steps:
            aside = folder.parent / f"damaged-{step}"
            while aside.exists():
                aside = aside.with_name(f"{aside.name}-again")
            (folder / str(step)).rename(aside)
        if steps:
            self._manager.reload()

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then lets the folder go."""
        self._manager.wait_until_finished()
        self._manager.close()


def _named(state: TrainState) -> dict[str, Any]:
    """Plain dicts and lists; nodes without leaves (optax's) are left out."""
    fields = state._asdict()
    fields["opt_state"] = dict(_numbered(jax.tree.leaves(fields["opt_state"])))
    return {k: v for k, v in fields.items() if jax.tree.leaves(v)}


def _unnamed(found: dict[str, Any], like: TrainState) -> dict[str, Any]:
    fields = like._asdict() | found
    leaves = [found["opt_state"][k] for k, _ in _numbered(found["opt_state"])]
    fields["opt_state"] = jax.tree.unflatten(jax.tree.structure(like.opt_state), leaves)
    return fields


def _numbered(items: Any) -> list[tuple[str, Any]]:
    """Pairs of "0000", "0001", … and the items."""
    return [(f"{i:04d}", item) for i, item in enumerate(items)]
