"""Cells as tasks of a Ray cluster: N GPUs of one machine, or several machines.

A task starts the command of its cell and nothing else. Ray gives it devices
(CUDA_VISIBLE_DEVICES) and starts it again elsewhere when its machine is lost; the cell then
goes on from its last checkpoint. All machines see the folder of the study.
"""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tqgd_jax.study.cell import GIVEN_BACK, words
from tqgd_jax.study.design import Cell

log = logging.getLogger("tqgd_jax")

LOST = 8  # machines that a cell may lose


def run(
    todo: Sequence[Cell],
    root: Path,
    address: str | None,
    cpus: float,
    gpus: float | None,
) -> int:
    """Runs the cells; one that fails does not end the others.

    Args:
      todo: cells.
      root: folder of the study.
      address: of a cluster; None starts one on this machine.
      cpus: cores that a cell needs.
      gpus: GPUs that it needs [1 where the cluster has any].

    Returns:
      How many failed.

    Raises:
      ValueError: Ray is not installed, or no cluster has what a cell needs.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            "--engine=ray needs Ray: pip install -r requirements-cluster.txt"
        ) from error
    ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    try:
        resources: dict[str, Any] = ray.cluster_resources()
        need = {
            "CPU": cpus,
            "GPU": (1 if resources.get("GPU") else 0) if gpus is None else gpus,
        }
        for kind, number in need.items():
            if resources.get(kind, 0) < number:
                raise ValueError(
                    f"a cell needs {number:g} {kind}, the cluster has "
                    f"{resources.get(kind, 0):g}; change --cpus or --gpus"
                )

        def start(command: list[str]) -> tuple[int, str]:
            done = subprocess.run(
                command, stderr=subprocess.PIPE, text=True, check=False
            )
            return done.returncode, done.stderr[-500:]

        need_gpus = need["GPU"]
        task: Any = ray.remote(num_cpus=cpus, num_gpus=need_gpus, max_retries=LOST)(
            start
        )
        names = {task.remote(words(cell, root)): cell.name for cell in todo}
        failed, waiting = 0, list(names)
        for _ in tqdm(range(len(waiting)), "study", unit="cell"):
            (ended,), waiting = ray.wait(waiting, num_returns=1)
            failed += _failed(names[ended], lambda task=ended: ray.get(task))
        return failed
    finally:
        ray.shutdown()


def _failed(name: str, outcome: Any) -> bool:
    try:
        status, text = outcome()
    except Exception as error:  # lost too often; Ray has many kinds
        status, text = 1, str(error).strip()
    if not status:
        return False
    last = text.strip().splitlines()[-1:]
    given_back = " (it goes on when run again)" if status in GIVEN_BACK else ""
    print(f"{name}: status {status}{given_back}: {' '.join(last)}", file=sys.stderr)
    return True
