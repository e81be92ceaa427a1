"""What the process does with memory that was freed."""

import os
import platform
import subprocess
import sys

import pytest

TWICE = """
import resource
import numpy as np
from tqgd_jax import heap

def pages():
    return int(open("/proc/self/statm").read().split()[1])

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**26, np.uint8).fill(1)  # 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
heap.keep()
faults()
print(faults())
held = pages()
heap.trim()
print(held - pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other malloc is told")
def test_freed_memory_stays_until_it_is_trimmed():
    run = subprocess.run(
        [sys.executable, "-c", TWICE],
        env=os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0", "GLIBC_TUNABLES": ""},
        capture_output=True,
        check=True,
    )
    before, kept, trimmed = map(int, run.stdout.split())
    assert before > 16_000
    assert kept < 100
    assert trimmed > 16_000
