"""A prepared set on disk: records of pixels, and `index.npz` of everything else.

It holds every image or slice once, whatever the split. Records are read without
TensorFlow.
"""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.data import masks
from tqgd_jax.data.prepared.packed import load_arrays
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.splits import Rows
from tqgd_jax.structures.dataset_index import Header, Record, Window
from tqgd_jax.structures.image import Lesion

PART = "images"  # the only part of the records


def write_index(folder: Path, rows: Rows, root: Path) -> None:
    """All but the pixels and the problems of a set whose files are in `root`."""
    records = [rows.records[s.name] for s in rows.slices]
    meta = {
        "kind": "tqgd_jax",
        "classes": rows.classes,
        "slices": [
            s._replace(path=s.path.relative_to(root).as_posix()) for s in rows.slices
        ],
        "records": [
            (r.header, r.window, r.widest, r.place, r.lesions) for r in records
        ],
    }
    arrays = {
        "meta": np.array(json.dumps(meta)),
        "counts": np.array([len(r.labels) for r in records], np.int32),
        "boxes": np.concatenate([r.boxes for r in records]),
        "labels": np.concatenate([r.labels for r in records]),
    }
    parts = [r.parts for r in records if r.parts is not None]
    if len(parts) == len(records):
        arrays["parts"] = masks.pack(parts)
    np.savez_compressed(folder / "index.npz", **arrays)  # type: ignore[arg-type]


def read(folder: Path, root: Path) -> Rows:
    """What `write_index` wrote, for the same files in `root`; no problems, no notes."""
    arrays = load_arrays(folder / "index.npz")
    meta, image = json.loads(str(arrays["meta"])), _reader(folder)
    cuts = np.cumsum(arrays["counts"])[:-1]
    boxes, labels = (np.split(arrays[name], cuts) for name in ("boxes", "labels"))
    parts: list[Any] = [None] * len(boxes)
    if "parts" in arrays:
        try:
            parts = masks.unpack(arrays["parts"], boxes)
        except masks.MisfitError as error:
            raise ValueError(
                f"{folder}: {error}; delete this folder, it is prepared again from the "
                "data"
            ) from error
    slices = [Slice(*row) for row in meta["slices"]]
    slices = [s._replace(path=root / s.path) for s in slices]
    records = {}
    for i, row in enumerate(meta["records"]):
        header, window, widest, place, lesions = row
        records[slices[i].name] = Record(
            Header(*header),
            boxes[i],
            labels[i],
            tuple(window),
            tuple(widest),
            functools.partial(image, i, widest),
            place and (place[0], tuple(place[1]), place[2]),
            tuple(Lesion(*lesion) for lesion in lesions),
            parts[i],
        )
    return Rows(slices, records, meta["classes"], [], [])


def _reader(folder: Path) -> Callable[[int, Sequence[int], Window], np.ndarray]:
    """Reads a window of record i, which is `widest`; opens the records at the first."""

    @functools.cache
    def records() -> Any:
        import tensorflow_datasets as tfds

        home = next((folder / "records").glob("*/*/dataset_info.json")).parent
        builder: Any = tfds.builder_from_directory(home)
        return builder.as_data_source(split=PART)

    def image(i: int, widest: Sequence[int], window: Window) -> np.ndarray:
        try:
            stored = records()[i]["image"]
        except Exception as error:  # each layer below raises its own kind
            raise ValueError(
                f"{folder}: image {i} cannot be read "
                f"({type(error).__name__}: {error}); delete this folder, it is "
                "prepared again from the data"
            ) from error
        x, y, *_ = widest
        x0, y0, x1, y1 = window
        return np.ascontiguousarray(stored[y0 - y : y1 - y, x0 - x : x1 - x])

    return image
