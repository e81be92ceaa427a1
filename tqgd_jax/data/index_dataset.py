"""Discover, read, split: a folder of images or CT scans to all but its pixels."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

from tqgd_jax.config import Config
from tqgd_jax.ct import windows
from tqgd_jax.data.discover.layout import Layout, discover
from tqgd_jax.data.discover.scan_folder import ScanFolder
from tqgd_jax.data.read import image_set, scans, validation
from tqgd_jax.data.split import splits
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.structures.dataset_index import DatasetIndex


def hash_file(path: Path) -> str:
    """SHA-256 of the contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def index_dataset(
    config: Config, layout: Layout, sha256: Callable[[Path], str] = hash_file
) -> DatasetIndex:
    """Collects problems instead of raising them; what is unreadable is left out.

    Args:
      config: `data` and `seed` of it.
      layout: what `discover` gave.
      sha256: of a file; folds of images know them by it.
    """
    data = config.data
    if isinstance(layout.folder, ScanFolder):
        cropped = data.crop.method != "none"
        split, classes, parts, problems, notes = scans.samples(layout, config)
    else:
        cropped = data.crop.by_file
        split, classes, parts, problems, notes = image_set.samples(
            layout, config, sha256
        )
    if split.fold:
        notes.append(f"test is fold {split.fold[0]} of {split.fold[1]}")
    return DatasetIndex(
        layout.folder.root,
        layout.folder.format,
        layout.split.mode,
        split.seeded,
        tuple(classes),
        parts,
        problems,
        windows.disclaimer(split.disclaimer, data.crop, cropped),
        [*notes, *windows.notes(parts)],
        split.fold,
    )


def slices(config: Config) -> list[Slice]:
    """Every image or slice as a manifest of folds wants it; faults stop it."""
    data = dataclasses.replace(config.data, split="folds", fold=1)
    layout = discover(data)
    if isinstance(layout.folder, ScanFolder):
        rows, _ = scans.read(layout, data)
    else:
        rows, *_ = image_set.read(layout, data, hash_file)
    validation.enforce(rows.problems, data.bad_labels)
    return splits.with_patients(layout, rows, data.group)[0]
