"""Images without labels as a data set that a detector reads: arrays, or a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer

from tqgd_jax.config import Data
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.discover import image_folder
from tqgd_jax.io import images, walk


def of_arrays(
    arrays: Sequence[Integer[np.ndarray, "_ _ _"]], multiple: int = 1
) -> Dataset:
    """Images in memory, named 0, 1, ...; padded sides are multiples of `multiple`.

    Raises:
      ValueError: they are not of one type and number of channels.
    """
    kinds = {(array.shape[2], array.dtype) for array in arrays}
    if len(kinds) != 1:
        raise ValueError(
            f"images of one batch have one number of channels and one type, got "
            f"{sorted(map(str, kinds)) or 'no image'}"
        )
    sizes = np.array([array.shape[:2] for array in arrays], np.int32)
    names = [str(i) for i in range(len(arrays))]
    (kind,) = kinds
    return _unlabelled(names, sizes, *kind, lambda i: arrays[i], multiple)


def of_folder(root: Path, data: Data) -> Dataset:
    """The images of a folder, or one image, for a detector trained with `data`.

    Raises ValueError when its window is one of Hounsfield units.
    """
    files = walk.files(root) if root.is_dir() else [root]
    return of_files(root, files, data)


def of_files(root: Path, files: Sequence[Path], data: Data) -> Dataset:
    """As `of_folder`, of the images among files below a folder."""
    names = image_folder.named(root if root.is_dir() else root.parent, files)
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
    multiple: int = 1,
) -> Dataset:
    height, width = (-(-sizes.max(axis=0) // multiple) * multiple).tolist()
    return Dataset(
        classes=(),
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
