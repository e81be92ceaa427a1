"""Cells as tasks of a Ray cluster: N GPUs of one machine, or several machines.

A task starts the command of its cell and nothing else. Ray gives it devices
(CUDA_VISIBLE_DEVICES) and starts it again elsewhere when its machine is lost; the cell then
goes on from its last checkpoint. All machines see the folder of the study.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tqgd_jax.study.cell import GIVEN_BACK, Interrupted, words
from tqgd_jax.study.design import Cell

log = logging.getLogger("tqgd_jax")

LOST = 8  # machines that a cell may lose


def run(
    todo: Sequence[Cell],
    root: Path,
    address: str | None,
    cpus: float,
    gpus: float | None,
) -> None:
    """Runs the cells; one that fails does not end the others.

    Args:
      todo: cells.
      root: folder of the study.
      address: of a cluster; None starts one on this machine.
      cpus: cores that a cell needs.
      gpus: GPUs that it needs [1 where the cluster has any].

    Raises:
      Interrupted: SIGINT or SIGTERM came; the cells have saved their state.
      ValueError: Ray is not installed, or no machine has what a cell needs.
    """
    os.environ.setdefault(
        "RAY_USAGE_STATS_ENABLED", "0"
    )  # it would report to its makers
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            "--engine=ray needs Ray: pip install -r requirements-cluster.txt"
        ) from error
    ray.init(
        address=address or "local", log_to_driver=False, logging_level=logging.WARNING
    )
    caught: list[int] = []

    def note(signum: int, frame: Any) -> None:
        del frame
        caught.append(signum)
        restore()  # a second signal is not held back

    # Ray's own, set above, would kill the cells.
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    try:
        need = needed(ray.nodes(), cpus, gpus)
        task: Any = ray.remote(
            num_cpus=need["CPU"], num_gpus=need["GPU"], max_retries=LOST
        )(_task())
        names = {task.remote(words(cell, root)): cell.name for cell in todo}
        waiting, cancelled = list(names), False
        with tqdm(total=len(waiting), desc="study", unit="cell") as bar:
            while waiting:
                # It breaks on an exception of a signal handler, so it looks up instead.
                ended, waiting = ray.wait(waiting, num_returns=1, timeout=1)
                for each in ended:
                    bar.update()
                    _report(names[each], lambda each=each: ray.get(each))
                if caught and not cancelled:
                    log.warning("%s: the cells save", signal.Signals(caught[0]).name)
                    for each in waiting:
                        ray.cancel(each)
                    cancelled = True
        if caught:
            raise Interrupted("study", 128 + caught[0])
    finally:
        restore()
        ray.shutdown()


def _task() -> Callable[[list[str]], tuple[int, str]]:
    """What a worker runs; made here, so that Ray sends all of it and imports nothing."""

    def start(command: list[str]) -> tuple[int, str]:
        """Status and last words; a cancelled task sends SIGTERM and waits."""
        # A shell's "&" has SIGINT ignored, by which Ray cancels.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while True:
            try:
                _, text = child.communicate(timeout=1)
                return child.returncode, text[-500:]
            except subprocess.TimeoutExpired:
                pass  # Ray cancels between two instructions, not within a wait
            except KeyboardInterrupt:
                child.terminate()

    return start


def needed(
    nodes: list[dict[str, Any]], cpus: float, gpus: float | None
) -> dict[str, float]:
    """What a cell asks Ray for, which one machine at least must have.

    Args:
      nodes: of the cluster, as `ray.nodes()` has them.
      cpus: cores that a cell needs.
      gpus: GPUs that it needs [1 where a machine has any].

    Raises:
      ValueError: none has.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    if gpus is None:
        gpus = float(any(machine.get("GPU") for machine in machines))
    need = {"CPU": cpus, "GPU": gpus}
    if not any(all(m.get(k, 0) >= n for k, n in need.items()) for m in machines):
        has = ", ".join(
            f"{m.get('CPU', 0):g} CPU and {m.get('GPU', 0):g} GPU" for m in machines
        )
        raise ValueError(
            f"a cell needs {cpus:g} CPU and {gpus:g} GPU of one machine; there are: {has}; "
            "change --cpus or --gpus"
        )
    return need


def _report(name: str, outcome: Any) -> None:
    """Prints what a cell ended with, unless it is done or had not begun."""
    try:
        status, text = outcome()
    except Exception as error:  # lost too often; Ray has many kinds
        if type(error).__name__ == "TaskCancelledError":
            return
        status, text = 1, str(error).strip()
    if not status:
        return
    last = text.strip().splitlines()[-1:]
    given_back = " (it goes on when run again)" if status in GIVEN_BACK else ""
    print(f"{name}: status {status}{given_back}: {' '.join(last)}", file=sys.stderr)
