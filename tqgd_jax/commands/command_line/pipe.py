"""Output that goes to a program which may stop reading."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def may_close() -> Iterator[None]:
    """Ends the program quietly, with status 1, when nobody reads stdout any more."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # such as `| head`: the reader has what it wanted
        # Python writes what is left when it ends; to the closed pipe it cannot.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
