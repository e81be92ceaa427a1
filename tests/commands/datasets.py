"""Data sets of a few images in memory."""

from collections.abc import Mapping, Sequence

import numpy as np

from tqgd_jax.data.dataset import Dataset

HU = (-1200.0, 1800.0)
Box = tuple[int, float, float, float, float]  # class and edges


def source(
    images: dict[str, np.ndarray],
    boxes: Mapping[str, Sequence[Box]],
    classes: tuple[str, ...] = ("cac", "a <&> b"),
    disclaimer: str = "",
) -> Dataset:
    """The patient of "x_3" is "x"."""
    names = sorted(images)
    rows = [np.array(boxes.get(n, ()), np.float32).reshape(-1, 5) for n in names]
    shapes = [images[n].shape for n in names]
    return Dataset(
        classes=classes,
        names=names,
        patients=[n.split("_")[0] for n in names],
        sizes=np.array([s[:2] for s in shapes], np.int32).reshape(-1, 2),
        boxes=[r[:, 1:] for r in rows],
        labels=[r[:, 0].astype(np.int32) for r in rows],
        shape=(64, 64, shapes[0][2]),
        max_boxes=max(1, *map(len, rows)),
        dtype=images[names[0]].dtype,
        fingerprint="f" * 64,
        image=lambda i: images[names[i]],
        disclaimer=disclaimer,
    )


def noise(seed: int, h: int, w: int, c: int = 1, kind: str = "int16") -> np.ndarray:
    """Every value of the type may occur; the extremes do."""
    of = np.iinfo(kind)
    rng = np.random.default_rng(seed)
    image = rng.integers(of.min, of.max, (h, w, c), kind, endpoint=True)
    image[0, 0], image[0, 1] = of.min, of.max
    return image
