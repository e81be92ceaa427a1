"""A detector on the two real scans at hand: false alarms, and calcium rods found.

    python -m bench.studies.real_ct --data_dir ../shared/data --out PICTURES

The chest has next to no calcium, so every lesion there is a false alarm. A rod is found
by a box around its middle in one of the slices of the insert; other boxes are printed.
Writes a picture of the boxes of each scan into PICTURES. Without --weights the detector
that ships is judged.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench import flags
from bench.studies.rods import HIGH, LOW, RODS
from tqgd_jax import shipped
from tqgd_jax.ct import crop
from tqgd_jax.ct.heart import find_heart
from tqgd_jax.io.volumes import Volume, read_volume
from tqgd_jax.predictor import Lesions
from tqgd_jax.trained import load

FACTORS = (0.25, 0.5, 1.0, 1.5, 2.0)  # of the threshold that validation chose
SHOWN = 24


Hearts = Float[np.ndarray, "z 4"]


def alarms(volume: Volume, found: Lesions, hearts: Hearts) -> str:
    """Boxes and lesions of a scan without calcium, and how many lie beyond the heart."""
    beyond = crop.beyond(hearts, volume.spacing[0])[found.z] > 0
    return f"{len(np.unique(found.lesion))} | {len(found.z)} | {beyond.sum()}"


def rods(volume: Volume, found: Lesions, hearts: Hearts) -> str:
    """Rods found, and boxes around none."""
    del hearts
    mm = volume.origin[2] + found.z * volume.spacing[0]
    insert = (mm > LOW) & (mm < HIGH)
    corners = found.boxes[:, :2], found.boxes[:, 2:]
    around = {
        name: (corners[0] <= middle).all(1) & (middle < corners[1]).all(1) & insert
        for name, middle in RODS.items()
    }
    names = [name for name, of in around.items() if of.any()]
    others = ~np.any([*around.values()], axis=0)
    return f"{len(names)} of {len(RODS)} | {others.sum()} | {'; '.join(names)}"


def picture(volume: Volume, found: Lesions, path: Path) -> None:
    """The boxes of highest confidence, with what lies around them."""
    order = np.argsort(-found.scores, kind="stable")[:SHOWN]
    rows = max(1, -(-len(order) // 6))
    figure = Figure(figsize=(15, 2.6 * rows), dpi=80, layout="constrained")
    for axes in figure.subplots(rows, 6, squeeze=False).flat:
        axes.axis("off")
    for axes, i in zip(figure.axes, order, strict=False):
        x0, y0, x1, y1 = found.boxes[i]
        axes.imshow(volume.hu[found.z[i]], cmap="gray", vmin=-160, vmax=400)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        axes.set(xlim=(x - 60, x + 60), ylim=(y + 60, y - 60))
        axes.set_title(f"slice {found.z[i]}, {found.scores[i]:.2f}", size=9)
        place = (x0 - 0.5, y0 - 0.5)
        axes.add_patch(Rectangle(place, x1 - x0, y1 - y0, fill=False, ec="red"))
    figure.savefig(path)


def main() -> None:
    """Prints two tables, each at several thresholds, and draws two pictures."""
    args = flags.parser(
        __doc__, data_dir=..., out=..., weights=shipped.FILE
    ).parse_args()
    detector, out = load(args.weights), args.out
    out.mkdir(parents=True, exist_ok=True)
    for title, row, head in (
        ("chest_ct", alarms, "lesions | boxes | of them beyond the heart"),
        ("qrm_phantom_ct", rods, "rods | other boxes | which"),
    ):
        volume = read_volume(args.data_dir / title / "dicom")
        hearts = find_heart(volume.hu, volume.spacing)
        print(f"\n{title}, {len(volume.hu)} slices\n\n| threshold | {head} |")
        print("|---" * (head.count("|") + 2) + "|")
        for factor in FACTORS:
            at = factor * detector.threshold
            found = detector.scan(volume, at, hearts)
            print(f"| {at:.3f} | {row(volume, found, hearts)} |")
            if factor == 1.0:
                picture(volume, found, out / f"{title}.png")


if __name__ == "__main__":
    main()
