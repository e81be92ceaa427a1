"""The one rule by which folders are looked through.

Links are followed, each folder once, so a link back ends nowhere. Hidden files and what
macOS leaves are no data. What cannot be looked at is logged: nothing is lost in silence.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger("tqgd_jax")


def files(root: Path) -> list[Path]:
    """Files below a folder, folder by folder, by name."""
    paths = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=_warn, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # a link back
            folders.clear()
            continue
        seen.add(real)
        # macOS leaves "._x.png" and __MACOSX beside the real files
        folders[:] = sorted(d for d in folders if d[0] != "." and d != "__MACOSX")
        for path in (Path(folder, n) for n in sorted(names) if n[0] != "."):
            if path.is_file():
                paths.append(path)
            else:
                logger.warning("%s: a link to nothing, or no file; left out", path)
    return paths


def _warn(error: OSError) -> None:
    logger.warning("%s: cannot be looked into (%s)", error.filename, error.strerror)


def inside(folder: Path, *names: str) -> Path:
    """The file or folder of these names, one in the other, in any case.

    As it stands where several fit, or none does.
    """
    for name in names:
        path = folder / name
        if not path.exists() and folder.is_dir():
            others = [f for f in folder.iterdir() if f.name.lower() == name.lower()]
            path = others[0] if len(others) == 1 else path
        folder = path
    return folder


def called(files: Iterable[Path], *names: str) -> list[Path]:
    """The files of one of these names, in any case: Classes.txt is classes.txt."""
    return [f for f in files if f.name.lower() in names]
