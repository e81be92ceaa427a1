"""A split of a prepared data set: boxes in memory, pixels on demand."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.config import Config
from tqgd_jax.data.batches.order import eval_indices
from tqgd_jax.structures.batch import Batch
from tqgd_jax.structures.dataset_index import Lesion, SliceInfo

logger = logging.getLogger("tqgd_jax")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """One split.

    Attributes:
      classes: names by class index.
      names: unique name of each image.
      patients: patient of each image.
      sizes: height and width of each image, px.
      boxes: (x0, y0, x1, y1) of each image in px of the stored image, x1 exclusive.
      labels: class index of each box.
      shape: height, width and channels that hold any image of the data set, whatever
        the split.
      max_boxes: most boxes of one image of the data set, at least 1.
      dtype: of the pixels: uint8, uint16 or int16.
      fingerprint: of the files and settings the set was prepared from.
      image: reads one image at its own size.
      capacity: images that training may have, the same for every fold and seed, so that
        a compiled step fits all.
      disclaimer: what every result on this split must say; empty for an honest one.
      fold: (fold, folds) where the test part is one of several; else None.
      positive_only: of CT: slices without a box were left out.
      slices: of CT: where each image comes from; else empty.
      lesions: of CT: what is known of each box; else empty.
      crops: of images that heart boxes crop: (x0, y0, x1, y1), the part of the whole
        image that is each, px; else empty.
    """

    classes: tuple[str, ...]
    names: list[str]
    patients: list[str]
    sizes: Int[np.ndarray, "n 2"]
    boxes: list[Float[np.ndarray, "_ 4"]]
    labels: list[Int[np.ndarray, "_"]]
    shape: tuple[int, int, int]
    max_boxes: int
    dtype: np.dtype
    fingerprint: str
    image: Callable[[int], Int[np.ndarray, "h w c"]]
    capacity: int = 0
    disclaimer: str = ""
    fold: tuple[int, int] | None = None
    positive_only: bool = False
    slices: list[SliceInfo] = dataclasses.field(default_factory=list)
    lesions: list[list[Lesion]] = dataclasses.field(default_factory=list)
    crops: list[tuple[int, int, int, int]] = dataclasses.field(default_factory=list)


def load(source: Dataset, indices: Int[np.ndarray, "b t"]) -> Batch:
    """Reads and pads a batch; index -1 is an empty image of one pixel."""
    b, t = indices.shape
    m = source.max_boxes
    image = np.zeros((b, t, *source.shape), source.dtype)
    size = np.ones((b, t, 2), np.int32)
    boxes = np.zeros((b, t, m, 4), np.float32)
    labels = np.zeros((b, t, m), np.int32)
    valid = np.zeros((b, t, m), np.bool_)
    for at in np.ndindex(b, t):
        i = int(indices[at])
        if i < 0:
            continue
        h, w = source.sizes[i]
        k = len(source.labels[i])
        image[at][:h, :w] = source.image(i)
        size[at] = h, w
        boxes[at][:k] = source.boxes[i]
        labels[at][:k] = source.labels[i]
        valid[at][:k] = True
    return Batch(image, size, boxes, labels, valid, indices.astype(np.int32))


def in_order(source: Dataset, batch: int) -> Iterator[Batch]:
    """Every image once, one tile each; padding images (-1) fill the last batch."""
    for indices in eval_indices(len(source.names), batch):
        yield load(source, indices)


def required(splits: Mapping[str, Dataset], name: str, config: Config) -> Dataset:
    """A split by name. Raises ValueError when the data set has none."""
    if name not in splits:
        names = ", ".join(f"{part} ({len(s.names)})" for part, s in splits.items())
        hint = "; data.hold_out takes it from train" if name == "val" else ""
        raise ValueError(
            f"{config.data.dir} has no split {name!r}; there are: {names}{hint}"
        )
    return splits[name]


def same_data(source: Dataset, fingerprint: str) -> None:
    """Warns when `source` was prepared from other data than `fingerprint` names."""
    if source.fingerprint != fingerprint:
        logger.warning(
            "other data than in training: prepared as %.16s, trained on %.16s. Files "
            "or data settings have changed, so a test image may have been trained on",
            source.fingerprint,
            fingerprint,
        )


def boxes_at(source: Dataset, image_size: int) -> Float[np.ndarray, "n 2"]:
    """Width and height of every box, the long side of its image at `image_size`."""
    gains = image_size / source.sizes.max(axis=1, initial=1)
    counts = [len(b) for b in source.boxes]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *source.boxes])
    wh = (boxes[:, 2:] - boxes[:, :2]) * np.repeat(gains, counts)[:, None]
    return wh.astype(np.float32)
