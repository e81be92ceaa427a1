"""Lesions put into the one real chest scan at hand: how many a detector finds there.

    python -m bench.studies.inserted --data_dir ../shared/data --out PICTURE.png

The chest has next to no calcium. In each slice of the heart up to three ellipses of
calcium, blurred as by a scanner, are added where fat lies beside the heart's muscle, as
coronary arteries do. Background, noise and vessels are real; place and shape of the
lesions are not. Without --weights the detector that ships is judged.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from scipy import ndimage

from bench import flags
from tqgd_jax import shipped
from tqgd_jax.ct.heart import find_heart
from tqgd_jax.io.volumes import Volume, read_volume
from tqgd_jax.predictor import Lesions
from tqgd_jax.trained import load

A_SLICE = 3  # lesions, at most
APART_MM = 15.0
RADIUS_MM = (1.0, 2.5)  # of the short half axis
STRETCH = (1.0, 1.8)  # long axis to short
ADDED_HU = (250.0, 800.0)  # before the blur
BLUR_MM = 0.55  # standard deviation: 1.3 mm full width at half maximum
VISIBLE_HU = 160.0  # peak that a lesion must reach to count
FAT_HU = (-120.0, -30.0)
BESIDE_MM = 5.0  # of fat from muscle
THRESHOLDS = (0.03, 0.06, 0.125, 0.25, 0.5)


class Inserted(NamedTuple):
    """A lesion: slice and middle, px, and its highest HU."""

    z: int
    x: int
    y: int
    peak: float


def insert(volume: Volume, seed: int) -> tuple[Volume, list[Inserted], np.ndarray]:
    """The scan with lesions, the lesions, and the slices of the heart."""
    rng = np.random.default_rng(seed)
    hearts = find_heart(volume.hu, volume.spacing)
    slices = np.flatnonzero(np.isfinite(hearts).all(axis=1))
    hu = volume.hu.astype(np.float32)
    lesions = []
    for z in slices.tolist():
        for y, x in _places(volume, z, hearts[z], rng):
            hu[z] += _lesion(hu[z].shape, y, x, volume.spacing[1], rng)
            peak = float(hu[z, y - 2 : y + 3, x - 2 : x + 3].max())
            if peak >= VISIBLE_HU:
                lesions.append(Inserted(z, x, y, peak))
    values = np.clip(hu, -1024, 3071).round().astype(np.int16)
    return dataclasses.replace(volume, hu=values), lesions, slices


def _places(
    volume: Volume, z: int, heart: np.ndarray, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Fat beside muscle inside the heart's box, far enough from each other."""
    pixel = volume.spacing[1]
    smooth = ndimage.gaussian_filter(volume.hu[z].astype(np.float32), 1.0)
    muscle = ndimage.binary_opening(smooth > 0, iterations=3)
    beside = ndimage.distance_transform_edt(~muscle) * pixel < BESIDE_MM
    inside = np.zeros_like(beside)
    x0, y0, x1, y1 = heart.astype(int)
    inside[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4] = True
    low, high = FAT_HU
    possible = np.argwhere(inside & beside & (smooth > low) & (smooth < high))
    chosen: list[tuple[int, int]] = []
    for y, x in rng.permutation(possible).tolist():
        if all(np.hypot(y - a, x - b) * pixel > APART_MM for a, b in chosen):
            chosen.append((y, x))
        if len(chosen) == A_SLICE:
            break
    return chosen


def _lesion(
    shape: tuple[int, ...], y: int, x: int, pixel: float, rng: np.random.Generator
) -> Float32[np.ndarray, "h w"]:
    rows, columns = (np.indices(shape) - np.array([y, x])[:, None, None]) * pixel
    radius, long = rng.uniform(*RADIUS_MM), rng.uniform(*STRETCH)
    turn, added = rng.uniform(0, np.pi), rng.uniform(*ADDED_HU)
    along = (columns * np.cos(turn) + rows * np.sin(turn)) / (radius * long)
    across = (rows * np.cos(turn) - columns * np.sin(turn)) / radius
    ellipse = (along**2 + across**2 < 1).astype(np.float32)
    return np.float32(added) * ndimage.gaussian_filter(ellipse, BLUR_MM / pixel)


def hits(found: Lesions, lesions: list[Inserted]) -> np.ndarray:
    """Which box (column) holds the middle of which lesion (row), to a pixel."""
    z, x, y = (np.array([getattr(of, k) for of in lesions]) for k in ("z", "x", "y"))
    x0, y0, x1, y1 = (found.boxes + np.array([-1, -1, 1, 1])).T
    of = (found.z == z[:, None]) & (x0 <= x[:, None]) & (x[:, None] < x1)
    return of & (y0 <= y[:, None]) & (y[:, None] < y1)


def picture(volume: Volume, lesions: list[Inserted], found: Lesions, path) -> None:
    """Eight slices: lesions in yellow, boxes in red."""
    figure = Figure(figsize=(14, 7), dpi=80, layout="constrained")
    zs = sorted({of.z for of in lesions})
    for axes, z in zip(
        figure.subplots(2, 4).flat, zs[:: max(1, len(zs) // 8)], strict=False
    ):
        axes.imshow(volume.hu[z], cmap="gray", vmin=-160, vmax=400)
        x0, y0, x1, y1 = found.windows[z]
        axes.set(xlim=(x0, x1), ylim=(y1, y0), title=f"slice {z}")
        axes.axis("off")
        for of in lesions:
            if of.z == z:
                axes.add_patch(Circle((of.x, of.y), 7, fill=False, ec="yellow"))
        for (a, b, c, d), score in zip(
            found.boxes[found.z == z], found.scores[found.z == z], strict=True
        ):
            axes.add_patch(
                Rectangle((a - 0.5, b - 0.5), c - a, d - b, fill=False, ec="red")
            )
            axes.text(c + 1, b, f"{score:.2f}", color="red", size=8)
    figure.savefig(path)


def main() -> None:
    """Prints lesions found and false alarms by threshold, and draws eight slices."""
    args = flags.parser(
        __doc__, data_dir=..., out=..., weights=shipped.FILE, seed=0
    ).parse_args()
    detector = load(args.weights)
    real = read_volume(args.data_dir / "chest_ct" / "dicom")
    volume, lesions, slices = insert(real, args.seed)
    print(f"{len(lesions)} lesions in {len(slices)} slices of the heart\n")
    print("| threshold | found | false alarms | a slice |\n|---|---|---|---|")
    for at in sorted((*THRESHOLDS, detector.threshold)):
        found = detector.scan(volume, at)
        of = hits(found, lesions)
        alarms = int(((~of.any(axis=0)) & np.isin(found.z, slices)).sum())
        print(
            f"| {at:.3f} | {of.any(axis=1).sum()} of {len(lesions)} | {alarms} | "
            f"{alarms / len(slices):.2f} |"
        )
        if at == detector.threshold:
            picture(volume, lesions, found, args.out)


if __name__ == "__main__":
    main()
