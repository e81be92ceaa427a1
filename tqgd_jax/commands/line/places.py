"""Places that cannot be read or written: one line, whatever was to be done there."""

import contextlib
import errno
import sys
from collections.abc import Iterator

PLACES = (
    *(
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
    ),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ELOOP),
)


def line(error: BaseException) -> str:
    """The one line of an error that a file or folder gave; empty for all others."""
    if not isinstance(error, OSError) or error.errno not in PLACES:
        return ""
    place = error.filename2 or error.filename
    return (
        f"{place}: {error.strerror}; make room, or name another place" if place else ""
    )


@contextlib.contextmanager
def in_one_line(name: str) -> Iterator[None]:
    """Ends the program with status 1 and that line."""
    try:
        yield
    except OSError as error:
        if not (text := line(error)):
            raise
        print(f"{name}: {text}", file=sys.stderr)
        sys.exit(1)
