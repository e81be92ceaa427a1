"""Compares models on the same patients: `python -m tqgd_jax.compare RUN_A RUN_B ...`.

Every further run is compared with the first: differences with intervals and p-values of
a paired permutation test. NumPy only: neither JAX nor TensorFlow is loaded.
docs/evaluation.md.
"""

import argparse
import errno
import os
import sys
from pathlib import Path

# Before NumPy is imported: its threads spin on products as small as the referee's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

EPILOG = """
a run is a folder with results.json (of eval.py or tqgd_jax.evaluate), or a folder that
has one below it, or several that are the folds of one model: these are pooled
"""


def main(argv: list[str] | None = None) -> int:
    """Parses the command line; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error("two runs or more are compared; name their folders")
    for name, least in (("repeats", 1), ("bootstraps", 1), ("seed", 0)):
        if (value := getattr(args, name)) < least:
            parser.error(f"--{name} must be {least} or more, got {value}")
    try:
        _compare(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(
            f"error: {args.out}: the disk is full; nothing half-written was left. Free "
            "some space and run the same command again",
            file=sys.stderr,
        )
        return 2
    return 0


def _compare(args: argparse.Namespace) -> None:
    from tqgd_jax.metrics import paired
    from tqgd_jax.report import comparison, comparison_text, models
    from tqgd_jax.report.results import json_bytes, replace
    from tqgd_jax.report.rules import Rules

    if args.out is not None:
        _make(args.out)  # before the work
    found = comparison.compare(
        models.load(args.runs, Rules(bootstraps=args.bootstraps, seed=args.seed)),
        protocol=args.protocol or "",
        keys=args.keys or paired.KEYS,
        bootstraps=args.bootstraps,
        repeats=args.repeats,
        seed=args.seed,
    )
    print(comparison_text.text(found))
    if args.out is not None:
        replace(args.out / "comparison.md", comparison_text.markdown(found).encode())
        replace(args.out / "comparison.tex", comparison_text.latex(found).encode())
        replace(args.out / "comparison.json", json_bytes(found))
        print(f"written to {args.out}: comparison.md, comparison.tex, comparison.json")


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ValueError(
            f"--out {out}: {error.strerror}; name a folder that can be made"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tqgd_jax.compare",
        description=(__doc__ or "").splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="the first is the reference")
    add("--out", type=Path, help="folder for comparison.md, .tex and .json")
    add("--protocol", choices=("clinical", "paper"), help="[clinical, if all have it]")
    add("--keys", nargs="+", metavar="KEY", help="figures, as results.json names them")
    add("--repeats", type=int, default=10_000, help="exchanges for p [10000]")
    add("--bootstraps", type=int, default=2000, help="resamples for intervals [2000]")
    add("--seed", type=int, default=0, help="of both [0]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
