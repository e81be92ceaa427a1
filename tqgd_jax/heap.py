"""The C library's heap, from which XLA on a CPU takes the scratch memory of a program.

XLA asks for it anew in every call, hundreds of MiB in one piece. glibc would map that and
unmap it again, and the system clear each page of it: 87,000 page faults a step of
YOLOv5s, 320 px, batch 4. docs/design/0024-convolutions-on-a-cpu.md has what is gained.
Elsewhere than with glibc nothing happens.
"""

import ctypes
import sys

# malloc.h of glibc
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
NEVER = -1


def keep() -> None:
    """From now on memory that is freed stays with the process.

    To be called before JAX starts its threads: all of them are to share one heap.
    """
    for setting, value in ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER)):
        _call("mallopt", setting, value)


def trim() -> None:
    """Gives back what is free now, such as what compiling took, once."""
    _call("malloc_trim", 0)


def _call(name: str, *numbers: int) -> None:
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), name):
        getattr(libc, name)(*numbers)
