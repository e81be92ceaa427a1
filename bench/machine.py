"""Where it was measured: `python -m bench.machine` prints it as JSON.

Imports no PyTorch: its version comes from its metadata.
"""

import contextlib
import gc
import json
import os
import platform
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tqgd_jax import heap

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "tensorflow")


def facts():
    """Device, processor and versions."""
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return {
        "platform": jax.default_backend(),
        "device": ", ".join(sorted({d.device_kind for d in jax.devices()})),
        "devices": jax.device_count(),
        "device_memory_mib": round(stats.get("bytes_limit", 0) / 2**20) or None,
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        ),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def headline(machine):
    """One line of Markdown."""
    versions = ", ".join(
        f"{name} {number}" if number else f"no {name}"
        for name, number in machine["versions"].items()
    )
    return (
        f"{machine['platform']}: {machine['device']} ({machine['devices']}); "
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB; "
        f"Python {machine['python']}, {versions}"
    )


def _cpu():
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x for x in lines if x.startswith("model name")).split(": ")[1]
    return platform.processor() or platform.machine()


def _version(name):
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    # TensorFlow's CPU build is the same package by another name.
    return _version("tensorflow-cpu") if name == "tensorflow" else None


class Host:
    """Seconds on the clock and of the processor, this process and its children.

    Use as a context; `cores` is processor seconds per second.
    """

    def __enter__(self):
        self._start = self._now()
        return self

    def __exit__(self, *_):
        wall, cpu = self._now()
        self.wall, self.cpu = wall - self._start[0], cpu - self._start[1]
        self.cores = self.cpu / self.wall

    @staticmethod
    def _now():
        each = [
            resource.getrusage(who)
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in each)


class HostMemory:
    """What a part of this process adds to its memory at most, in MiB.

    Made before that part is built; `reset` when it is compiled; `peak` after a call.
    Linux only: it sets the high-water mark back, which needs no child process. None
    where the system does not let it.
    """

    def __init__(self):
        gc.collect()
        heap.trim()  # or freed memory counts as used
        self._base = _status("VmRSS")

    def reset(self):
        """Forgets the peak so far, of compilation for example."""
        heap.trim()
        self._can = True
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._can = False

    def peak(self):
        """Since `reset`, above what there was at the start."""
        if not self._can or self._base is None:
            return None
        return _status("VmHWM") - self._base


def _status(field):
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(x for x in lines if x.startswith(field)).split()[1]) / 1024
    return None


if __name__ == "__main__":
    print(json.dumps(facts(), indent=1))
