"""Files of a result: all new or all old, never half of one."""

import contextlib
import errno
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

ASIDE = ".half-written"
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def together(out: Path, names: Collection[str], last: str) -> Iterator[Path]:
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
    aside, new = out / ASIDE, not out.exists()
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise ValueError(
            f"--out {out}: {error.strerror}; name a folder that can be made and "
            "written in"
        ) from error
    try:
        yield aside
        made = sorted((f.name for f in aside.iterdir()), key=lambda name: name == last)
        for name in (last, *(set(names) - set(made))):
            (out / name).unlink(missing_ok=True)
        for name in made:
            (aside / name).replace(out / name)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if new:
            with contextlib.suppress(OSError):  # others may have put something there
                out.rmdir()
        if isinstance(error, OSError) and error.errno in FULL:
            raise ValueError(
                f"--out {out}: the disk is full; nothing half-written was left. Free "
                "some space and run the same command again"
            ) from error
        raise
    shutil.rmtree(aside)
