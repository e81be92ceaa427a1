"""The calcium rods of the scanned QRM phantom, by threshold and components.

python -m bench.studies.rods --dicom ../shared/data/qrm_phantom_ct/dicom --out rods.png

A rod is a component above 130 HU in the slices of the insert that reaches `PEAK`; single
pixels of noise pass 130 HU in this scan.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tqgd_jax.ct.lesions import LesionBox, lesion_boxes
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


def rods(volume: Volume) -> list[LesionBox]:
    """Boxes per slice of every component that reaches `PEAK` HU somewhere."""
    z = volume.origin[2] + np.arange(len(volume.hu)) * volume.spacing[0]
    inside = np.flatnonzero((z > LOW) & (z < HIGH))
    mask = np.zeros(volume.hu.shape, np.uint8)
    mask[inside, 140:320, 160:320] = 1  # the insert; outside are spine and ribs
    boxes, _ = lesion_boxes(mask, volume.hu, volume.spacing, 130)
    found = {b.lesion for b in boxes if b.hu_max >= PEAK}
    return [b for b in boxes if b.lesion in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dicom", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    volume = read_volume(args.dicom)
    found = rods(volume)
    print("| rod (mg/mL) | slice | box x0 y0 x1 y1, px | highest HU | area, px |")
    print("|---|---|---|---|---|")
    for name, (x, y) in RODS.items():
        near = [
            b for b in found if b.box[0] <= x < b.box[2] and b.box[1] <= y < b.box[3]
        ]
        if near:
            b = max(near, key=lambda b: b.hu_max)
            print(f"| {name} | {b.z} | {b.box} | {b.hu_max} | {b.area_px} |")
        else:
            slices = sorted({b.z for b in found})
            peak = volume.hu[slices, y - 2 : y + 3, x - 2 : x + 3].max()
            print(f"| {name} | | not found | {peak} within 2 px | |")
    print(f"{len({b.lesion for b in found})} components reach {PEAK} HU")
    z = max(found, key=lambda b: b.hu_max).z
    figure = Figure(figsize=(8, 8), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(volume.hu[z], cmap="gray", vmin=-160, vmax=400)
    axes.set(xlim=(140, 340), ylim=(340, 120), title=f"QRM phantom, slice {z}")
    for b in found:
        if b.z == z:
            x0, y0, x1, y1 = b.box
            place = (x0 - 0.5, y0 - 0.5)
            axes.add_patch(Rectangle(place, x1 - x0, y1 - y0, fill=False, ec="red"))
            axes.text(x1 + 1, y0, f"{b.hu_max} HU", color="yellow", size=8)
    figure.savefig(args.out)


if __name__ == "__main__":
    main()
