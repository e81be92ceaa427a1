"""A split of a prepared data set: boxes in memory, pixels on demand."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

from tqgd_jax.config import Config
from tqgd_jax.data import masks as label_maps
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
      parts: of a set with masks: which pixels of each box are its lesion (`data.masks`).
      calcium: least stored value that is calcium; None: of no use to masks.
      no_masks: why there are no true masks.
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
    parts: list[Bool[np.ndarray, "_"]] | None = None
    calcium: float | None = None
    no_masks: str = ""

    @property
    def masks(self) -> str:
        """Whose masks `label_map` gives: "true", "pseudo", or "" where it gives none."""
        if self.parts is not None:
            return "true"
        return "" if self.calcium is None else "pseudo"

    @property
    def masks_statement(self) -> str:
        """What every result of a segmentation that trained on this must say."""
        if self.calcium is None:
            return "none"
        why = self.no_masks
        return label_maps.statement(self.masks, self.calcium, self.dtype, why)


def label_map(
    source: Dataset, i: int, image: Integer[np.ndarray, "h w c"] | None = None
) -> UInt8[np.ndarray, "h w"]:
    """What each pixel of an image is: 0 none, 1 + class of the lesion there.

    `image` saves reading it again. Raises ValueError where no masks can be made.
    """
    boxes, labels = source.boxes[i], source.labels[i]
    if len(source.classes) > label_maps.MAX_CLASSES:
        raise ValueError(
            f"a label map holds {label_maps.MAX_CLASSES} classes, the data set has "
            f"{len(source.classes)}; name fewer with data.classes"
        )
    if source.parts is not None:
        h, w = source.sizes[i].tolist()
        return label_maps.fill((h, w), boxes, labels, source.parts[i])
    if source.calcium is None:
        raise ValueError(
            "these images have no labels to make masks of; open a labelled folder with "
            "data.dir, or give `Dataset.calcium`, the least value that is calcium"
        )
    image = source.image(i) if image is None else image
    return label_maps.pseudo(image, boxes, labels, source.calcium)


def load(
    source: Dataset, indices: Int[np.ndarray, "b t"], *, masks: bool = False
) -> Batch:
    """Reads and pads a batch; index -1 is an empty image of one pixel.

    With `masks` it has those of the lesions (`label_map`).
    """
    b, t = indices.shape
    m = source.max_boxes
    image = np.zeros((b, t, *source.shape), source.dtype)
    size = np.ones((b, t, 2), np.int32)
    boxes = np.zeros((b, t, m, 4), np.float32)
    labels = np.zeros((b, t, m), np.int32)
    valid = np.zeros((b, t, m), np.bool_)
    lesion = np.zeros((b, t, *source.shape[:2]), np.uint8) if masks else None
    for at in np.ndindex(b, t):
        i = int(indices[at])
        if i < 0:
            continue
        h, w = source.sizes[i]
        k = len(source.labels[i])
        pixels = source.image(i)
        image[at][:h, :w] = pixels
        if lesion is not None:
            lesion[at][:h, :w] = label_map(source, i, pixels)
        size[at] = h, w
        boxes[at][:k] = source.boxes[i]
        labels[at][:k] = source.labels[i]
        valid[at][:k] = True
    index = indices.astype(np.int32)
    return Batch(image, size, boxes, labels, valid, index, lesion)


def in_order(source: Dataset, batch: int, *, masks: bool = False) -> Iterator[Batch]:
    """Every image once, one tile each; padding images (-1) fill the last batch."""
    for indices in eval_indices(len(source.names), batch):
        yield load(source, indices, masks=masks)


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
