"""What is in a folder of images or CT scans: the first step, once in a preparation."""

from pathlib import Path
from typing import NamedTuple

from tqgd_jax.config import Data
from tqgd_jax.data.discover import image_folder, scan_folder, split_source
from tqgd_jax.data.discover.image_folder import ImageFolder
from tqgd_jax.data.discover.scan_folder import ScanFolder
from tqgd_jax.data.discover.split_source import SplitSource
from tqgd_jax.io import walk


class Layout(NamedTuple):
    """Every file that decides, and what it is for.

    Attributes:
      folder: the images or the scans, with their labels.
      split: who says which of them train.
      hearts: csv of heart boxes that `data.crop.method` names.
      boxes: csv that `data.boxes` names; of scans.
      files: all files that are read, in a fixed order.
    """

    folder: ImageFolder | ScanFolder
    split: SplitSource
    hearts: Path | None
    boxes: Path | None
    files: tuple[Path, ...]


def discover(data: Data) -> Layout:
    """Raises ValueError when the folder, or a file that a setting names, is unusable."""
    root = Path(data.dir).expanduser()
    if not data.dir or not root.is_dir():
        what = (
            f"{data.dir!r} is a file" if root.is_file() else f"no folder {data.dir!r}"
        )
        raise ValueError(
            f"data.dir: {what}; --config.data.dir=DIR (--data_dir=DIR in eval.py)"
        )
    files = walk.files(root)
    scans = scan_folder.among(root, files, data)
    folder = image_folder.among(root, files, data) if scans is None else scans
    split = split_source.source(folder, data)
    boxes = _table(root, data.boxes) if scans and data.boxes else None
    hearts = _table(root, data.crop.method) if data.crop.by_file else None
    if isinstance(folder, ScanFolder):
        decide = scan_folder.deciding(folder, files)
    else:
        images = [e.path for e in folder.entries]
        decide = [*images, *folder.labels, *folder.class_lists]
    tables = [table for table in (boxes, hearts) if table is not None]
    return Layout(folder, split, hearts, boxes, (*decide, *split.files, *tables))


def _table(root: Path, name: str) -> Path:
    path = split_source.named(root, name)
    if path is None:
        raise ValueError(f"no file {name!r}, neither here nor in {root}")
    return path
