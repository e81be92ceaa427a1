"""The TFDS builder of a prepared set. Importing this imports tfds.

Records are ArrayRecord, read by index; image tensors of unknown size need zlib there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from tqgd_jax.data.images import read_image
from tqgd_jax.data.scan import Item


class Slices(tfds.core.GeneratorBasedBuilder):
    """Images and boxes in the order given, no pixel changed."""

    VERSION = tfds.core.Version("1.0.0")
    # nothing is downloaded; tfds would look for checksums beside this file, with
    # importlib_resources, which it does not install
    code_path = None

    def __init__(self, parts: dict[str, list[Item]], data_dir: Path) -> None:
        self.parts = parts
        self.header = next(item.header for items in parts.values() for item in items)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(
                shape=(None, None, self.header.channels),
                dtype=np.dtype(self.header.dtype),
                encoding="zlib",
            ),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "labels": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "name": tfds.features.Text(),
            "group": tfds.features.Text(),
        }
        # the order is the index: `index.npz` counts on it
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator[Any]]:
        return {part: self._generate_examples(part) for part in self.parts}

    def _generate_examples(self, part: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for i, item in enumerate(tqdm(self.parts[part], f"prepare {part}", unit="img")):
            yield (
                i,
                {
                    "image": read_image(item.path),
                    "boxes": item.boxes,
                    "labels": item.labels,
                    "name": item.name,
                    "group": item.group,
                },
            )
