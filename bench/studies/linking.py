"""What docs/design/0014-lesions-in-3d.md chose between, on a phantom's boxes.

`python -m bench.studies.linking --phantom DIR`, DIR made by `tqgd phantom`: slice
boxes of its masks are linked without their lesion numbers, by several rules, and
compared with the numbers; then they are shifted, enlarged and put anywhere, as a
detector might, to see which of them meet a lesion.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from tqgd_jax.ct.lesions import lesion_boxes
from tqgd_jax.evaluation.measures.lesions3d import link, link_detections
from tqgd_jax.io.volumes import read_mask, read_volume
from tqgd_jax.overlap import box_iou
from tqgd_jax.structures.image import Image, Lesion, Place

ABOVE = 130  # HU
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    """Prints what each rule does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantom", type=Path, required=True)
    images = read(parser.parse_args().phantom / "Training Set")
    boxes = np.concatenate([i.boxes for i in images])
    print(f"{len(images)} slices, {len(boxes)} boxes")
    linking(images)
    meeting(boxes)
    percolation()


def read(root: Path) -> list[Image]:
    """Every slice of every scan, its boxes and their lesion numbers."""
    images = []
    for mask in sorted((root / "Reference standard").glob("*.mhd")):
        name = mask.stem.removesuffix("R")
        volume = read_volume(next((root / "Images").glob(f"{name}*.mhd")))
        found, _ = lesion_boxes(
            read_mask(mask, volume), volume.hu, volume.spacing, ABOVE
        )
        for z in range(len(volume.hu)):
            here = [b for b in found if b.z == z]
            boxes = np.array([b.box for b in here], float).reshape(-1, 4)
            lesions = tuple(Lesion(lesion=b.lesion) for b in here)
            images.append(slice_of(name, z, boxes)._replace(lesions=lesions))
    return images


def slice_of(name: str, z: int, boxes: np.ndarray) -> Image:
    """An image in which everything labelled is also detected."""
    labels = np.zeros(len(boxes), int)
    place = Place(name, "", z)
    ones = np.ones(len(boxes))
    return Image(f"{name}-{z}", boxes, labels, boxes, ones, labels, place=place)


def linking(images: list[Image]) -> None:
    """Lesions cut into several, and chains of several lesions, by each rule."""
    true = np.concatenate(link(images))
    bare = [i._replace(lesions=()) for i in images]
    for name, least in (
        ("any", 0),
        ("IoU .05", 0.05),
        ("IoU .1", 0.1),
        ("IoU .3", 0.3),
    ):

        def rule(a: np.ndarray, b: np.ndarray, least: float = least) -> np.ndarray:
            iou = box_iou(a, b)
            return (iou >= least) & (iou > 0)

        with mock.patch("tqgd_jax.evaluation.matching.lesion_links.meet", rule):
            got = np.concatenate(link(bare))
        split = sum(len(set(got[true == k])) > 1 for k in set(true))
        merged = sum(len(set(true[got == k])) > 1 for k in set(got))
        print(f"link by {name}: {len(set(true))} lesions, {split} cut, {merged} merged")


def meeting(boxes: np.ndarray) -> None:
    """Shares of altered boxes that meet their lesion by each rule."""
    rng = np.random.default_rng(0)
    centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for sd in (1, 2, 3):
        moved = boxes + rng.normal(0, sd, boxes.shape)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        report(f"edges moved, SD {sd} px", boxes, moved)
    for times in (2, 3, 4, 10):
        half = side * times / 2
        report(
            f"enlarged {times} times", boxes, np.hstack([centre - half, centre + half])
        )
    for wide in (8, 16, 32, 64):
        many = np.repeat(boxes, 100, axis=0)
        low = rng.uniform(100, 400 - wide, (len(many), 2))
        report(f"anywhere, {wide} px wide", many, np.hstack([low, low + wide]))


def report(what: str, boxes: np.ndarray, other: np.ndarray) -> None:
    """One line of shares."""
    iou = np.array(
        [box_iou(a[None], b[None])[0, 0] for a, b in zip(boxes, other, strict=True)]
    )
    off = np.hypot(*((boxes[:, :2] + boxes[:, 2:] - other[:, :2] - other[:, 2:]).T / 2))
    centre = off <= (boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2
    rules = {
        "any": iou > 0,
        "IoU .1": iou >= 0.1,
        "IoU .5": iou >= 0.5,
        "centre": centre,
    }
    print(f"{what}:", *(f"{name} {share.mean():.4f}" for name, share in rules.items()))


def percolation() -> None:
    """How false alarms of 8 px in 300 x 300 px, anywhere, link through 40 slices."""
    rng = np.random.default_rng(0)
    for many in (1, 3, 10, 30, 100, 300):
        low = rng.uniform(0, 292, (40, many, 2))
        images = [slice_of("p", z, np.hstack([c, c + 8])) for z, c in enumerate(low)]
        lesion = np.concatenate(link_detections(images, [0.5] * 40))
        print(
            f"{many} false alarms a slice: {40 * many} boxes, {lesion.max() + 1} "
            f"lesions, the largest of {np.bincount(lesion).max()} boxes"
        )


if __name__ == "__main__":
    main()
