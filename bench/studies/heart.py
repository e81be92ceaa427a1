"""How well the heart finder does, in a picture and in numbers.

`python -m bench.studies.heart --scan SCAN_OR_PHANTOM --out HEART.png [--truth CSV]`
reads one scan (file or DICOM folder) or every scan of a phantom's folder. The picture
has 12 slices of the scan, of a phantom's the one that fits worst: the heart found in
red, the crop window with its margin in yellow, the true heart in green. Numbers need
the truth; a phantom's folder brings it.

`--margins 10 5 0` counts the labelled boxes that a crop with each margin (mm) cuts, and
those it leaves out; the first is drawn. `--noise_mm 10` moves every side of the true box
by a normal deviate of that many mm, slice by slice, as a poor detector would.
"""

import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from bench import flags
from tqgd_jax.ct.crop import crops
from tqgd_jax.ct.heart import find_heart
from tqgd_jax.ct.heart_boxes import read_boxes
from tqgd_jax.ct.lesions import lesion_boxes
from tqgd_jax.io.volumes import read_mask, read_volume
from tqgd_jax.overlap import beyond, box_iou

KEY = {
    "volume_windows": ("yellow", "crop of the whole scan (per=volume)"),
    "slice_windows": ("orange", "crop of this slice (per=slice)"),
    "true": ("lime", "true heart, where it is known"),
    "boxes": ("red", "heart as found"),
}


def main() -> None:
    """Prints the statistics and writes the picture."""
    parser = flags.parser(__doc__, out=...)
    parser.add_argument("--scan", type=Path, required=True)
    parser.add_argument("--truth", type=Path, help="csv scan,z,x0,y0,x1,y1")
    parser.add_argument("--boxes", type=Path, help="judge those of a csv instead")
    parser.add_argument("--margins", type=float, nargs="+", default=[10])
    parser.add_argument("--noise_mm", type=float, help="judge the truth, moved so far")
    args = parser.parse_args()

    images = args.scan / "Training Set" / "Images"
    scans = sorted(images.glob("*.mhd")) if images.is_dir() else [args.scan]
    table = args.scan / "heart_boxes.csv"
    truth = args.truth or (table if table.is_file() else None)
    rng = None if args.noise_mm is None else np.random.default_rng(0)
    noise = (args.noise_mm, rng) if rng else None
    results = [one(path, truth, args.margins, args.boxes, noise) for path in scans]
    if truth:
        print(summary("all", results))
    print(lost(results, args.margins))
    worst = min(results, key=lambda r: np.median(r["iou"]) if len(r["iou"]) else 1)
    print(f"{args.out}: {worst['scan']}")
    picture(worst, args.out)


def one(
    path: Path,
    truth: Path | None,
    margins: list[float],
    judged: Path | None,
    noise: tuple[float, np.random.Generator] | None,
) -> dict:
    """Everything about one scan: what was found, what is true, what would be cut."""
    volume = read_volume(path)
    start = time.perf_counter()
    if noise and truth:
        mm, rng = noise
        hearts = read_boxes(truth, path.stem, len(volume.hu))
        hearts += rng.normal(0, mm, hearts.shape) / np.tile(volume.spacing[:0:-1], 2)
        hearts[:, 2:] = np.maximum(hearts[:, 2:], hearts[:, :2] + 1)
    elif judged:
        hearts = read_boxes(judged, path.stem, len(volume.hu))
    else:
        hearts = find_heart(volume.hu, volume.spacing)
    seconds = time.perf_counter() - start
    shape, mm = volume.hu.shape[1:], np.array(volume.spacing[:0:-1])
    result = {
        "scan": path.stem,
        "hu": volume.hu,
        "boxes": hearts,
        "true": np.full_like(hearts, np.nan),
    }
    if truth:
        result["true"] = read_boxes(truth, path.stem, len(hearts))
    here, real = (~np.isnan(result[k][:, 0]) for k in ("boxes", "true"))
    both = here & real
    result["iou"] = np.diag(box_iou(hearts[both], result["true"][both]))
    # mm of heart beyond the box: right, front, left, back
    result["beyond"] = (hearts - result["true"])[both] * (
        [1, 1, -1, -1] * np.tile(mm, 2)
    )
    pairs = ((here & real), (~here & ~real), (here & ~real), (~here & real))
    result["slices"] = np.array([p.sum() for p in pairs])
    boxes = calcium(path, volume)
    result["calcium"] = sum(map(len, boxes))
    for per in ("volume", "slice"):
        for margin in reversed(margins):
            windows = crops(
                hearts, shape, volume.spacing[1:], per=per, margin_mm=margin
            )
            pairs = zip(boxes, windows.tolist(), strict=True)
            each = [[which.sum() for which in beyond(of, w)] for of, w in pairs]
            result[per, margin] = np.sum(each, axis=0)
        result[per] = int(result[per, margins[0]].sum())
        result[f"{per}_windows"] = windows
        result[f"{per}_mm"] = (windows[:, 2:] - windows[:, :2]) * mm
    where = f"slices {np.flatnonzero(here)[[0, -1]]}" if any(here) else "nowhere"
    print(
        f"{path.stem}: {len(hearts)} slices, {seconds:.2f} s; heart in {where}; windows of "
        f"{median_sides([result], 'volume')} (per volume) and "
        f"{median_sides([result], 'slice')} mm (per slice)"
    )
    if truth:
        print(summary(path.stem, [result]))
    return result


def summary(name: str, results: list[dict]) -> str:
    """One line of statistics over scans."""
    iou = np.concatenate([r["iou"] for r in results])
    yes, no, extra, missed = np.sum([r["slices"] for r in results], axis=0)
    median, low = np.percentile(iou, [50, 5]) if len(iou) else (np.nan, np.nan)
    beyond = np.concatenate([r["beyond"] for r in results]).max(initial=0)
    cut = {p: sum(r[p] for r in results) for p in ("volume", "slice")}
    return (
        f"{name}: IoU median {median:.3f}, 5th percentile {low:.3f}; at most "
        f"{beyond:.1f} mm of heart outside the box; slices with heart "
        f"{yes} right, {missed} missed; without {no} right, {extra} wrong; calcium "
        f"boxes cut: {cut['volume']} (per volume), {cut['slice']} (per slice) of "
        f"{sum(r['calcium'] for r in results)}; windows of "
        f"{median_sides(results, 'volume')} and {median_sides(results, 'slice')} mm"
    )


def lost(results: list[dict], margins: list[float]) -> str:
    """A table: labelled boxes that the crop cuts, and those that lie outside it."""
    total = sum(r["calcium"] for r in results)
    rows = [f"of {total} labelled boxes, cut and outside:"]
    for margin in margins:
        cells = [f"margin {margin:g} mm"]
        for per in ("slice", "volume"):
            cut, outside = np.sum([r[per, margin] for r in results], axis=0)
            cells.append(f"{cut} and {outside} (per {per})")
        rows.append("  " + ", ".join(cells))
    return "\n".join(rows)


def median_sides(results: list[dict], per: str) -> str:
    """Width x height of the crop windows, mm."""
    sides = np.concatenate([r[f"{per}_mm"] for r in results])
    return "x".join(f"{side:.0f}" for side in np.median(sides, axis=0))


def calcium(path: Path, volume) -> list[np.ndarray]:
    """Boxes of the mask's parts in each slice; none without a mask."""
    folder = path.parent.parent / "Reference standard"
    name = path.stem.removesuffix("CTI").removesuffix("CT") + "R.mhd"
    boxes = [np.zeros((0, 4)) for _ in volume.hu]
    if (folder / name).is_file():
        mask = read_mask(folder / name, volume)
        for b in lesion_boxes(mask, volume.hu, volume.spacing, 130)[0]:
            boxes[b.z] = np.concatenate([boxes[b.z], np.array([b.box], float)])
    return boxes


def picture(result: dict, out: Path) -> None:
    """Twelve slices in a mediastinal window with their boxes."""
    hu, tiles = result["hu"], []
    side = 384
    for k in np.linspace(0, len(hu) - 1, 12).round().astype(int):
        grey = ((hu[k].astype(np.float32) + 160) / 400).clip(0, 1) * 255
        image = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
        image, draw = (i := image.resize((side, side))), ImageDraw.Draw(i)
        scale = np.array([side / hu.shape[2], side / hu.shape[1]] * 2)
        draw.text((4, 4), f"{result['scan']} {k}", fill="white")
        for key, (colour, _) in KEY.items():
            if not np.isnan(box := result[key][k].astype(float)).any():
                draw.rectangle((box * scale - [0, 0, 1, 1]).tolist(), outline=colour)
        tiles.append(np.asarray(image))
    band = Image.new("RGB", (4 * side, 24))
    draw = ImageDraw.Draw(band)
    for i, (colour, text) in enumerate(KEY.values()):
        draw.text((8 + i * side, 6), text, fill=colour)
    rows = [np.asarray(band)]
    rows += [np.hstack(tiles[i : i + 4]) for i in range(0, 12, 4)]
    Image.fromarray(np.vstack(rows)).save(out)


if __name__ == "__main__":
    main()
