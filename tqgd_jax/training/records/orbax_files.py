"""Trees of arrays in Orbax's format, by one process, without Orbax's own log."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp


def save(place: Path, tree: dict[str, Any]) -> None:
    """Writes a tree into a new folder.

    Raises:
      OSError, ValueError, RuntimeError: it cannot be written; Orbax tells of a full disk
        in all of these ways.
    """
    with _quiet(), _orbax() as orbax:
        orbax.save(place, args=ocp.args.StandardSave(tree))


def restore(place: Path) -> dict[str, Any]:
    """The tree. Without a template: Orbax would cut or fill arrays to the shapes of one."""
    with _orbax() as orbax:
        return orbax.restore(place, args=ocp.args.StandardRestore())


def reason(error: Exception) -> str:
    """The cause in a line; of a full disk Orbax names a tensor first, and a database."""
    if "No space left" in str(error):
        return "No space left on device"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _orbax() -> ocp.Checkpointer:
    if jax.process_count() == 1:
        return ocp.Checkpointer(ocp.StandardCheckpointHandler())
    me = jax.process_index()  # one of several writes; Orbax would wait for all of them
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"alone{me}"
    )
    return ocp.Checkpointer(
        ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        multiprocessing_options=alone,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what Orbax raises from being printed by each of its threads as well.

    After an error it stays so: threads of TensorStore then still tell, one after the
    other, that nobody waits for them any more.
    """

    def of_others(record: logging.LogRecord) -> bool:
        return "orbax" not in Path(record.pathname).parts

    def unraisable(error: Any) -> None:
        if str(error.exc_value) != "Event loop is closed":
            before(error)

    logger, before = logging.getLogger("absl"), sys.unraisablehook
    logger.addFilter(of_others)
    sys.unraisablehook = unraisable
    yield
    logger.removeFilter(of_others)
    sys.unraisablehook = before
