"""Calcium score of one scan, as JSON.

tqgd score --scan SCAN (--boxes B.csv | --mask M | --whole)
    [--convention NAME|all] [--calibration F] [--scheme NAME] [--spread] [--pretty]

SCAN is a volume file or a folder of one DICOM series. B.csv has the columns
z,x0,y0,x1,y1, z the number of the slice (0 lowest) or its position, as mm:604.0. What is
counted and how: docs/calcium.md.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from jaxtyping import Bool, UInt8

from tqgd_jax.evaluation.calcium.conventions import (
    CONVENTIONS,
    LOWEST,
    WEIGHTS,
    Convention,
    convention,
)
from tqgd_jax.evaluation.calcium.risk_categories import (
    SCHEMES,
    Scheme,
    category,
    scheme,
)

if TYPE_CHECKING:
    from tqgd_jax.evaluation.calcium.scores import LesionScore, Score


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help lists all\n")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = _Parser(
        prog="tqgd score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scan", type=Path, required=True, help="file or DICOM folder")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--boxes", type=Path, help="csv: score what is bright in boxes")
    what.add_argument("--mask", type=Path, help="labels on the voxels of the scan")
    what.add_argument("--whole", action="store_true", help="bones and all; no category")
    names = ", ".join((*CONVENTIONS, "all"))
    parser.add_argument("--convention", default="clinical", help=names)
    parser.add_argument("--calibration", type=float, help="mg/mL per HU, for the mass")
    parser.add_argument("--scheme", default="standard", help=", ".join(SCHEMES))
    parser.add_argument("--series", default="", help="of several in a DICOM folder")
    parser.add_argument(
        "--spread", action="store_true", help="add every convention and scheme"
    )
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the score; returns the exit status, 1 when there is none."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)  # to stderr
    args = arguments(argv)
    try:
        result = report(args)
    except (ValueError, OSError) as error:
        print(f"tqgd score: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2 if args.pretty else None, allow_nan=False))
    return 0


def report(args: argparse.Namespace) -> dict[str, Any]:
    """What the command prints. ValueError names the file, the value and the rule."""
    by = scheme(args.scheme)
    chosen = [*CONVENTIONS.values()]
    if args.convention != "all":
        chosen = [convention(args.convention)]
    if not (args.boxes or args.mask or args.whole):
        raise ValueError(
            f"{args.scan}: nothing says what is calcium, and bones are as bright; give "
            "--boxes or --mask, or --whole to score all that is bright"
        )
    from tqgd_jax.evaluation.calcium.agatston import warn_of_voltage
    from tqgd_jax.evaluation.calcium.box_file import read_rows
    from tqgd_jax.evaluation.calcium.boxes import calcium_mask
    from tqgd_jax.evaluation.calcium.score import score
    from tqgd_jax.io import volumes

    scan = volumes.read_volume(args.scan, series=args.series)
    warn_of_voltage(scan, args.scan)
    if args.mask:
        mask = arteries(volumes.read_mask(args.mask, scan), args.mask)
    elif args.boxes:
        z = scan.origin[2]
        rows = read_rows(args.boxes, scan.hu.shape, z, scan.spacing[0])
        mask = calcium_mask(scan.hu, rows)
    else:
        mask = scan.hu >= LOWEST
    # Bones and all are no score of a patient, so no category of risk.
    risk = None if args.whole else by
    entries = []
    for one in chosen:
        scored = score(scan.hu, mask, scan.spacing, one, args.calibration)
        entries.append(entry(scored, one, scan.spacing[0], args.calibration, risk))
    result: dict[str, Any] = {"scan": str(args.scan)}
    result |= entries[0] if args.convention != "all" else {"conventions": entries}
    result |= {"scheme": args.scheme, "spacing_mm": list(scan.spacing)}
    if args.spread:
        result["spread"] = {
            one.name: by_scheme(
                score(scan.hu, mask, scan.spacing, one).agatston, risk=not args.whole
            )
            for one in CONVENTIONS.values()
        }
    return result


def arteries(
    mask: UInt8[np.ndarray, "z y x"], path: Path
) -> UInt8[np.ndarray, "z y x"] | Bool[np.ndarray, "z y x"]:
    """The mask, or bools when one value alone marks calcium of no named artery.

    Raises ValueError for several values of which one names no artery.
    """
    from tqgd_jax.ct.lesions import ARTERIES

    values = np.unique(mask[mask > 0]).tolist()
    if len(values) < 2 and values not in ([2], [3]):
        return mask > 0
    unknown = [v for v in values if v not in ARTERIES]
    if unknown:
        raise ValueError(
            f"{path}: the value {unknown[0]} beside others; 1, 2, 3 are LAD, LCX, RCA. "
            "A mask of one value alone may have any"
        )
    return mask


def entry(
    scored: "Score",
    rules: Convention,
    dz: float,
    calibration: float | None,
    by: Scheme | None,
) -> dict[str, Any]:
    """One convention's part of the report; its category is None without a scheme."""
    return {
        "convention": rules.name,
        **scored.amount._asdict(),
        "category": by.labels[category(scored.agatston, by)] if by else None,
        "lesions": [_flat(lesion) for lesion in scored.lesions],
        "arteries": {name: one._asdict() for name, one in scored.arteries.items()},
        "settings": {
            "connected": rules.connected,
            "pixels": rules.pixels,
            "lowest_hu": LOWEST,
            "weights_hu": list(WEIGHTS),
            "smallest": rules.smallest,
            "unit": rules.unit,
            "weigh": rules.weigh,
            "thickness_factor": dz / 3 if rules.thickness else 1.0,
            "whole": rules.whole,
            "calibration": calibration,
        },
    }


def _flat(lesion: "LesionScore") -> dict[str, Any]:
    row = lesion._asdict()
    return {"artery": row.pop("artery"), **row.pop("amount")._asdict(), **row}


def by_scheme(agatston: float, *, risk: bool) -> dict[str, Any]:
    """A score and its category in every scheme; None where it says nothing of risk."""
    return {
        "agatston": agatston,
        "category": {
            n: s.labels[category(agatston, s)] if risk else None
            for n, s in SCHEMES.items()
        },
    }
