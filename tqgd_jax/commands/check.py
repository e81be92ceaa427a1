"""Prints what is in a folder of images or scans, and everything wrong with it.

tqgd check DIR [--image_size 640] [--anchors coco] [--picture areas.png] ...

Exit code 0: clean, 1: problems found, 2: unusable.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tqgd_jax.anchors import best_possible_recall, choose
from tqgd_jax.config import Config, Crop, Data, Model
from tqgd_jax.data.discover import split_source
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.read import validation
from tqgd_jax.data.split import patients
from tqgd_jax.evaluation.measures import size_strata
from tqgd_jax.io import images
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import DatasetIndex, Sample

SIZES = 8  # kinds of images listed one by one
AREAS = (10, 100, 200)  # px, edges of the paper's bins


def examine(config: Config, picture: Path | None = None) -> int:
    """Prints the report and returns the exit code.

    Args:
      config: settings of the data, the anchors and the image size.
      picture: PNG to draw of the areas of boxes, beside the paper's (Fig. 2).
    """
    from tqgd_jax.data.index_dataset import index_dataset

    try:
        layout = discover(config.data)
        try:
            dataset = index_dataset(config, layout)
        except patients.TooFewError as error:
            print(f"note      {error}\n")  # for training; the data may be sound
            config.data.split, config.data.ratio = "ratio", (1.0, 0.0, 0.0)
            config.data.hold_out = 0.0
            split = split_source.source(layout.folder, config.data)
            dataset = index_dataset(config, layout._replace(split=split))
    except ValueError as error:
        print(f"unusable: {error}")
        return 2
    samples = [sample for of in dataset.parts.values() for sample in of]
    damaged, values = _look(samples)
    problems = [*dataset.problems, *damaged]
    if values and samples[0].header.dtype != "int16":
        window = config.data.window_of(np.dtype(samples[0].header.dtype))
        problems += validation.dark(dataset.root, values[1], window)
    problems.sort()
    _summary(dataset, samples, problems)
    if values:
        print(f"values    {values[0]} to {values[1]}")
    _masks(samples, config.data)
    _boxes(samples)
    if picture is not None:
        _picture(picture, dataset, samples)
    unusable = not samples
    try:
        _anchors(dataset, samples, config)
        images.same_kind([i.path for i in samples], [i.header for i in samples])
    except ValueError as error:
        print(f"\nunusable: {error}")
        unusable = True
    for problem in validation.noted(problems)[: validation.LISTED]:
        print(f"note      {problem}")
    bad = validation.faults(problems)
    print(f"\nproblems: {validation.counts(bad) or 'none'}")
    for kind, n in sorted(Counter(p.kind for p in bad).items()):
        print(f"  {n} {kind}: {validation.KINDS[kind]}")
    for problem in bad:
        print(f"  {problem}")
    return 2 if unusable else int(bool(bad))


def _look(samples: list[Sample]) -> tuple[list[Problem], tuple[int, int] | None]:
    """Images that cannot be read, and the lowest and highest value of the others."""
    damaged, lows, highs = [], [], []
    for sample in samples:
        try:
            pixels = sample.pixels()
            lows.append(pixels.min().item())
            highs.append(pixels.max().item())
        except ValueError as error:
            text = str(error).removeprefix(f"{sample.path}: ")
            damaged.append(Problem(sample.path, 0, "unreadable", text))
    return damaged, (min(lows), max(highs)) if lows else None


def _summary(
    dataset: DatasetIndex, samples: list[Sample], problems: list[Problem]
) -> None:
    print(f"folder    {dataset.root}")
    print(f"format    {dataset.format}")
    print(f"classes   {', '.join(dataset.classes)}")
    parts = ", ".join(f"{part} {len(of)}" for part, of in dataset.parts.items())
    print(f"split     {parts} (from: {dataset.mode})")
    people = len({sample.patient for sample in samples})
    print(f"images    {len(samples)} of {people} patients or single images")
    kinds = Counter(i.header for i in samples)
    for (h, w, c, dtype), n in sorted(kinds.items()) if len(kinds) <= SIZES else ():
        print(f"          {n} of {w}x{h} px, {'grey' if c == 1 else 'RGB'}, {dtype}")
    if len(kinds) > SIZES:
        w, h = ([header[axis] for header in kinds] for axis in (1, 0))
        print(
            f"          {min(w)} to {max(w)} px wide, {min(h)} to {max(h)} px high, "
            + ", ".join(sorted({k.dtype for k in kinds}))
        )
    for note in (*dataset.notes, *([dataset.disclaimer] if dataset.disclaimer else [])):
        print(f"          {note}")
    if scans := {i.slice.scan: i.slice for i in samples if i.slice is not None}:
        mm = sorted({f"{s.spacing[0]:g} x {s.spacing[2]:.3g}" for s in scans.values()})
        print(f"spacing   {', '.join(mm[:SIZES])} mm (slices x pixels)")
        by = Counter(s.scanner or "unknown" for s in scans.values())
        print("scanners  " + ", ".join(f"{k}: {n}" for k, n in sorted(by.items())))
    empty = sum(not len(i.labels) for i in samples)
    unlabelled = sum(p.kind == "no_annotation" for p in problems)
    print(f"no boxes  {empty} images, {unlabelled} of them without annotation file")


def _masks(samples: list[Sample], data: Data) -> None:
    if not samples:
        return
    kind = "true" if all(sample.parts is not None for sample in samples) else "pseudo"
    dtype = np.dtype(samples[0].header.dtype)
    from tqgd_jax.data import masks

    least = masks.least_calcium(data, data.lesion_hu, dtype)
    because = masks.no_masks(data.boxes)
    print(f"masks     {masks.statement(kind, least, dtype, because)}")


def _boxes(samples: list[Sample]) -> None:
    counts = np.array([len(i.labels) for i in samples] or [0])
    print(
        f"boxes     {counts.sum()}; per image {counts.min()} to {counts.max()}, "
        f"median {np.median(counts):g}"
    )
    if not counts.sum():
        return
    wh = _sides(samples)
    for axis, name in enumerate(("width", "height")):
        low, middle, high = np.percentile(wh[:, axis], (5, 50, 95))
        print(
            f"{name:9} {wh[:, axis].min():g} to {wh[:, axis].max():g} px, "
            f"median {middle:g}, 5 % below {low:g}, 5 % above {high:g}"
        )
    print("areas")
    for name, n in zip(size_strata.size_names(AREAS), area_counts(wh), strict=True):
        print(f"  {name + ' px':>11}  {n:6d}  {'#' * round(50 * n / len(wh))}")


def _picture(path: Path, dataset: DatasetIndex, samples: list[Sample]) -> None:
    from tqgd_jax.phantom.dataset import simulated
    from tqgd_jax.report import size_histogram
    from tqgd_jax.study import paper_values

    own, (name, counts) = area_counts(_sides(samples)), paper_values.AREAS
    bars = {dataset.root.resolve().name: own, name: counts}
    remark = "simulated patients" * simulated(dataset.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    size_histogram.draw(path, bars, size_strata.size_names(AREAS), remark)
    print(f"picture   {path}: areas as in the paper's Fig. 2, beside {name}")


def _anchors(dataset: DatasetIndex, samples: list[Sample], config: Config) -> None:
    """Raises ValueError when a run would have no anchors."""
    side, model = config.data.image_size, config.model
    train = _sides(dataset.parts.get("train", []), side)
    limit = config.loss.anchor_threshold
    anchors = choose(model, train, config.seed, limit)
    boxes = anchors.boxes.reshape(-1, 2)
    recall = best_possible_recall(_sides(samples, side), boxes, limit)
    heads = ",".join(map(str, model.heads))
    print(
        f"anchors   best possible recall {recall:.4f} ({anchors.origin}, heads {heads}, "
        f"{side} px)"
    )
    if anchors.lost:
        print(
            f"          {anchors.lost} of {len(train)} training boxes match no anchor; "
            "--anchors auto fits them, a larger --image_size enlarges the boxes"
        )


def _sides(samples: list[Sample], side: int = 0) -> Float[np.ndarray, "n 2"]:
    """Width and height of every box; with `side`, the long side of its image there."""
    gains = [side / max(i.header[:2]) if side else 1.0 for i in samples]
    boxes = [i.boxes * np.float32(g) for i, g in zip(samples, gains, strict=True)]
    every = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
    return every[:, 2:] - every[:, :2]


def area_counts(wh: Float[np.ndarray, "n 2"]) -> list[int]:
    """Boxes in each bin of `AREAS`; a bin ends with its upper edge."""
    places = size_strata.stratum(wh.astype(np.float64).prod(axis=1), AREAS)
    return np.bincount(places, minlength=len(AREAS) + 1).tolist()


def _levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(level) for level in text.split(","))
    except ValueError as error:
        raise ValueError(f"--heads: levels such as 3,4,5, got {text!r}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    plain = Data()
    parser = argparse.ArgumentParser("tqgd check", description=__doc__)
    parser.add_argument("dir", help="folder of the data set")
    for name in (
        *("image_size", "format", "split", "group", "bad_labels", "hold_out"),
        *("slices", "boxes", "scan_pattern", "mask_pattern", "lesion_hu"),
    ):
        default = getattr(plain, name)
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--classes", default="", help="comma-separated, in order")
    parser.add_argument(
        "--anchors", default=Model().anchors, help="as model.anchors: auto, coco, ..."
    )
    heads = ",".join(map(str, Model().heads))
    parser.add_argument("--heads", default=heads, help="as model.heads: 3,4,5")
    crop = Crop().method
    parser.add_argument("--crop", default=crop, help="as data.crop.method")
    parser.add_argument(
        "--window",
        nargs=2,
        type=float,
        default=plain.window,
        metavar=("LOW", "HIGH"),
        help="as data.window",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="draws the areas of boxes (Fig. 2)"
    )
    values = vars(parser.parse_args(argv))
    picture = values.pop("picture")
    seed, anchors, heads = (values.pop(name) for name in ("seed", "anchors", "heads"))
    values["window"] = tuple(values["window"])
    values["classes"] = tuple(name for name in values["classes"].split(",") if name)
    logging.basicConfig(level=logging.WARNING)
    try:
        values["crop"] = Crop(method=values.pop("crop"))
        model = Model(anchors=anchors, heads=_levels(heads))
        return examine(Config(seed=seed, model=model, data=Data(**values)), picture)
    except ValueError as error:
        print(f"unusable: {error}")
        return 2
