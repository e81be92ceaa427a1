"""One cell of a study: trains and evaluates in a folder that is an ordinary run.

Whoever runs it, and however often it is killed and run again, its results are those of an
undisturbed run: `tqgd train` resumes to the bit, and `tqgd eval` writes all or nothing.
"""

import dataclasses
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tqgd_jax.io import atomic
from tqgd_jax.study.design import Cell

RESULTS = "eval-test/results.json"
FAILED, LOG, SETTINGS, LOCK = "failed.json", "log.txt", "settings.json", ".cell"
GIVEN_BACK = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # goes on when run again
# It would end the same way again.
NOT_RETRIED = ("not finite", "the device has no memory left", "is in use by process")
RETRIES = 1


class Failed(RuntimeError):
    """A cell cannot be finished; the folder says why."""


class Interrupted(RuntimeError):
    """A signal ended cells after their state was saved.

    Attributes:
      status: of a process that it ended.
    """

    def __init__(self, what: str, status: int):
        """Names the cell, or the whole of the study."""
        self.status = status
        super().__init__(f"{what}: interrupted; the same command goes on")


def commands(cell: Cell, root: Path) -> list[list[str]]:
    """What a cell runs, one process after the other."""
    folder = root.absolute() / cell.name
    tqgd = [sys.executable, "-m", "tqgd_jax"]
    return [
        [*tqgd, "train", f"--config_json={folder / SETTINGS}", f"--workdir={folder}"],
        [*tqgd, "eval", f"--workdir={folder}", "--split=test"],
    ]


def words(cell: Cell, root: Path) -> list[str]:
    """The command that does all of it, in any folder of any machine that sees `root`."""
    tqgd = [sys.executable, "-m", "tqgd_jax", "study", "cell"]
    return [*tqgd, cell.name, "--out", str(root.absolute())]


def state(cell: Cell, root: Path) -> str:
    """One of "done", "failed", "running", "stopped" (a run goes on) and "missing"."""
    folder = root / cell.name
    if (folder / RESULTS).is_file():
        return "done"
    if _locked(folder / LOCK):
        return "running"
    if (folder / FAILED).is_file():
        return "failed"
    return "stopped" if (folder / "config.json").is_file() else "missing"


def failure(cell: Cell, root: Path) -> str:
    """Why a failed cell failed."""
    return json.loads((root / cell.name / FAILED).read_text("utf-8"))["reason"]


def run(cell: Cell, root: Path) -> None:
    """Does what is left of a cell; nothing when it is done.

    Waits for another process that has the cell in hand. Of that one's death the cell's
    own processes may outlive it: they hold the lock too.

    Raises:
      Failed: it ended in an error twice, or in one that would come again.
      Interrupted: a signal came.
    """
    folder = root / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    waiting = f"{cell.name}: waiting for another process that has it in hand"
    with atomic.lock(folder / LOCK, waiting) as lock:
        if (folder / RESULTS).is_file():
            return
        settings = json.dumps(dataclasses.asdict(cell.config), indent=2) + "\n"
        with atomic.file(folder / SETTINGS) as partial:
            partial.write_text(settings)
        (folder / FAILED).unlink(missing_ok=True)
        for command in commands(cell, root):
            for attempt in range(RETRIES + 1):
                status = _process(command, folder / LOG, lock)
                if status in GIVEN_BACK:
                    raise Interrupted(cell.name, status)
                if not status:
                    break
                reason = _last_line(folder / LOG) or f"status {status}"
                if attempt == RETRIES or any(text in reason for text in NOT_RETRIED):
                    document = {"reason": reason, "status": status, "command": command}
                    with atomic.file(folder / FAILED) as partial:
                        partial.write_text(json.dumps(document, indent=2) + "\n")
                    raise Failed(f"{cell.name}: {reason} (all of it: {folder / LOG})")


def _process(command: list[str], log: Path, lock: int) -> int:
    """Runs a command to its end, its output behind the log; returns its status.

    SIGTERM goes on to it. A terminal sends SIGINT to both.
    """
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        child = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, pass_fds=(lock,)
        )

    def forward(signum: int, frame: Any) -> None:
        del frame
        if signum == signal.SIGTERM:
            child.send_signal(signum)

    before = {s: signal.signal(s, forward) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = child.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return status if status >= 0 else 128 - status


def _locked(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with atomic.lock(path):
            return False
    except RuntimeError:
        return True


def _last_line(log: Path) -> str:
    """The last line of the newest output without progress bars, 500 characters at most."""
    text = log.read_text("utf-8", errors="replace").rpartition("\n$ ")[2]
    lines = [line.rpartition("\r")[2].strip() for line in text.splitlines()[1:]]
    return next((line[:500] for line in reversed(lines) if line), "")
