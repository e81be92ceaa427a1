"""Calcium scores where something is known: rods of a scanned phantom, simulated scans.

    python -m bench.studies.calcium rods --dicom ../shared/data/qrm_phantom_ct/dicom
    python -m bench.studies.calcium severity --out docs/images/calcium-severity.png

`rods` prints the Agatston score of each rod of the QRM phantom in the three slices of
its insert. `severity` simulates patients of tqgd_jax.phantom again and again, with more
noise or more motion each time and all else equal, and prints how far score and volume
go from those of the clean scan.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from bench.studies.rods import RODS
from tqgd_jax.evaluation.calcium.boxes import Row, calcium_mask
from tqgd_jax.evaluation.calcium.conventions import convention
from tqgd_jax.evaluation.calcium.risk_categories import categories, scheme
from tqgd_jax.evaluation.calcium.score import score
from tqgd_jax.phantom.presets import PRESETS, VENDORS
from tqgd_jax.phantom.render import Scan, simulate_patient

POSITIONS = (597.875, 600.875, 603.875)  # mm: the slices of the rods
HALF = {"5 mm": 11, "3 mm": 8, "1 mm": 5}  # px, of the boxes around the rods
NOISE = (0.0, 10.0, 19.0, 30.0, 45.0, 60.0)  # HU in the heart; `gated` has 19
MOTION = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)  # mm; `nongated` has 4
MIXED = (0.5, 0.3, 0.2)  # weights of the positions that a slice mixes, as `nongated`
MARGIN = 2  # px around the boxes of the clean scan, as a detector's are not tight


def rods(dicom: Path) -> None:
    """Prints a row for each rod and a column for each slice."""
    from tqgd_jax.io.volumes import read_volume

    volume = read_volume(dicom)
    dz, z_origin = volume.spacing[0], volume.origin[2]
    slices = [round((mm - z_origin) / dz) for mm in POSITIONS]
    print("| rod (mg/mL) | " + " | ".join(f"z = {mm:.0f}" for mm in POSITIONS), end="")
    print(" | all three | highest HU |\n|---|---|---|---|---|---|")
    for name, (x, y) in RODS.items():
        half = HALF[name[:4]]
        rows: list[Row] = [
            (z, x - half, y - half, x + half + 1, y + half + 1) for z in slices
        ]
        parts = [rows[:1], rows[1:2], rows[2:], rows]
        found = [
            score(
                volume.hu,
                calcium_mask(volume.hu, some),
                volume.spacing,
                convention("inplane8"),
            )
            for some in parts
        ]
        cells = [f"{one.agatston:.1f}" for one in found]
        box = volume.hu[slices, y - half : y + half + 1, x - half : x + half + 1]
        print(f"| {name} | " + " | ".join(cells) + f" | {box.max()} |")


class Found(NamedTuple):
    """Score and volume of each patient, from a reader's mask and from boxes."""

    mask: Float[np.ndarray, "patient 2"]
    boxes: Float[np.ndarray, "patient 2"]


def boxes_of(mask: UInt8[np.ndarray, "z y x"]) -> list[Row]:
    """Boxes of every spot in every slice, with a margin."""
    rows: list[Row] = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        spots, _ = ndimage.label(mask[z] > 0, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
        for ys, xs in ndimage.find_objects(spots):
            low, high = (xs.start, ys.start), (xs.stop, ys.stop)
            rows.append((z, *(v - MARGIN for v in low), *(v + MARGIN for v in high)))
    return rows


def measure(
    patients: int, size: int, slices: int, noise: float, motion: float
) -> list[Scan]:
    """The same patients at one severity."""
    preset = dataclasses.replace(
        PRESETS["gated"], noise_hu=noise, motion_mm=motion, phases=MIXED
    )
    return [
        simulate_patient(
            preset,
            VENDORS[i % len(VENDORS)],
            np.random.SeedSequence([0, i]),
            size,
            slices,
        )
        for i in range(patients)
    ]


def amounts(scans: list[Scan], rows: list[list[Row]], name: str) -> Found:
    """Agatston score and volume of each scan, by its own mask and by given boxes."""

    def both(scan: Scan, mask: Bool[np.ndarray, "z y x"]) -> tuple[float, float]:
        spacing = scan.grid.spacing
        amount = score(scan.hu, mask, spacing, convention(name)).amount
        return amount.agatston, amount.volume_mm3

    return Found(
        np.array([both(s, s.mask > 0) for s in scans]),
        np.array(
            [
                both(s, calcium_mask(s.hu, boxes))
                for s, boxes in zip(scans, rows, strict=True)
            ]
        ),
    )


def severity(out: Path, patients: int, size: int, slices: int, name: str) -> None:
    """Prints the tables and draws the figure."""

    def at(noise: float, motion: float) -> list[Scan]:
        return measure(patients, size, slices, noise, motion)

    clean = at(0, 0)
    rows = [boxes_of(s.mask) for s in clean]
    base = amounts(clean, rows, name)
    true = np.array(
        [sum(one["volume_mm3"] or 0 for one in s.facts["lesions"]) for s in clean]
    )
    has = (base.mask[:, 0] > 0) & (true > 0)
    print(f"{patients} patients, {has.sum()} with calcium; convention {name}")
    print(
        f"clean scan: Agatston {np.round(base.mask[:, 0], 1).tolist()}, volume over "
        f"true volume, median {np.median(base.mask[has, 1] / true[has]):.2f}"
    )
    curves = {}
    steps: dict[str, tuple[tuple[float, ...], Callable[[float], list[Scan]]]] = {
        "noise, HU": (NOISE, lambda v: at(v, 0)),
        "motion, mm": (MOTION, lambda v: at(0, v)),
    }
    for what, (values, simulate) in steps.items():
        found = [base] + [amounts(simulate(v), rows, name) for v in values[1:]]
        curves[what] = (values, found)
        table(what, values, found, base, has)
    draw(curves, base, has, out)


def errors(
    found: Float[np.ndarray, "patient 2"],
    base: Float[np.ndarray, "patient 2"],
    has: Bool[np.ndarray, "patient"],
) -> Float[np.ndarray, "some 2"]:
    """Per cent of the clean scan's score and volume."""
    return 100 * (found[has] / base[has] - 1)


def table(
    what: str,
    values: tuple[float, ...],
    found: list[Found],
    base: Found,
    has: Bool[np.ndarray, "patient"],
) -> None:
    """Markdown: median and range of the errors, and who changes category."""
    print(f"\n| {what} | mask: score, % | mask: volume, % | boxes: score, % ", end="")
    print("| boxes: volume, % | category changes (mask, boxes) |\n|" + "---|" * 6)
    by = scheme("standard")
    for value, one in zip(values, found, strict=True):
        cells, changed = [], []
        for part, clean in ((one.mask, base.mask), (one.boxes, base.boxes)):
            for column in errors(part, clean, has).T:
                low, mid, high = np.percentile(column, [0, 50, 100])
                cells.append(f"{mid:+.0f} ({low:+.0f} to {high:+.0f})")
            moved = categories(part[:, 0], by) != categories(clean[:, 0], by)
            changed.append(str(int(moved.sum())))
        print(f"| {value:g} | " + " | ".join(cells) + f" | {', '.join(changed)} |")


def draw(
    curves: dict[str, tuple[tuple[float, ...], list[Found]]],
    base: Found,
    has: Bool[np.ndarray, "patient"],
    out: Path,
) -> None:
    """A column for noise and one for motion, a row for score and one for volume."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=100, layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for k, (what, (values, found)) in enumerate(curves.items()):
        for row, measured in enumerate(("Agatston score", "volume")):
            ax = axes[row, k]
            for source, colour in (("mask", "tab:blue"), ("boxes", "tab:red")):
                parts = np.array(
                    [
                        errors(getattr(one, source), getattr(base, source), has)[:, row]
                        for one in found
                    ]
                )
                ax.plot(values, parts, color=colour, alpha=0.25, lw=0.8)
                label = {
                    "mask": "the reader's mask of this scan",
                    "boxes": f"boxes of the clean scan, {MARGIN} px wider",
                }[source]
                middle = np.median(parts, axis=1)
                ax.plot(values, middle, color=colour, marker="o", ms=4, label=label)
            ax.axhline(0, color="grey", lw=0.8)
            ax.grid(alpha=0.3)
            if k == 0:
                ax.set_ylabel(f"error of {measured}, %")
        axes[1, k].set_xlabel(what)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle("Median and each patient, against the clean scan")
    figure.savefig(out)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("rods")
    one.add_argument("--dicom", type=Path, required=True)
    two = kinds.add_parser("severity")
    two.add_argument("--out", type=Path, required=True)
    two.add_argument("--patients", type=int, default=6)
    two.add_argument("--size", type=int, default=384)
    two.add_argument("--slices", type=int, default=32)
    two.add_argument("--convention", default="clinical")
    args = parser.parse_args()
    if args.kind == "rods":
        rods(args.dicom)
    else:
        severity(args.out, args.patients, args.size, args.slices, args.convention)


if __name__ == "__main__":
    main()
