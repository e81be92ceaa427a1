"""Finds the images of a folder, the annotation of each, and the format.

Formats: "voc" (XML), "yolo" (txt), "coco" (json). An annotation is found by the stem of
its image, wherever it lies; stems that occur twice are told apart by their folders.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqgd_jax.config import Data
from tqgd_jax.io import coco, walk
from tqgd_jax.io.images import SUFFIXES, UNSUPPORTED
from tqgd_jax.io.layouts import recognised
from tqgd_jax.structures.annotation import Entry, Problem

# Folders that hold one half of a pair; the rest of the path must agree.
NAMELESS = "annotation without an image of its name"
HALVES = {"images", "annotations", "jpegimages", "labels", "xml", "xmls", "imgs"}
CLASS_LISTS = ("classes.txt", "obj.names", "data.yaml")
NOT_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt", "trainval.txt")


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder and their labels.

    Attributes:
      entries: images that a label is sought for; of COCO those that a json names.
      labels: annotation files.
      class_lists: of YOLO: each classes.txt, obj.names and data.yaml.
      problems: images and labels that do not pair.
    """

    root: Path
    format: str
    entries: tuple[Entry, ...]
    labels: tuple[Path, ...]
    class_lists: tuple[Path, ...]
    problems: tuple[Problem, ...]


def among(root: Path, files: list[Path], data: Data) -> ImageFolder:
    """The images among the files of a folder. Raises ValueError when it is unusable."""
    names = named(root, files)
    images = list(names)
    unread = [
        Problem(f, 0, "unsupported", "is not read; convert it to PNG")
        for f in files
        if f.suffix.lower() in UNSUPPORTED
    ]
    by_format = {
        "voc": [f for f in files if f.suffix.lower() == ".xml"],
        "yolo": _yolo_files(files, images),
        "coco": [f for f in files if f.suffix.lower() == ".json" and _is_coco(f)],
    }
    format = data.format if data.format != "auto" else _only(root, by_format, files)
    labels = by_format[format]
    if format == "coco":
        entries, problems = coco.entries(root, labels, names)
    else:
        entries, problems = _pair(root, images, labels, names)
    lists = walk.called(files, *CLASS_LISTS) if format == "yolo" else []
    return ImageFolder(
        root, format, tuple(entries), tuple(labels), tuple(lists), (*unread, *problems)
    )


def _yolo_files(files: list[Path], images: list[Path]) -> list[Path]:
    texts = [
        f
        for f in files
        if f.suffix.lower() == ".txt" and f.name.lower() not in NOT_LABELS
    ]
    stems = {f.stem for f in images}
    homes = {f.parent for f in texts if f.stem in stems}
    return [f for f in texts if f.parent in homes or f.parent.name == "labels"]


def _is_coco(file: Path) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        # a damaged one must not vanish; other tools' json rarely speaks of annotations
        return b'"annotations"' in file.read_bytes()
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def _only(root: Path, by_format: dict[str, list[Path]], files: list[Path]) -> str:
    formats = {name: files[0] for name, files in by_format.items() if files}
    if len(formats) != 1:
        what = ", ".join(f"{n} ({file})" for n, file in formats.items()) or "none"
        others = (f for f in files if f.suffix.lower() == ".json" and not formats)
        if other := next((f for f in others if recognised(f)), None):
            raise ValueError(f"{other}: {recognised(other)}")
        raise ValueError(
            f"{root}: cannot tell the annotation format, found: {what}; set "
            "data.format to voc (xml), yolo (txt) or coco (json)"
        )
    return next(iter(formats))


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
    stems = Counter(f.stem for f in images)
    many = len(stems) != len(images)
    by_any_case: dict[str, list[Path]] = defaultdict(list)
    for f in labels:  # img_1.xml is of IMG_1.png when no image is called img_1
        if f.stem not in stems:
            by_any_case[f.stem.casefold()].append(f)
    entries, problems, used = [], [], set()
    for f in images:
        fits = by_stem[f.stem]
        if many or len(fits) > 1:
            fits = by_key[key(f)]
            if not fits and by_stem[f.stem] and not many:
                fits = by_stem[f.stem]
        if not fits and not many:
            fits = by_any_case[f.stem.casefold()]
        if len(fits) > 1:
            raise ValueError(
                f"{f}: {len(fits)} annotations fit: {fits[0]}, {fits[1]}; keep one"
            )
        if not fits:
            problems.append(Problem(f, 0, "no_annotation", "taken as without boxes"))
        used.update(fits)
        entries.append(Entry(f, names[f], fits[0] if fits else None))
    problems += [
        Problem(f, 0, "missing_image", recognised(f) or NAMELESS)
        for f in labels
        if f not in used
    ]
    return entries, problems


def finder(root: Path, entries: Iterable[Entry]) -> Callable[[str], Sequence[str]]:
    """The image that a list means: by name or path, with or without suffix."""
    known: dict[str, Sequence[str]] = {}
    for e in entries:
        for alias in {e.path.stem, e.path.name}:
            known[alias] = [e.name] if alias not in known else []  # no longer unique
    for e in entries:
        inside = e.path.relative_to(root)
        for alias in (inside.as_posix(), inside.with_suffix("").as_posix(), e.name):
            known[alias] = [e.name]
    any_case: dict[str, Sequence[str]] = {}
    for alias, names in known.items():
        folded = alias.casefold()
        any_case[folded] = names if any_case.get(folded, names) == names else []

    def find(alias: str) -> Sequence[str]:
        alias = PurePosixPath(alias.replace("\\", "/")).as_posix()
        return known.get(alias) or any_case.get(alias.casefold(), ())

    return find
