"""Finds the heart in CT scans or images, for `data.crop.method=FILE.csv`.

tqgd hearts --workdir RUN --data_dir DIR --out hearts.csv

RUN is a run whose one class is the heart: of `configs/heart.py`, or on images with heart
boxes (§3.1: the paper crops with a YOLOv5 detector of hearts). The best box of each slice
or image is kept. Where none is at or above the threshold there is no row: the crop of a
slice is then the nearest slice's, and an image stays whole.
"""

from dataclasses import replace
from pathlib import Path

from absl import flags

from tqgd_jax.commands.line import cli

flags.disclaim_key_flags()


def main() -> None:
    """The command."""
    flags.DEFINE_string(
        "workdir",
        None,
        "run, or weights file, whose one class is the heart",
        required=True,
    )
    flags.DEFINE_string("data_dir", None, "folder of CT scans or images", required=True)
    flags.DEFINE_string("out", None, "csv to write", required=True)
    flags.DEFINE_float(
        "min_score", None, "least confidence [the run's threshold, else 0.25]"
    )
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Weights, scans or images, best box of each, csv."""
    from tqdm import tqdm

    from tqgd_jax.commands.line import config_flags
    from tqgd_jax.ct import heart_boxes
    from tqgd_jax.data.dataset import Dataset
    from tqgd_jax.data.discover import scan_folder
    from tqgd_jax.data.unlabelled import of_arrays, of_folder
    from tqgd_jax.io import volumes
    from tqgd_jax.report.html.numbers import cut
    from tqgd_jax.trained import load
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    compile_cache.use_cache()
    out = Path(given.out).expanduser()
    predictor = load(given.workdir)
    config = predictor.config
    if predictor.network.segments:
        raise ValueError(
            f"{given.workdir} is a segmentation, and the box of a heart comes from a "
            "detector (configs/heart.py)"
        )
    if len(predictor.classes) != 1 or config.data.neighbours:
        raise ValueError(
            f"{given.workdir} detects {list(predictor.classes)} with "
            f"{config.data.channels} channels; a heart detector has one class and one "
            "slice (configs/heart.py)"
        )
    root = Path(given.data_dir).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"--data_dir={given.data_dir!r}: no folder of CT scans or images"
        )
    data = replace(config.data, dir=str(root), format="auto", boxes="")
    scans = scan_folder.find(data, masks=False)
    config_flags.make_room(out)
    least = predictor.threshold if given.min_score is None else given.min_score

    def hearts(images: Dataset) -> dict[str, list[float]]:
        return {
            image.name: image.det_boxes[image.det_scores.argmax()].tolist()
            for image in predictor.detect(images, config.eval.batch_size)
            if image.above(least).any()
        }

    rows, without = [], []
    if scans is None:
        images = of_folder(root, data)
        boxes = hearts(images)
        rows = [(name, *box) for name, box in boxes.items()]
        without = [name for name in images.names if name not in boxes]
        what, header = "image", heart_boxes.IMAGES
    else:
        what, header = "slice", heart_boxes.HEADER
        for files in tqdm(scans.scans, "find hearts", unit="scan"):
            hu = volumes.read_volume(files.path, series=files.series).hu
            boxes = hearts(of_arrays([*hu[..., None]]))
            rows += [(files.name, int(z), *box) for z, box in boxes.items()]
            without += [] if boxes else [files.name]
    if not rows:
        raise ValueError(
            f"{root}: no {what} with a heart of a score of {least:.3g} or more, so nothing "
            "is written; lower --min_score, or name a run that was trained on such images"
        )
    heart_boxes.write_boxes(out, rows, header)
    print(f"{out}: {len(rows)} {what}s with a heart, score >= {cut(least)}")
    if without:
        few = ", ".join(without[:8])
        then = (
            "They stay whole"
            if scans is None
            else "A crop by this file needs a row for each"
        )
        print(
            f"no heart found in {len(without)} {'scans' if scans else 'images'}: {few}. "
            f"{then}: add one by hand, or lower --min_score"
        )
