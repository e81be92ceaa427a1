"""The calcium rods of the scanned QRM phantom, by threshold and by Agatston score.

    python -m bench.studies.rods --dicom ../shared/data/qrm_phantom_ct/dicom --out rods.png

A rod is a component above 130 HU in the slices of the insert that reaches `PEAK`; single
pixels of noise pass 130 HU in this scan. Scores are those in a box around each place.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench import flags
from tqgd_jax.ct.lesions import LesionBox, lesion_boxes
from tqgd_jax.evaluation.calcium.boxes import Row, calcium_mask
from tqgd_jax.evaluation.calcium.conventions import convention
from tqgd_jax.evaluation.calcium.score import score
from tqgd_jax.io.volumes import Volume, read_volume

LOW, HIGH = 597.0, 605.0  # mm: the slices of the rods
PEAK = 200  # HU
# Middle of each rod in px, and mg/mL: from the data's README; the last three are where
# the spacing of the larger rods of their row puts them.
RODS = {
    "5 mm, 800": (181, 221),
    "5 mm, 400": (291, 151),
    "5 mm, 200": (299, 282),
    "3 mm, 800": (206, 221),
    "3 mm, 400": (281, 173),
    "3 mm, 200": (285, 261),
    "1 mm, 800": (231, 221),
    "1 mm, 400": (271, 195),
    "1 mm, 200": (271, 240),
}
HALF = {"5 mm": 11, "3 mm": 8, "1 mm": 5}  # px, of the boxes around the rods


def components(volume: Volume, slices: np.ndarray) -> list[LesionBox]:
    """Boxes per slice of every component that reaches `PEAK` HU somewhere."""
    mask = np.zeros(volume.hu.shape, np.uint8)
    mask[slices, 140:320, 160:320] = 1  # the insert; outside are spine and ribs
    boxes, _ = lesion_boxes(mask, volume.hu, volume.spacing, 130)
    high = {b.lesion for b in boxes if b.hu_max >= PEAK}
    return [b for b in boxes if b.lesion in high]


def by_threshold(volume: Volume, boxes: list[LesionBox]) -> None:
    """Prints the component at each place."""
    print("| rod (mg/mL) | slice | box x0 y0 x1 y1, px | highest HU | area, px |")
    print("|---|---|---|---|---|")
    for name, (x, y) in RODS.items():
        near = [
            b for b in boxes if b.box[0] <= x < b.box[2] and b.box[1] <= y < b.box[3]
        ]
        if near:
            b = max(near, key=lambda b: b.hu_max)
            print(f"| {name} | {b.z} | {b.box} | {b.hu_max} | {b.area_px} |")
        else:
            slices = sorted({b.z for b in boxes})
            peak = volume.hu[slices, y - 2 : y + 3, x - 2 : x + 3].max()
            print(f"| {name} | | not found | {peak} within 2 px | |")
    print(f"{len({b.lesion for b in boxes})} components reach {PEAK} HU")


def by_score(volume: Volume, slices: np.ndarray) -> None:
    """Prints the score of each rod, in each slice and in all."""
    z = volume.origin[2] + slices * volume.spacing[0]
    print("| rod (mg/mL) | " + " | ".join(f"z = {mm:.0f}" for mm in z), end="")
    print(" | all three | highest HU |\n|---|---|---|---|---|---|")
    for name, (x, y) in RODS.items():
        half = HALF[name[:4]]
        x0, y0, x1, y1 = x - half, y - half, x + half + 1, y + half + 1
        rows: list[Row] = [(z, x0, y0, x1, y1) for z in slices.tolist()]
        cells = []
        for some in (*([row] for row in rows), rows):
            mask = calcium_mask(volume.hu, some)
            result = score(volume.hu, mask, volume.spacing, convention("inplane8"))
            cells.append(f"{result.agatston:.1f}")
        highest = volume.hu[slices, y0:y1, x0:x1].max()
        print(f"| {name} | " + " | ".join(cells) + f" | {highest} |")


def main() -> None:
    """Prints both tables and draws the slice of the densest rod."""
    args = flags.parser(__doc__, dicom=..., out=...).parse_args()
    volume = read_volume(args.dicom)
    z = volume.origin[2] + np.arange(len(volume.hu)) * volume.spacing[0]
    slices = np.flatnonzero((z > LOW) & (z < HIGH))
    boxes = components(volume, slices)
    by_threshold(volume, boxes)
    by_score(volume, slices)
    at = max(boxes, key=lambda b: b.hu_max).z
    figure = Figure(figsize=(8, 8), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(volume.hu[at], cmap="gray", vmin=-160, vmax=400)
    axes.set(xlim=(140, 340), ylim=(340, 120), title=f"QRM phantom, slice {at}")
    for b in boxes:
        if b.z == at:
            x0, y0, x1, y1 = b.box
            place = (x0 - 0.5, y0 - 0.5)
            axes.add_patch(Rectangle(place, x1 - x0, y1 - y0, fill=False, ec="red"))
            axes.text(x1 + 1, y0, f"{b.hu_max} HU", color="yellow", size=8)
    figure.savefig(args.out)


if __name__ == "__main__":
    main()
