"""Several processes, on one host or many, that train one model.

Each computes its rows of every batch. The first alone reads and writes the workdir and
tells the others what they need to know. docs/scaling.md.
"""

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from tqgd_jax.config import Config, differences, from_dict
from tqgd_jax.training.records import workdir

log = logging.getLogger("tqgd_jax")

START_S, SILENCE_S, LEAVE_S = 300, 60, 15  # how long one process waits for another
OWN = (*workdir.PLACES, "data.prefetch", "data.resident_mib")  # of each host
WATCHER = """
import signal, sys
for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(s, signal.SIG_IGN)
if not sys.stdin.buffer.read():
    print(sys.argv[1], file=sys.stderr)
"""


@contextlib.contextmanager
def joined(
    coordinator: str | None,
    processes: int | None,
    process: int | None,
    *,
    automatic: bool,
) -> Iterator[None]:
    """Makes this process one of several; of one alone when nothing is asked for.

    JAX must not have looked for devices before. When another process ends early, this
    one ends too, with a last line on stderr that says so; its status is not 0.

    Args:
      coordinator: "HOST:PORT" of the first process.
      processes: how many.
      process: which this is, from 0.
      automatic: JAX finds out what is None, from Slurm or Open MPI for example.

    Raises:
      ValueError: something is missing.
      RuntimeError: the others were not found.
    """
    given = (coordinator, processes, process)
    if not automatic and given == (None, None, None):
        yield
        return
    if not automatic and None in given:
        raise ValueError(
            f"--coordinator={coordinator} --processes={processes} --process={process}: "
            "give all three, or --distributed under Slurm or Open MPI"
        )
    _start(coordinator, processes, process)
    message = (
        f"{Path(sys.argv[0]).name}: process {jax.process_index()} of {count()} has "
        "ended before the run was done: it was killed, or another process of the run "
        "ended first (the output of that one says why). The last checkpoint is whole; "
        "when all processes have ended, give the same commands again"
    )
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WATCHER, message],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    except Exception as error:
        if not _of_the_others(error):
            watcher.communicate(b"done")  # the error says all
            raise
        log.error("%s", str(error).splitlines()[0])
        watcher.communicate(b"")
        os._exit(1)  # an orderly end would wait for the one that is gone
    most(0)  # all are done
    jax.distributed.shutdown()
    watcher.communicate(b"done")


def _start(coordinator: str | None, processes: int | None, process: int | None) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM away from the loop.
    jax.config.update("jax_enable_preemption_service", False)
    here = (coordinator or "").rpartition(":")[0] in ("127.0.0.1", "localhost")
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=START_S,
            heartbeat_timeout_seconds=SILENCE_S,
            shutdown_timeout_seconds=LEAVE_S,
            coordinator_bind_address=coordinator if here else None,
        )
    except (ValueError, RuntimeError) as error:
        raise RuntimeError(
            f"the processes of the run were not found ({str(error).splitlines()[0]}): "
            f"coordinator {coordinator}, process {process} of {processes}. Start all of "
            f"them within {START_S} s, each with its own --process from 0, and let the "
            "port of the first be reached from the others"
        ) from error
    if not first():
        log.setLevel(logging.WARNING)  # the first one tells


def _of_the_others(error: Exception) -> bool:
    """Whether a collective operation failed: JAX has no type for that."""
    text = f"{error}"
    return any(word in text for word in ("Gloo", "NCCL", "coordination service"))


def count() -> int:
    """Processes of the run."""
    return jax.process_count()


def first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def most(value: int) -> int:
    """The largest that a process gives; all have to ask, and wait for each other."""
    if count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.int32(value)).max())


def broadcast(value: Any) -> Any:
    """What the first process gives, plain data; all have to ask."""
    return value if count() == 1 else json.loads(_sent(json.dumps(value).encode()))


def broadcast_arrays(tree: Any) -> Any:
    """A tree of arrays as the first process gives it; all have to ask, with like trees."""
    if count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    data = _sent(b"".join(x.tobytes() for x in leaves))
    ends = np.cumsum([x.nbytes for x in leaves])
    received = [
        np.frombuffer(data, x.dtype, x.size, end - x.nbytes).reshape(x.shape)
        for x, end in zip(leaves, ends, strict=True)
    ]
    return jax.tree.unflatten(structure, received)


def same(config: Config, facts: dict[str, Any]) -> None:
    """Holds the run of each process against that of the first.

    Raises:
      ValueError: on all of them, when one has other settings or data.
    """
    theirs = broadcast({"config": dataclasses.asdict(config), "facts": facts})
    reference = from_dict(Config, theirs["config"], "the first process")
    changed = [n for n in differences(reference, config) if n not in OWN]
    changed += [n for n, x in facts.items() if theirs["facts"].get(n) != x]
    if most(len(changed)):
        raise ValueError(
            "the processes of a run need the same settings and data; this one differs "
            f"from the first in: {', '.join(changed) or 'nothing, but another does'}"
        )


def _sent(own: bytes) -> bytes:
    """The bytes of the first process."""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(own))))
    data = np.frombuffer(own, np.uint8) if first() else np.zeros(size, np.uint8)
    return multihost_utils.broadcast_one_to_all(data).tobytes()
