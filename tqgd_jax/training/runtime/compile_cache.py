"""Programs that XLA has compiled in this process, and the cache that saves doing it."""

import contextlib
import hashlib
import logging
import platform
from pathlib import Path
from typing import Any

import jax

from tqgd_jax.io import atomic, cache

log = logging.getLogger("tqgd_jax")

MOST = 2 << 30  # bytes of kept programs; TQGDNet on a CPU leaves some 20 MB a run
_EVENT = "/jax/core/compile/backend_compile_duration"
_seconds: list[float] = []


def _note(event: str, duration_secs: float, **_: str | int) -> None:
    if event == _EVENT:
        _seconds.append(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_note)


def compilations() -> int:
    """Programs compiled, or read from the cache, since this module was imported."""
    return len(_seconds)


def use_cache() -> Path | None:
    """Keeps compiled programs for the next process; returns the folder.

    JAX's own settings win: JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE. The
    folder is one for each kind of processor, because what XLA compiles for one may not
    run on another that shares the home directory. What was not used for longest goes
    when all of them hold more than `MOST` bytes.
    """
    config: Any = jax.config  # its flags have no declared types
    if not config.jax_enable_compilation_cache:
        return None
    folder = config.jax_compilation_cache_dir
    if folder is None:
        try:
            named = cache.home() / "xla" / _machine()
            folder = str(atomic.made(named, "set $TQGD_CACHE to another folder"))
            _forget(cache.home() / "xla", MOST)
        except (ValueError, OSError) as error:  # only time is lost
            log.warning("programs are compiled anew in each process: %s", error)
            config.update("jax_enable_compilation_cache", False)
            return None
        config.update("jax_compilation_cache_dir", folder)
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return Path(folder)


def _forget(folder: Path, most: int) -> None:
    """Removes the files that were not read or written for longest, down to `most` bytes.

    JAX's own bound needs the package filelock, and fails on files from before it.
    """
    files = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process may tidy up too
            if path.is_file():
                state = path.stat()
                used = max(state.st_atime, state.st_mtime)
                files.append((used, state.st_size, path))
    size = sum(held for _, held, _ in files)
    for _, held, path in sorted(files):
        if size <= most:
            break
        path.unlink(missing_ok=True)
        size -= held


def _machine() -> str:
    """A short name of what decides which instructions XLA may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next(
            line for line in lines if line.startswith(("flags", "Features"))
        )
    except (OSError, StopIteration):
        features = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
