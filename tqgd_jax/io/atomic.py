"""Files and folders that are whole or not there, and locks."""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

logger = logging.getLogger("tqgd_jax")

ASIDE = ".half-written"
FULL = (errno.ENOSPC, errno.EDQUOT)
AGAIN = "free some space and run the same command again"


@contextlib.contextmanager
def file(path: Path) -> Iterator[Path]:
    """Where to write a file that replaces `path` when the block has ended well.

    After a power cut too a reader sees the old file or the new one. Raises ValueError
    when the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _room(path.parent):
            yield partial
            flush(partial)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def folder(path: Path, way_out: str = AGAIN) -> Iterator[Path]:
    """A folder to fill, which is called `path` when the block has ended well.

    A process that is killed leaves a folder beside, which the next one clears away.

    Args:
      path: empty or not there; one process at a time may write it.
      way_out: when the disk is full.

    Raises:
      ValueError: when nothing can be written there, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.partial")
    with _filled(partial, path, way_out):
        yield partial
        partial.rename(path)


@contextlib.contextmanager
def files(out: Path, names: Collection[str], last: str) -> Iterator[Path]:
    """A folder whose files take their places in `out` when the block has ended well.

    Of an earlier result `last` goes first and those of `names` that are not written
    again go too, so that a reader who finds `last` finds what belongs to it. When the
    block fails, `out` is as it was; a process that is killed leaves what it had in
    `ASIDE`, which the next one clears away.

    Args:
      out: made if it is missing; one process at a time may write to it.
      names: of all files that a result may have.
      last: the one that is put in its place after all others.

    Raises:
      ValueError: when nothing can be written in `out`, or the disk is full.
    """
    partial, new = out / ASIDE, not out.exists()
    try:
        with _filled(partial, out, AGAIN):
            yield partial
            made = sorted((f.name for f in partial.iterdir()), key=last.__eq__)
            for name in (last, *(set(names) - set(made))):
                (out / name).unlink(missing_ok=True)
            for name in made:
                (partial / name).replace(out / name)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):  # others may have put something there
                out.rmdir()
        raise


@contextlib.contextmanager
def _filled(partial: Path, path: Path, way_out: str) -> Iterator[None]:
    """Makes `partial`, and removes what the block leaves of it."""
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; name a folder that can be made and written in"
        ) from error
    try:
        with _room(path, way_out):
            yield
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def made(folder: Path, way_out: str) -> Path:
    """A folder that is made if it is missing, and that files can be written in.

    Raises ValueError, in one line with the way out, where that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written ({error.strerror}); {way_out}"
        ) from error
    return folder


@contextlib.contextmanager
def _room(path: Path, way_out: str = AGAIN) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # TensorFlow and others have errors of their own for it.
        if getattr(error, "errno", 0) in FULL or "No space left" in str(error):
            raise ValueError(
                f"{path}: the disk is full; nothing half-written was left: {way_out}"
            ) from error
        raise


def flush(path: Path) -> None:
    """To the disk, so that a power cut after a rename finds it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextlib.contextmanager
def lock(path: Path, waiting: str = "") -> Iterator[int]:
    """Keeps other processes out; one that is killed gives its lock back by itself.

    It is that of an open file, whose descriptor this gives: a child that inherits it has
    the lock too.

    Args:
      path: file of the lock; it stays.
      waiting: logged before another process is waited for.

    Raises:
      RuntimeError: without `waiting`, when another process has the lock.
    """
    with path.open("a+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                opened.seek(0)
                raise RuntimeError(
                    f"{path.parent} is in use by process {opened.read().strip()}; wait "
                    "for it or choose another folder"
                ) from None
            logger.info(waiting)
            fcntl.flock(opened, fcntl.LOCK_EX)
        if not waiting:
            opened.truncate(0)
            opened.write(str(os.getpid()))
            opened.flush()
        yield opened.fileno()
