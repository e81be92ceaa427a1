"""Who says which samples train, validate and test: a file, names of folders, nobody."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tqgd_jax.config import Data
from tqgd_jax.data.discover.image_folder import ImageFolder
from tqgd_jax.data.discover.scan_folder import ScanFolder
from tqgd_jax.io import walk

PARTS = ("train", "val", "test")
WORDS = {"valid": "val", "validation": "val"} | {p: p for p in PARTS}
JSON = re.compile(
    r"(?<![a-z])(trainval|train|val|valid|validation|test)(?![a-z])", re.IGNORECASE
)
FOLDER = re.compile(r"(train|val|valid|validation|test)[-_]?\d*")


@dataclass(frozen=True)
class SplitSource:
    """Where the parts come from.

    Attributes:
      mode: "csv", "imagesets", "json", "folders", "ratio", "folds" or "manifest".
      files: that say so, and `split.csv` also where it only names patients.
      parts: of "json" and "folders": the part of an image or scan by its path.
    """

    mode: str
    files: tuple[Path, ...] = ()
    parts: dict[Path, str] = field(default_factory=dict)

    @property
    def table(self) -> Path | None:
        """The csv with a column "image" among the files."""
        tables = [
            f for f in self.files if self.mode == "csv" or f.suffix.lower() == ".csv"
        ]
        return tables[0] if tables else None


def source(folder: ImageFolder | ScanFolder, data: Data) -> SplitSource:
    """What `data.split` and `split.csv` say; else the folder's lists and names."""
    root = folder.root
    table = walk.inside(root, "split.csv")
    tables = (table,) if table.is_file() else ()
    if data.split in ("ratio", "folds"):
        return SplitSource(data.split, tables)
    if data.split != "auto":
        path = named(root, data.split)
        if path is None:
            raise ValueError(
                f"data.split: no file {data.split!r}; there are: auto, folds, ratio, a "
                "csv file with the columns image and split, or a json manifest of folds "
                "(tqgd folds)"
            )
        if path.suffix == ".json":
            return SplitSource("manifest", (path, *tables))
        return SplitSource("csv", (path,))
    if tables:
        return SplitSource("csv", tables)
    if isinstance(folder, ScanFolder):
        paths = [s.path for s in folder.scans]
    else:
        paths = [e.path for e in folder.entries]
        if lists := _image_sets(walk.inside(root, "ImageSets", "Main")):
            return SplitSource("imagesets", lists)
        of_json = {f: _json_part(root, f) for f in folder.labels}
        if folder.format == "coco" and all(of_json.values()):
            parts = {e.path: of_json[e.label] for e in folder.entries if e.label}
            return SplitSource("json", parts=parts)
    parts = {path: part for path in paths if (part := _folder_part(root, path))}
    if parts:
        return SplitSource("folders", parts=parts)
    return SplitSource("folds" if isinstance(folder, ScanFolder) else "ratio")


def named(root: Path, name: str) -> Path | None:
    """The file that a setting names: as it stands, or inside the data folder."""
    paths = (Path(name).expanduser(), root / name)
    return next((path for path in paths if path.is_file()), None)


def _image_sets(folder: Path) -> tuple[Path, ...]:
    """VOC's lists of images; trainval.txt where there is no train.txt."""
    lists = {p: walk.inside(folder, f"{p}.txt") for p in (*PARTS, "trainval")}
    lists = {part: file for part, file in lists.items() if file.is_file()}
    both = lists.pop("trainval", None)
    if both and "train" not in lists:
        lists = {"trainval": both} | {p: f for p, f in lists.items() if p == "test"}
    return tuple(lists.values())


def _folder_part(root: Path, path: Path) -> str:
    """The part that a folder on the way to `path` names, or nothing."""
    folders = path.relative_to(root).parts
    # a DICOM series is a folder itself
    for folder in folders if path.is_dir() else folders[:-1]:
        if match := FOLDER.fullmatch(folder.lower()):
            return WORDS[match[1]]
    return ""


def _json_part(root: Path, file: Path) -> str:
    # the name of the set's own folder says nothing of its parts
    for text in (file.stem, *file.relative_to(root).parts[-2:-1]):
        if match := JSON.search(text):
            # as in ImageSets/Main, trainval is what there is to train on
            return WORDS[match[1].lower().replace("trainval", "train")]
    return ""
