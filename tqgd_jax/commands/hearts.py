"""Finds the heart in CT scans or images, for `data.crop.method=FILE.csv`.

python -m tqgd_jax.commands.hearts --workdir RUN --data_dir DIR --out hearts.csv

RUN is a run whose one class is the heart: of `configs/heart.py`, or on images with heart
boxes (§3.1: the paper crops with a YOLOv5 detector of hearts). The best box of each slice
or image is kept. Where none is at or above the threshold there is no row: the crop of a
slice is then the nearest slice's, and an image stays whole.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Int, Integer

from tqgd_jax.commands import cli
from tqgd_jax.config import Data
from tqgd_jax.data.dataset import Dataset, in_order
from tqgd_jax.data.discover.scan_folder import ScanFiles, walk


def of_scan(scan: ScanFiles) -> Dataset:
    """The slices of a scan; each is called by its number."""
    from tqgd_jax.io import volumes

    hu = volumes.read_volume(scan.path, series=scan.series).hu
    sizes = np.tile(np.array(hu.shape[1:], np.int32), (len(hu), 1))
    names = [str(z) for z in range(len(hu))]
    return _unlabelled(names, sizes, 1, hu.dtype, lambda z: hu[z, :, :, None])


def of_images(root: Path, data: Data) -> Dataset:
    """The images of a folder, which need no labels, to a detector trained with `data`.

    Raises ValueError when its window is one of Hounsfield units.
    """
    from tqgd_jax.data.discover import image_folder
    from tqgd_jax.io import images

    names = image_folder.named(root, walk(root))
    paths = list(names)
    headers = [images.read_header(path) for path in paths]
    images.same_kind(paths, headers)
    *_, channels, kind = headers[0]
    low, high = data.window_of(np.dtype(kind))
    if low < 0:
        raise ValueError(
            f"{root}: {kind} images hold no Hounsfield units, and the detector was "
            f"trained with data.window=({low:g}, {high:g}); train one on images"
        )
    sizes = np.array([header[:2] for header in headers], np.int32)

    def image(i: int) -> Integer[np.ndarray, "_ _ _"]:
        return images.read_image(paths[i])

    return _unlabelled([*names.values()], sizes, channels, np.dtype(kind), image)


def _unlabelled(
    names: list[str],
    sizes: Int[np.ndarray, "n 2"],
    channels: int,
    dtype: np.dtype,
    image: Callable[[int], np.ndarray],
) -> Dataset:
    height, width = sizes.max(axis=0).tolist()
    return Dataset(
        classes=("heart",),
        names=names,
        patients=names,
        sizes=sizes,
        boxes=[np.zeros((0, 4), np.float32)] * len(names),
        labels=[np.zeros(0, np.int32)] * len(names),
        shape=(height, width, channels),
        max_boxes=1,
        dtype=dtype,
        fingerprint="",
        image=image,
    )


def main(_: list[str]) -> None:
    """Weights, scans or images, best box of each, csv."""
    from tqdm import tqdm

    from tqgd_jax.commands import config_flags
    from tqgd_jax.ct import heart_boxes
    from tqgd_jax.data.discover import scan_folder
    from tqgd_jax.detector import Detector
    from tqgd_jax.inference import detect, make_predict
    from tqgd_jax.training import state
    from tqgd_jax.training.records import workdir
    from tqgd_jax.training.records.checkpoint import Checkpoints
    from tqgd_jax.training.runtime import compile_cache

    compile_cache.use_cache()
    folder, out = Path(WORKDIR.value or ""), Path(OUT.value or "").expanduser()
    config, run = workdir.read(folder)
    if len(run["classes"]) != 1 or config.data.neighbours:
        raise ValueError(
            f"{folder} detects {run['classes']} with {config.data.channels} channels; a "
            "heart detector has one class and one slice (configs/heart.py)"
        )
    root = Path(DATA.value or "").expanduser()
    if not root.is_dir():
        raise ValueError(f"--data_dir={DATA.value!r}: no folder of CT scans or images")
    data = replace(config.data, dir=str(root), format="auto", boxes="")
    found = scan_folder.find(data, masks=False)
    images = of_images(root, data) if found is None else None
    config_flags.make_room(out)
    detector = Detector(config.model, 1)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    now, meta = checkpoints.restore(state.create(detector, config))
    checkpoints.close()
    least = MIN_SCORE.value
    if least is None:
        # One that was chosen with batch statistics taken anew is not for these.
        own = (
            meta.get("threshold_step") == int(now.step) and not config.eval.recalibrate
        )
        least = (own and meta.get("threshold")) or 0.25
    predict = make_predict(detector, config, np.array(run["anchors"], np.float32))

    def hearts(of: Dataset) -> dict[str, list[float]]:
        batches = in_order(of, config.eval.batch_size)
        judged = detect(predict, now.ema, batches, of.names)
        return {
            image.name: image.det_boxes[image.det_scores.argmax()].tolist()
            for image in judged
            if image.above(least).any()
        }

    rows, without = [], []
    if images is not None:
        boxes = hearts(images)
        rows = [(name, *box) for name, box in boxes.items()]
        without = [name for name in images.names if name not in boxes]
        what, header = "image", heart_boxes.IMAGES
    else:
        what, header = "slice", heart_boxes.HEADER
        scans = found.scans if found else ()
        for scan in tqdm(scans, "find hearts", unit="scan"):
            boxes = hearts(of_scan(scan))
            rows += [(scan.name, int(z), *box) for z, box in boxes.items()]
            without += [] if boxes else [scan.name]
    heart_boxes.write_boxes(out, rows, header)
    print(f"{out}: {len(rows)} {what}s with a heart, score >= {least:.3f}")
    if without:
        few = ", ".join(without[:8])
        then = (
            "They stay whole" if images else "A crop by this file needs a row for each"
        )
        print(
            f"no heart found in {len(without)} {'images' if images else 'scans'}: {few}. "
            f"{then}: add one by hand, or lower --min_score"
        )


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "run whose one class is the heart")
    DATA = flags.DEFINE_string("data_dir", None, "folder of CT scans or images")
    OUT = flags.DEFINE_string("out", None, "csv to write")
    MIN_SCORE = flags.DEFINE_float(
        "min_score", None, "least confidence [the run's threshold, else 0.25]"
    )
    flags.mark_flags_as_required(["workdir", "data_dir", "out"])
    cli.run(main)
