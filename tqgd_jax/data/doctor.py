"""Prints what is in a folder of images and boxes, and everything wrong with it.

python -m tqgd_jax.data.doctor DIR [--image_size 640] [--format auto] ...

Exit code 0: clean, 1: problems found, 2: unusable.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tqgd_jax.anchors import best_possible_recall
from tqgd_jax.config import Config, Data
from tqgd_jax.data import images, labels
from tqgd_jax.data.annotations import Problem
from tqgd_jax.data.scan import Item, Scan, scan

COCO = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90),
        (156, 198), (373, 326))  # fmt: skip
AREAS = ((0, 10), (10, 100), (100, 200), (200, np.inf))  # px, the paper's bins


def examine(data: Data, seed: int = 0) -> int:
    """Prints the report and returns the exit code."""
    try:
        scanned = scan(Config(seed=seed, data=data))
    except ValueError as error:
        print(f"unusable: {error}")
        return 2
    items = [item for of in scanned.parts.values() for item in of]
    problems = sorted([*scanned.problems, *_damaged(items)])
    _summary(scanned, items, problems)
    _boxes(items, data.image_size)
    unusable = not items
    try:
        images.same_kind([i.path for i in items], [i.header for i in items])
    except ValueError as error:
        print(f"\nunusable: {error}")
        unusable = True
    bad = labels.faults(problems)
    print(f"\nproblems: {labels.counts(bad) or 'none'}")
    for problem in bad:
        print(f"  {problem}")
    return 2 if unusable else int(bool(bad))


def _damaged(items: list[Item]) -> list[Problem]:
    found = []
    for item in items:
        try:
            images.read_image(item.path)
        except ValueError as error:
            text = str(error).removeprefix(f"{item.path}: ")
            found.append(Problem(item.path, 0, "unreadable", text))
    return found


def _summary(scanned: Scan, items: list[Item], problems: list[Problem]) -> None:
    print(f"folder    {scanned.layout.root}")
    print(f"format    {scanned.layout.format}")
    print(f"classes   {', '.join(scanned.classes)}")
    parts = ", ".join(f"{part} {len(of)}" for part, of in scanned.parts.items())
    print(f"split     {parts} (from: {scanned.mode})")
    patients = len({item.group for item in items})
    print(f"images    {len(items)} of {patients} patients or single images")
    kinds = Counter(i.header for i in items)
    for (h, w, c, dtype), n in sorted(kinds.items()):
        print(f"          {n} of {w}x{h} px, {'grey' if c == 1 else 'RGB'}, {dtype}")
    empty = sum(not len(i.labels) for i in items)
    unlabelled = sum(p.kind == "no_annotation" for p in problems)
    print(f"no boxes  {empty} images, {unlabelled} of them without annotation file")


def _boxes(items: list[Item], image_size: int) -> None:
    counts = np.array([len(i.labels) for i in items] or [0])
    print(
        f"boxes     {counts.sum()}; per image {counts.min()} to {counts.max()}, "
        f"median {np.median(counts):g}"
    )
    if not counts.sum():
        return
    wh = np.concatenate([i.boxes[:, 2:] - i.boxes[:, :2] for i in items])
    for axis, name in enumerate(("width", "height")):
        low, middle, high = np.percentile(wh[:, axis], (5, 50, 95))
        print(
            f"{name:9} {wh[:, axis].min():g} to {wh[:, axis].max():g} px, "
            f"median {middle:g}, 5 % below {low:g}, 5 % above {high:g}"
        )
    print("areas")
    for (low, high), n in zip(AREAS, area_counts(wh), strict=True):
        name = f"> {low:g} px" if high == np.inf else f"{low:g}-{high:g} px"
        print(f"  {name:>11}  {n:6d}  {'#' * round(50 * n / len(wh))}")
    gains = [image_size / max(i.header[:2]) for i in items]
    scaled = wh * np.repeat(gains, counts)[:, None].astype(np.float32)
    recall = best_possible_recall(scaled, np.array(COCO, np.float32))
    print(
        f"anchors   best possible recall {recall:.4f} (COCO anchors, {image_size} px)"
    )


def area_counts(wh: Float[np.ndarray, "n 2"]) -> list[int]:
    """Boxes in each bin of `AREAS`; a bin ends with its upper edge."""
    areas = wh.astype(np.float64).prod(axis=1)
    return [int(((areas > low) & (areas <= high)).sum()) for low, high in AREAS]


def main(argv: Sequence[str]) -> int:
    plain = Data()
    parser = argparse.ArgumentParser("tqgd_jax.data.doctor", description=__doc__)
    parser.add_argument("dir", help="folder of the data set")
    for name in ("image_size", "format", "split", "group", "bad_labels", "hold_out"):
        default = getattr(plain, name)
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--classes", default="", help="comma-separated, in order")
    parser.add_argument("--seed", type=int, default=0)
    said = vars(parser.parse_args(argv))
    seed = said.pop("seed")
    said["classes"] = tuple(name for name in said["classes"].split(",") if name)
    logging.basicConfig(level=logging.WARNING)
    try:
        return examine(Data(**said), seed)
    except ValueError as error:
        print(f"unusable: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
