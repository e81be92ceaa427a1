"""One damaged file and its reader under observation, in a process of their own."""

import contextlib
import logging
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.fuzz.mutations import mutated
from bench.fuzz.targets import Target

PACKAGE = Path(__file__).parents[2] / "tqgd_jax"
SECRETS = ("secret.raw", "secret.mhd")  # beside the folder that is read
MOST_SECONDS = 5.0  # of processor time
MOST_BYTES = 2**30  # beyond what the process had


class Outcome(NamedTuple):
    """What became of a file.

    Attributes:
      kind: "read", "refused", or the finding: "crash", "foreign error", "unnamed file",
        "hang", "memory", "outside".
      where: the place in the code, to tell findings apart.
      text: for a person.
    """

    kind: str
    where: str = ""
    text: str = ""


def damaged(name: str, target: Target, seed: int, case: int) -> bytes:
    """The file of a case: the same for the same numbers."""
    rng = np.random.default_rng([seed, *name.encode(), case])
    data = target.seeds[int(rng.integers(len(target.seeds)))]
    data = mutated(rng, data, target.seeds)
    return target.sealed(rng, data) if target.sealed else data


class Watch:
    """Reads files of one target in a folder and judges what happens.

    The process is changed for good (an audit hook, limits, signals): it should be one
    that ends afterwards.
    """

    def __init__(self, target: Target, folder: Path):
        """Lays down what lies beside the file, and what must not be read."""
        self._target, self._ready = target, False
        self._place = folder / "here"
        self._place.mkdir()
        for name, content in target.beside.items():
            (self._place / name).write_bytes(content)
        self._secrets = [folder / name for name in SECRETS]
        for path in self._secrets:
            path.write_bytes(b"NDims = 3\n" + bytes(38))
        temporary = folder / "temporary"  # of readers that need one
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        self._allowed = (str(self._place), str(temporary))
        self._opened: list[str] = []
        self._armed = False
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("error")
        self._base = 0
        for data in target.seeds:  # imports what it needs
            self.of(data)
        self._ready = True
        sys.addaudithook(self._hook)
        signal.signal(signal.SIGPROF, self._too_long)
        self._base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        vast = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
        resource.setrlimit(resource.RLIMIT_AS, (vast + 4 * MOST_BYTES, -1))

    def of(self, data: bytes) -> Outcome:
        """What becomes of a file with these bytes."""
        path = self._place / self._target.name
        path.write_bytes(data)
        for secret in self._secrets:
            os.utime(secret, (0, secret.stat().st_mtime))
        self._opened.clear()
        began, outcome = time.process_time(), Outcome("read")
        try:
            with self._limited():
                self._target.read(path)
        except Exception as error:
            outcome = _judged(error, path)
        spent = time.process_time() - began
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        looked = [p.name for p in self._secrets if p.stat().st_atime > 0]
        if opened := looked + self._opened:
            return Outcome("outside", opened[0], f"read {', '.join(opened)}")
        if spent > MOST_SECONDS:
            return Outcome("hang", outcome.where, f"{spent:.1f} s of processor time")
        if self._ready and used - self._base > MOST_BYTES:
            return Outcome("memory", outcome.where, f"{(used - self._base) >> 20} MiB")
        return outcome

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        signal.setitimer(signal.ITIMER_PROF, 1.2 * MOST_SECONDS)
        self._armed = self._ready
        try:
            yield
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _too_long(self, *_: object) -> None:
        raise TimeoutError("stopped")

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        if event != "open" or not self._armed or not isinstance(given[0], str | bytes):
            return
        name = os.path.realpath(os.fsdecode(given[0]))
        if not name.startswith(self._allowed) and not name.endswith(".pyc"):
            self._opened.append(name)


def _judged(error: Exception, path: Path) -> Outcome:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(PACKAGE)]
    last = ours[-1] if ours else frames[-1]
    where = f"{Path(last.filename).name}:{last.lineno} {type(error).__name__}"
    text = f"{type(error).__name__}: {str(error)[:500]}"
    own = frames[-1] is last and bool(ours)
    if not isinstance(error, ValueError | OSError) or not own:
        return Outcome("foreign error", where, text)
    if path.name not in str(error) and str(path.parent) not in str(error):
        return Outcome("unnamed file", where, text)
    return Outcome("refused", where, text)
