"""Finds the images of a folder, the annotation of each, and the format.

Formats: "voc" (XML), "yolo" (txt), "coco" (json). An annotation is found by the stem of
its image, wherever it lies; stems that occur twice are told apart by their folders.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqgd_jax.config import Data
from tqgd_jax.data.discover.scan_folder import walk
from tqgd_jax.io.images import SUFFIXES, UNSUPPORTED
from tqgd_jax.structures.annotation import Entry, Problem

# Folders that hold one half of a pair; the rest of the path must agree.
HALVES = {"images", "annotations", "jpegimages", "labels", "xml", "xmls", "imgs"}
NOT_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt", "trainval.txt")


@dataclass(frozen=True)
class Layout:
    """What is in a folder. `others` are files that decide too, such as classes.txt."""

    root: Path
    format: str
    entries: tuple[Entry, ...]
    labels: tuple[Path, ...]
    others: tuple[Path, ...]
    problems: tuple[Problem, ...]


def find(data: Data) -> Layout:
    """Raises ValueError when the folder is unusable."""
    root = Path(data.dir).expanduser()
    if not data.dir or not root.is_dir():
        raise ValueError(
            f"data.dir: no folder {data.dir!r}; --config.data.dir=DIR "
            "(--data_dir=DIR in eval.py)"
        )
    files = walk(root)
    names = named(root, files)
    images = list(names)
    problems = [
        Problem(f, 0, "unsupported", "is not read; convert it to PNG")
        for f in files
        if f.suffix.lower() in UNSUPPORTED
    ]
    found = {
        "voc": [f for f in files if f.suffix.lower() == ".xml"],
        "yolo": _yolo_files(files, images),
        "coco": [f for f in files if f.suffix.lower() == ".json" and _is_coco(f)],
    }
    format = data.format if data.format != "auto" else _only(root, found)
    labels = found[format]
    if format == "coco":
        from tqgd_jax.io.coco import entries

        paired, extra = entries(root, labels, names)
    else:
        paired, extra = _pair(root, images, labels, names)
    others = [f for f in files if f.name == "classes.txt" and format == "yolo"]
    return Layout(
        root, format, tuple(paired), tuple(labels), tuple(others), (*problems, *extra)
    )


def _yolo_files(files: list[Path], images: list[Path]) -> list[Path]:
    texts = [
        f for f in files if f.suffix.lower() == ".txt" and f.name not in NOT_LABELS
    ]
    stems = {f.stem for f in images}
    homes = {f.parent for f in texts if f.stem in stems}
    return [f for f in texts if f.parent in homes or f.parent.name == "labels"]


def _is_coco(file: Path) -> bool:
    try:
        said = json.loads(file.read_bytes())
    except ValueError:
        # a damaged one must not vanish; other tools' json rarely speaks of annotations
        return b'"annotations"' in file.read_bytes()
    return isinstance(said, dict) and {"images", "annotations"} <= said.keys()


def _only(root: Path, found: dict[str, list[Path]]) -> str:
    there = [name for name, files in found.items() if files]
    if len(there) != 1:
        what = ", ".join(f"{n} ({found[n][0]})" for n in there) or "none"
        raise ValueError(
            f"{root}: cannot tell the annotation format, found: {what}; set "
            "data.format to voc (xml), yolo (txt) or coco (json)"
        )
    return there[0]


def named(root: Path, files: Iterable[Path]) -> dict[Path, str]:
    """The images among the files of a folder, and the name of each.

    Raises ValueError when there is none, or when two would have one name.
    """
    images = [f for f in files if f.suffix.lower() in SUFFIXES]
    if not images:
        raise ValueError(
            f"{root}: no images (PNG or JPEG) and no CT scans (MetaImage, NRRD, NIfTI, "
            "DICOM) in it"
        )
    stems = {f.stem for f in images}
    if len(stems) == len(images):
        return {f: f.stem for f in images}
    names: dict[str, Path] = {}
    for f in images:
        name = f.relative_to(root).with_suffix("").as_posix()
        if name in names:
            raise ValueError(
                f"two images of one name: {names[name]} and {f}; remove one"
            )
        names[name] = f
    return {f: name for name, f in names.items()}


def _pair(
    root: Path, images: list[Path], labels: list[Path], names: dict[Path, str]
) -> tuple[list[Entry], list[Problem]]:
    def key(file: Path) -> tuple[str, ...]:
        parts = PurePosixPath(file.relative_to(root).with_suffix("")).parts
        return (*(p for p in parts[:-1] if p.lower() not in HALVES), parts[-1])

    by_stem: dict[str, list[Path]] = defaultdict(list)
    by_key: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for f in labels:
        by_stem[f.stem].append(f)
        by_key[key(f)].append(f)
    many = len({f.stem for f in images}) != len(images)
    entries, problems, used = [], [], set()
    for f in images:
        fits = by_stem[f.stem]
        if many or len(fits) > 1:
            fits = by_key[key(f)]
            if not fits and by_stem[f.stem] and not many:
                fits = by_stem[f.stem]
        if len(fits) > 1:
            raise ValueError(
                f"{f}: {len(fits)} annotations fit: {fits[0]}, {fits[1]}; keep one"
            )
        if not fits:
            problems.append(Problem(f, 0, "no_annotation", "taken as without boxes"))
        used.update(fits)
        entries.append(Entry(f, names[f], fits[0] if fits else None))
    problems += [
        Problem(f, 0, "missing_image", "annotation without an image of its name")
        for f in labels
        if f not in used
    ]
    return entries, problems


def finder(root: Path, entries: Iterable[Entry]) -> Callable[[str], str | None]:
    """Image name by what a list calls it: name or path, with or without suffix."""
    known: dict[str, str | None] = {}
    for e in entries:
        for said in {e.path.stem, e.path.name}:
            known[said] = e.name if said not in known else None  # no longer unique
    for e in entries:
        inside = e.path.relative_to(root)
        for said in (inside.as_posix(), inside.with_suffix("").as_posix(), e.name):
            known[said] = e.name

    def find(said: str) -> str | None:
        return known.get(PurePosixPath(said.replace("\\", "/")).as_posix())

    return find
