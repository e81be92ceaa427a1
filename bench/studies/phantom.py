"""Grey values of simulated scans beside those of a real one.

    python -m bench.studies.phantom --phantom DIR [DIR ...] --real DIR --out docs

writes docs/images/phantom-statistics.png (histograms and spectra only: no real pixel is
written) and docs/images/phantom.png (simulated slices), and prints a Markdown table.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from bench import flags
from tqgd_jax.io.volumes import read_mask, read_volume

PATCH = 32  # pixels a side, for noise spectra
SIDE = 300  # pixels of a tile in the montage
BINS = np.arange(-1000, 301, 5)
Mask = Bool[np.ndarray, "z y x"]


class Scan(NamedTuple):
    """HU with (dz, dy, dx) in mm."""

    hu: Float32[np.ndarray, "z y x"]
    spacing: tuple[float, float, float]


class Region(NamedTuple):
    """Smoothed HU between two values, and the distance (mm) kept from its edge."""

    low: float
    high: float
    margin: float


REGIONS = {
    "soft tissue": Region(10, 90, 7),  # heart, liver, great vessels
    "fat": Region(-150, -60, 2),
    "lung": Region(-960, -720, 6),
}


def read(path: Path) -> Scan:
    """A file or a DICOM series."""
    volume = read_volume(path)
    return Scan(volume.hu.astype(np.float32), volume.spacing)


def read_phantom(folder: Path, count: int) -> list[Scan]:
    """The first scan of each scanner, in orCaScore's layout."""
    files = sorted((folder / "Training Set" / "Images").glob("*P1CTI.mhd"))[:count]
    if not files:
        raise ValueError(f"{folder}: holds no phantom; run tqgd phantom")
    return [read(file) for file in files]


def find(scan: Scan, region: Region) -> Mask:
    """Voxels of a tissue, well inside it in their slice."""
    sigma = 1.2 / scan.spacing[1]
    smooth = np.asarray(ndimage.gaussian_filter(scan.hu, (0, sigma, sigma)))
    inside = (smooth > region.low) & (smooth < region.high)
    inside &= np.stack([body(s) for s in smooth])
    edge = np.stack([np.asarray(ndimage.distance_transform_edt(s)) for s in inside])
    return edge * scan.spacing[1] > region.margin


def body(smooth: Float32[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """The largest thing in a slice with what it encloses: no couch, no blanket."""
    # A frame closes lungs that the field of view cuts.
    solid = smooth > -400
    border = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
    framed = np.pad(solid, 1, constant_values=bool(border.mean() > 0.25))
    filled = np.asarray(ndimage.binary_fill_holes(framed))[1:-1, 1:-1]
    filled = np.asarray(ndimage.binary_opening(filled, iterations=3))
    labelled: Any = ndimage.label(filled)
    parts = np.asarray(labelled[0])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax() if sizes.any() else np.zeros_like(filled)


def noise(scan: Scan, mask: Mask) -> tuple[float, float, np.ndarray]:
    """Median SD in patches of a tissue, the peak (1/mm) of their spectrum, and it."""
    power, deviations = [], []
    step = PATCH // 2
    ramp = np.linspace(-1, 1, PATCH)
    plane = np.stack([np.ones((PATCH, PATCH)), *np.meshgrid(ramp, ramp)], axis=-1)
    plane = plane.reshape(-1, 3)
    for hu, here in zip(scan.hu, mask, strict=True):
        for y in range(0, hu.shape[0] - PATCH, step):
            for x in range(0, hu.shape[1] - PATCH, step):
                at = (slice(y, y + PATCH), slice(x, x + PATCH))
                if not here[at].all():
                    continue
                patch = hu[at].reshape(-1).astype(np.float64)
                patch -= plane @ np.linalg.lstsq(plane, patch, rcond=None)[0]
                deviations.append(patch.std())
                patch = patch.reshape(PATCH, PATCH)
                power.append(np.abs(np.fft.fft2(patch)) ** 2)
    if not power:
        return float("nan"), float("nan"), np.zeros((0, 2))
    f = np.fft.fftfreq(PATCH, scan.spacing[1])
    ring = np.rint(np.hypot(f[:, None], f[None, :]) / f[1]).astype(int)
    index = np.arange(1, PATCH // 2 + 1)
    radial = np.asarray(ndimage.mean(np.mean(power, axis=0), ring, index))
    curve = np.stack([index * f[1], radial / radial.sum() / f[1]], axis=1)
    return float(np.median(deviations)), float(curve[radial.argmax(), 0]), curve


def measure(scans: list[Scan]) -> dict:
    """Mean, SD and histogram of each tissue; noise in soft tissue."""
    out: dict = {"spacing": scans[0].spacing}
    for name, region in REGIONS.items():
        values = np.concatenate([s.hu[find(s, region)] for s in scans])
        share, _ = np.histogram(values, BINS)
        out[name] = (values.mean(), values.std(), share / max(share.sum(), 1))
    spots = [noise(s, find(s, REGIONS["soft tissue"])) for s in scans]
    out["noise"] = float(np.nanmedian([s[0] for s in spots]))
    out["peak"] = float(np.nanmedian([s[1] for s in spots]))
    out["curves"] = [s[2] for s in spots]
    return out


def plot(measured: dict[str, dict], path: Path) -> None:
    """Histograms of three tissues, and noise power."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), constrained_layout=True)
    middle = (BINS[:-1] + BINS[1:]) / 2
    spans = ((-80, 180), (-220, 40), (-1000, -650))
    for (name, _), ax, span in zip(REGIONS.items(), axes, spans, strict=False):
        for label, values in measured.items():
            ax.plot(middle, values[name][2], label=label)
        ax.set(title=name, xlabel="HU", xlim=span)
    for k, (label, values) in enumerate(measured.items()):
        for n, curve in enumerate(values["curves"]):
            axes[3].plot(*curve.T, color=f"C{k}", alpha=0.8, label="" if n else label)
    axes[3].set(title="noise power in soft tissue", xlabel="1/mm", xlim=(0, 1))
    axes[0].set_ylabel("share")
    axes[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def montage(folders: list[Path], path: Path) -> None:
    """A row per phantom: three slices for soft tissue, one for lungs, marks in red."""
    from PIL import Image

    rows = []
    for folder in folders:
        images = sorted((folder / "Training Set" / "Images").glob("*.mhd"))
        masks = folder / "Training Set" / "Reference standard"
        marks = [
            read_mask(masks / f"{f.name.removesuffix('CTI.mhd')}R.mhd", read_volume(f))
            for f in images
        ]
        # The patients with most marks, each in the slice that has most of them.
        order = np.argsort([-(m > 0).sum() for m in marks])[:4]
        row = []
        for n, k in enumerate(order):
            z = int((marks[k] > 0).sum(axis=(1, 2)).argmax())
            hu = read_volume(images[k]).hu[z]
            low, width = (-160, 400) if n < 3 else (-1350, 1500)
            grey = np.clip((hu - float(low)) / width, 0, 1) * 31 // 1 * 8
            small = Image.fromarray(grey.astype(np.uint8)).resize((SIDE, SIDE))
            tile = np.repeat(np.asarray(small)[:, :, None] // 8 * 8, 3, axis=2)
            mark = Image.fromarray((marks[k][z] > 0).astype(np.uint8) * 255)
            mark = np.asarray(mark.resize((SIDE, SIDE))) > 0
            far = ndimage.grey_dilation(mark.astype(np.uint8), 9) > 0
            near = ndimage.grey_dilation(mark.astype(np.uint8), 5) > 0
            tile[np.logical_and(far, np.logical_not(near))] = (255, 48, 48)
            row.append(tile)
        rows.append(np.hstack(row))
    sheet = Image.fromarray(np.vstack(rows))
    sheet.quantize(40).save(path, optimize=True)


def main() -> None:
    """Measures, plots, and prints the table."""
    parser = flags.parser(__doc__, out=Path("docs"))
    parser.add_argument("--phantom", type=Path, nargs="+", required=True)
    parser.add_argument("--real", type=Path, required=True, help="a DICOM folder")
    parser.add_argument("--scans", type=int, default=4, help="of each phantom")
    args = parser.parse_args()
    measured = {"real chest CT": measure([read(args.real)])}
    for folder in args.phantom:
        measured[f"phantom {folder.name}"] = measure(read_phantom(folder, args.scans))
    plot(measured, args.out / "images" / "phantom-statistics.png")
    montage(args.phantom, args.out / "images" / "phantom.png")
    print("| scan | pixel, slice (mm) | " + " | ".join(REGIONS), end="")
    print(" | noise SD (HU) | noise peak (1/mm) |\n|---|---|---|---|---|---|---|")
    for label, values in measured.items():
        dz, dy, _ = values["spacing"]
        cells = [f"{values[n][0]:.0f} ± {values[n][1]:.0f}" for n in REGIONS]
        row = [label, f"{dy:.2f}, {dz:.1f}", *cells]
        print("| " + " | ".join([*row, f"{values['noise']:.1f}"]), end="")
        print(f" | {values['peak']:.2f} |")


if __name__ == "__main__":
    main()
