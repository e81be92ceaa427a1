"""Compares models on the same patients: `tqgd compare RUN_A RUN_B`.

Every further run is compared with the first: differences with intervals and p-values of
a paired permutation test. NumPy only: neither JAX nor TensorFlow is loaded.
docs/evaluation.md.
"""

import argparse
import contextlib
import logging
from pathlib import Path

from tqgd_jax.commands.command_line import plain

logger = logging.getLogger("tqgd_jax")
FILES = ("comparison.md", "comparison.tex", "comparison.json")
EPILOG = """
a run is a folder with results.json (of eval.py or tqgd evaluate), or a
folder that has one below it, or several that are the folds of one model: these are pooled
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
    return plain.run(_compare, args)


def _compare(args: argparse.Namespace) -> int:
    from tqgd_jax.evaluation import paired
    from tqgd_jax.evaluation.settings import EvaluationSettings
    from tqgd_jax.io import atomic
    from tqgd_jax.report.comparison import differences, models
    from tqgd_jax.report.result_files import json_bytes
    from tqgd_jax.report.text import comparison_text

    with contextlib.ExitStack() as stack:
        partial = None
        if args.out is not None:  # before the work: can anything be written there?
            partial = stack.enter_context(atomic.files(args.out, FILES, FILES[-1]))
        logger.info("reading %d runs", len(args.runs))
        settings = EvaluationSettings(bootstraps=args.bootstraps, seed=args.seed)
        loaded = models.load(args.runs, settings)
        logger.info("comparing, with %d exchanges of patients", args.repeats)
        comparison = differences.compare(
            loaded,
            protocol=args.protocol or "",
            keys=args.keys or paired.KEYS,
            bootstraps=args.bootstraps,
            repeats=args.repeats,
            seed=args.seed,
        )
        if partial is not None:
            contents = (
                comparison_text.markdown(comparison).encode(),
                comparison_text.latex(comparison).encode(),
                json_bytes(comparison),
            )
            for name, content in zip(FILES, contents, strict=True):
                (partial / name).write_bytes(content)
    print(comparison_text.text(comparison))
    if args.out is not None:
        print(f"written to {args.out}: {', '.join(FILES)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = plain.parser("compare", __doc__, EPILOG)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="the first is the reference")
    add("--out", type=Path, help="folder for comparison.md, .tex and .json")
    add("--protocol", choices=("clinical", "paper"), help="[clinical, if all have it]")
    add("--keys", nargs="+", metavar="KEY", help="figures, as results.json names them")
    add("--repeats", type=int, default=10_000, help="exchanges for p [10000]")
    add("--bootstraps", type=int, default=2000, help="resamples for intervals [2000]")
    add("--seed", type=int, default=0, help="of both [0]")
    return parser
