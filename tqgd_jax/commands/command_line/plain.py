"""What the commands share that read their words with argparse and load no JAX."""

import argparse
import logging
import os
import sys
from collections.abc import Callable

# Before NumPy is imported: its threads spin on products as small as the evaluator's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def parser(name: str, doc: str | None, epilog: str) -> argparse.ArgumentParser:
    """Of `tqgd NAME`, described by the first line of its module's docstring."""
    return argparse.ArgumentParser(
        prog=f"tqgd {name}",
        description=(doc or "").splitlines()[0],
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """The exit status of `command(args)`; a ValueError ends in its message alone.

    What is being done, with the time, goes to stderr; the outcome goes to stdout.
    """
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING
    )
    logging.getLogger("tqgd_jax").setLevel(logging.INFO)
    try:
        return command(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
