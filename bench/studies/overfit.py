"""Whether a network can learn at all: eight slices with calcium, until it knows them.

    python -m bench.studies.overfit --data runs/phantom-gated --rows ZHAO SEGNET ...

trains each row of `configs/paper.py:table-1` on the same eight slices, without random
changes of the images, and prints a JSON object a row: recall at IoU .5 and false alarms of
the boxes with a score of at least .5 (of a segmentation, of its components with p >= .5),
and the Dice of its pixels. Simulated patients as a rule; nothing here is a result.
"""

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path

import jax
import numpy as np

from tqgd_jax.config import Augment
from tqgd_jax.data.dataset import in_order, label_map
from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.evaluator import evaluate
from tqgd_jax.inference import make_predict
from tqgd_jax.structures.thresholds import POINT_TAU
from tqgd_jax.study import study_file
from tqgd_jax.study.overrides import overridden
from tqgd_jax.trained import load
from tqgd_jax.training.runtime.compile_cache import use_cache
from tqgd_jax.training.train import train

SLICES = 8
STILL = Augment(mosaic=0.0, scale=0.0, translate=0.0, flip=0.0, value=0.0, hue=0.0)


def first_with_calcium(source, count):
    """The first images that have a box, as a split of their own."""
    chosen = [i for i, boxes in enumerate(source.boxes) if len(boxes)][:count]
    lists = ("names", "patients", "boxes", "labels", "slices", "lesions", "crops")
    picked = {
        name: [values[i] for i in chosen]
        for name in (*lists, "parts")
        if (values := getattr(source, name))
    }
    return dataclasses.replace(
        source,
        **picked,
        sizes=source.sizes[chosen],
        image=lambda i: source.image(chosen[i]),
        capacity=0,
    )


def dice(config, predictor, images):
    """Of all pixels of the images together, at p >= .5; None for a detector."""
    if not predictor.network.segments:
        return None
    predict = make_predict(config, len(images.classes), predictor.anchors)
    both = either = 0.0
    for batch in in_order(images, 1):
        i = int(batch.index[0, 0])
        h, w = images.sizes[i]
        maps = predict(predictor.variables, jax.tree.map(np.asarray, batch))
        lesion = np.asarray(maps.probability)[0, :h, :w] >= POINT_TAU
        truth = label_map(images, i) > 0
        both += (lesion & truth).sum()
        either += lesion.sum() + truth.sum()
    return round(2 * both / either, 3)


def run(row, study, args):
    """Trains and judges one row; returns its figures."""
    config = overridden(study.base, row.settings, row.name)
    config = overridden(config, {"data.dir": args.data}, "--data")
    changed = dict(pair.split("=", 1) for pair in args.set)
    config = overridden(
        config, {name: json.loads(value) for name, value in changed.items()}, "--set"
    )
    config = dataclasses.replace(
        config,
        augment=STILL,
        train=dataclasses.replace(
            config.train,
            epochs=-(-args.steps * config.data.batch_size // SLICES),
            steps=args.steps,
            checkpoint_every=args.steps,
        ),
    )
    images = first_with_calcium(open_data(config)["train"], SLICES)
    folder = Path(args.out) / row.name
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    train(config, folder, {"train": images})
    seconds = time.perf_counter() - start
    predictor = load(folder)
    seen = predictor.detect_at(images, (POINT_TAU,))[0]
    least = 0.0 if predictor.network.segments else args.score
    found = evaluate(seen, images.classes, least)
    hits = found["recall"] * found["boxes"]
    return {
        "row": row.name,
        "px": config.data.image_size,
        "width": config.baseline.width,
        "steps": args.steps,
        "s": round(seconds),
        "boxes": found["boxes"],
        "recall": found["recall"],
        "false alarms": round(hits / found["precision"] - hits)
        if found["precision"]
        else None,
        "dice": dice(config, predictor, images),
    }


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", nargs="+", default=[])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--score", type=float, default=0.5)
    parser.add_argument("--out", default="runs/overfit")
    parser.add_argument("--set", nargs="*", default=[], help="NAME=JSON for all rows")
    args = parser.parse_args()
    if not Path(args.data).is_dir():
        parser.error(
            f"--data: no folder {args.data!r}; `tqgd phantom --out DIR` makes one"
        )
    study = study_file.load(
        str(Path(__file__).parents[2] / "configs/paper.py"), "table-1"
    )
    names = [row.name for row in study.rows]
    if unknown := [name for name in args.rows if name not in names]:
        parser.error(f"--rows: no row {unknown[0]!r}; there are: {', '.join(names)}")
    use_cache()
    for row in study.rows:
        if not args.rows or row.name in args.rows:
            print(json.dumps(run(row, study, args)), flush=True)


if __name__ == "__main__":
    main()
