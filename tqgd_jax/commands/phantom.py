"""`tqgd phantom --out DIR` writes a cohort of simulated scans."""

import argparse
import sys
from pathlib import Path

from tqgd_jax.phantom.presets import PRESETS


def main(argv: list[str] | None = None) -> int:
    """Parses the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="tqgd phantom",
        description="Simulates cardiac CT with coronary calcium in orCaScore's layout.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--patients", type=int, default=32)
    parser.add_argument("--slices", type=int, default=40, help="slices per scan")
    parser.add_argument("--preset", choices=(*PRESETS, "diverse"), default="gated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    args = parser.parse_args(argv)
    from tqgd_jax.phantom.dataset import simulate

    try:
        simulate(**vars(args))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (OSError, RuntimeError) as error:
        if "No space left" not in str(error):
            raise
        print(
            f"error: {args.out}: the disk is full; free some space, and the same "
            "command goes on where it stopped",
            file=sys.stderr,
        )
        return 1
    return 0
