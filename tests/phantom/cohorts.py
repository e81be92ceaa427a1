"""Small cohorts, made once for all tests of this folder."""

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from tqgd_jax.phantom.dataset import simulate

SMALL: dict[str, Any] = {"patients": 2, "slices": 10, "size": 128}


@functools.cache
def cohort(preset: str, workers: int) -> Path:
    out = Path(tempfile.mkdtemp(prefix="phantom-")) / "set"
    simulate(out, preset=preset, seed=5, workers=workers, **SMALL)
    return out


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file()
    }
