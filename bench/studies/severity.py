"""Calcium scores of simulated scans against noise and motion.

    python -m bench.studies.severity --out docs/images/calcium-severity.png

Simulates patients of tqgd_jax.phantom again and again, with more noise or more motion
each time and all else equal, and prints how far score and volume go from those of the
clean scan.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from bench import flags
from tqgd_jax.evaluation.calcium.boxes import Row, calcium_mask
from tqgd_jax.evaluation.calcium.conventions import convention
from tqgd_jax.evaluation.calcium.risk_categories import categories, scheme
from tqgd_jax.evaluation.calcium.score import score
from tqgd_jax.phantom.presets import PRESETS, VENDORS
from tqgd_jax.phantom.render import Scan, simulate_patient

NOISE = (0.0, 10.0, 19.0, 30.0, 45.0, 60.0)  # HU in the heart; `gated` has 19
MOTION = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)  # mm; `nongated` has 4
MIXED = (0.5, 0.3, 0.2)  # weights of the positions that a slice mixes, as `nongated`
MARGIN = 2  # px around the boxes of the clean scan, as a detector's are not tight
SOURCES = {  # of a score: label, colour
    "mask": ("the reader's mask of this scan", "tab:blue"),
    "boxes": (f"boxes of the clean scan, {MARGIN} px wider", "tab:red"),
}


class Amounts(NamedTuple):
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


def simulated(args, noise: float, motion: float) -> list[Scan]:
    """The same patients at one severity."""
    preset = dataclasses.replace(
        PRESETS["gated"], noise_hu=noise, motion_mm=motion, phases=MIXED
    )
    return [
        simulate_patient(
            preset,
            VENDORS[i % len(VENDORS)],
            np.random.SeedSequence([0, i]),
            args.size,
            args.slices,
        )
        for i in range(args.patients)
    ]


def amounts(scans: list[Scan], rows: list[list[Row]], name: str) -> Amounts:
    """Agatston score and volume of each scan, by its own mask and by given boxes."""

    def both(scan: Scan, mask: Bool[np.ndarray, "z y x"]) -> tuple[float, float]:
        amount = score(scan.hu, mask, scan.grid.spacing, convention(name)).amount
        return amount.agatston, amount.volume_mm3

    pairs = list(zip(scans, rows, strict=True))
    return Amounts(
        np.array([both(s, s.mask > 0) for s in scans]),
        np.array([both(s, calcium_mask(s.hu, boxes)) for s, boxes in pairs]),
    )


def errors(
    measured: Float[np.ndarray, "patient 2"],
    base: Float[np.ndarray, "patient 2"],
    has: Bool[np.ndarray, "patient"],
) -> Float[np.ndarray, "some 2"]:
    """Per cent of the clean scan's score and volume."""
    return 100 * (measured[has] / base[has] - 1)


def table(
    what: str,
    values: tuple[float, ...],
    measured: list[Amounts],
    base: Amounts,
    has: Bool[np.ndarray, "patient"],
) -> None:
    """Markdown: median and range of the errors, and who changes category."""
    print(f"\n| {what} | mask: score, % | mask: volume, % | boxes: score, % ", end="")
    print("| boxes: volume, % | category changes (mask, boxes) |\n|" + "---|" * 6)
    by = scheme("standard")
    for value, one in zip(values, measured, strict=True):
        cells, changed = [], []
        for part, clean in zip(one, base, strict=True):
            for column in errors(part, clean, has).T:
                low, mid, high = np.percentile(column, [0, 50, 100])
                cells.append(f"{mid:+.0f} ({low:+.0f} to {high:+.0f})")
            moved = categories(part[:, 0], by) != categories(clean[:, 0], by)
            changed.append(str(int(moved.sum())))
        print(f"| {value:g} | " + " | ".join(cells) + f" | {', '.join(changed)} |")


def draw(
    curves: dict[str, tuple[tuple[float, ...], list[Amounts]]],
    base: Amounts,
    has: Bool[np.ndarray, "patient"],
    out: Path,
) -> None:
    """A column for noise and one for motion, a row for score and one for volume."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=100, layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for k, (what, (values, measured)) in enumerate(curves.items()):
        for row, quantity in enumerate(("Agatston score", "volume")):
            ax = axes[row, k]
            for source, (label, colour) in SOURCES.items():
                clean = getattr(base, source)
                parts = np.array(
                    [errors(getattr(m, source), clean, has)[:, row] for m in measured]
                )
                ax.plot(values, parts, color=colour, alpha=0.25, lw=0.8)
                middle = np.median(parts, axis=1)
                ax.plot(values, middle, color=colour, marker="o", ms=4, label=label)
            ax.axhline(0, color="grey", lw=0.8)
            ax.grid(alpha=0.3)
            if k == 0:
                ax.set_ylabel(f"error of {quantity}, %")
        axes[1, k].set_xlabel(what)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle("Median and each patient, against the clean scan")
    figure.savefig(out)


def main() -> None:
    """Prints the tables and draws the figure."""
    parser = flags.parser(__doc__, out=..., patients=6, size=384, slices=32)
    parser.add_argument("--convention", default="clinical")
    args = parser.parse_args()
    clean = simulated(args, 0, 0)
    rows = [boxes_of(s.mask) for s in clean]
    base = amounts(clean, rows, args.convention)
    true = np.array(
        [sum(one["volume_mm3"] or 0 for one in s.facts["lesions"]) for s in clean]
    )
    has = (base.mask[:, 0] > 0) & (true > 0)
    print(
        f"{args.patients} patients, {has.sum()} with calcium; convention "
        f"{args.convention}\n"
        f"clean scan: Agatston {np.round(base.mask[:, 0], 1).tolist()}, volume over "
        f"true volume, median {np.median(base.mask[has, 1] / true[has]):.2f}"
    )
    curves = {}
    for what, values in (("noise, HU", NOISE), ("motion, mm", MOTION)):
        measured = [base]
        for value in values[1:]:
            noise, motion = (value, 0) if values is NOISE else (0, value)
            scans = simulated(args, noise, motion)
            measured.append(amounts(scans, rows, args.convention))
        curves[what] = (values, measured)
        table(what, values, measured, base, has)
    draw(curves, base, has, args.out)


if __name__ == "__main__":
    main()
