"""Which images train, validate and test, and which patient each belongs to."""

import csv
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tqgd_jax.config import Data
from tqgd_jax.data.discover.image_folder import Layout, finder
from tqgd_jax.data.split import folds
from tqgd_jax.data.split import patients as groups
from tqgd_jax.structures.annotation import Entry, Problem

logger = logging.getLogger("tqgd_jax")

PARTS = ("train", "val", "test")
WORDS = {"valid": "val", "validation": "val"} | {p: p for p in PARTS}
JSON = re.compile(
    r"(?<![a-z])(trainval|train|val|valid|validation|test)(?![a-z])", re.IGNORECASE
)
FOLDER = re.compile(r"(train|val|valid|validation|test)[-_]?\d*")


@dataclass(frozen=True)
class Splits:
    """Entries of each part, in name order, and the patient of each entry's name.

    Attributes:
      mode: where the parts come from: "csv", "imagesets", "json", "folders", "ratio",
        "folds", "manifest".
      seeded: whether the seed had a say.
      stamp: what every result on these parts must say; empty for honest ones.
      fold: (fold, folds) where the test part is one of several; else None.
    """

    mode: str
    parts: dict[str, list[Entry]]
    groups: dict[str, str]
    seeded: bool
    problems: list[Problem] = field(default_factory=list)
    stamp: str = ""
    fold: tuple[int, int] | None = None


def source(layout: Layout, data: Data) -> tuple[str, list[Path]]:
    """Where the parts come from, and the files that say so."""
    if said := stated(layout.root, data):
        return said
    sets = layout.root / "ImageSets" / "Main"
    lists = [sets / f"{part}.txt" for part in PARTS if (sets / f"{part}.txt").is_file()]
    both = sets / "trainval.txt"
    if sets / "train.txt" not in lists and both.is_file():
        lists = [both, *(f for f in lists if f.stem == "test")]
    if lists:
        return "imagesets", lists
    if layout.format == "coco" and all(
        _json_part(layout.root, f) for f in layout.labels
    ):
        return "json", []
    if any(folder_part(layout.root, e.path) for e in layout.entries):
        return "folders", []
    return "ratio", []


def stated(root: Path, data: Data) -> tuple[str, list[Path]] | None:
    """What `data.split` or `split.csv` says of the parts; None leaves it to the folder.

    `split.csv` is among the files also where it only names patients (column "group").
    """
    table = root / "split.csv"
    tables = [table] if table.is_file() else []
    if data.split in ("ratio", "folds"):
        return data.split, tables
    if data.split != "auto":
        path = named(root, data.split)
        if path.suffix == ".json":
            return "manifest", [path, *tables]
        return "csv", [path]
    return ("csv", tables) if tables else None


def named(root: Path, said: str) -> Path:
    """The file that `data.split` names: as it stands, or inside the data folder."""
    for path in (Path(said).expanduser(), root / said):
        if path.is_file():
            return path
    raise ValueError(
        f"data.split: no file {said!r}; there are: auto, folds, ratio, a csv file with "
        "the columns image and split, or a json manifest of folds (python -m "
        "tqgd folds)"
    )


def slices(
    layout: Layout, data: Data, load: Callable[[Entry], float]
) -> list[folds.Slice]:
    """Every image as a manifest of folds wants it."""
    table = layout.root / "split.csv"
    rows, columns = read_csv(table) if table.is_file() else ([], [])
    find = finder(layout.root, layout.entries)
    group_of = groups.groups(layout, data.group, find, table, rows, columns)
    found = []
    for e in layout.entries:
        with e.path.open("rb") as file:
            mark = hashlib.file_digest(file, "sha256").hexdigest()
        found.append(folds.Slice(e.name, group_of[e.name], mark, load(e), ""))
    return found


def split(
    layout: Layout,
    data: Data,
    seed: int,
    load: Callable[[Entry], float] = lambda _: 0.0,
) -> Splits:
    """Raises ValueError when an image or a patient would be in two parts.

    `load` says how much there is to find in an image; folds balance it.
    """
    mode, files = source(layout, data)
    tables = [f for f in files if f.suffix == ".csv" and mode != "imagesets"]
    table, columns = read_csv(tables[0]) if tables else ([], [])
    problems: list[Problem] = []
    find = finder(layout.root, layout.entries)
    file = tables[0] if tables else None
    group_of = groups.groups(layout, data.group, find, file, table, columns)
    part_of: dict[str, str] = {}
    stamp, fold = "", None

    def put(said: str, part: str, file: Path, line: int) -> None:
        name = find(said)
        if name is None:
            text = f"{part} names {said!r}, and no image has that name"
            problems.append(Problem(file, line, "missing_image", text))
        elif name in part_of:
            raise ValueError(
                f"{file}:{line}: {said!r} is listed a second time (before: "
                f"{part_of[name]}, here: {part}); an image belongs to one part, once"
            )
        else:
            part_of[name] = part

    if mode == "ratio":
        part_of = groups.by_ratio(group_of, data.ratio, seed)
    elif mode in ("folds", "manifest"):
        every = slices(layout, data, load)
        if mode == "folds":
            made = folds.assign(every, data.folds, seed)
        else:
            made = folds.read(files[0])
            folds.check(made, every, files[0])
        part_of, stamp = folds.parts(made, data.fold), folds.stamp(made)
        fold = data.fold, made.folds
    elif mode == "csv":
        need(files[0], columns, "split")
        for line, row in table:
            part = WORDS.get(row["split"].lower())
            if part is None:
                raise ValueError(
                    f"{files[0]}:{line}: unknown split {row['split']!r}; there are: "
                    + ", ".join(PARTS)
                )
            put(row["image"], part, files[0], line)
    elif mode == "imagesets":
        for file in files:
            part = "train" if file.stem == "trainval" else file.stem
            for line, row in enumerate(file.read_text().splitlines(), 1):
                # some VOC lists carry 1 or -1 after the name
                said = row.strip() if find(row.strip()) else (row.split() or [""])[0]
                if said:
                    put(said, part, file, line)
    else:
        for e in layout.entries:
            if mode == "json" and e.label is not None:
                part = _json_part(layout.root, e.label)
            else:
                part = folder_part(layout.root, e.path)
            if part:
                part_of[e.name] = part
    seeded = mode in ("ratio", "folds")
    if not stamp:
        groups.refuse_leaks(part_of, group_of)
    if data.hold_out > 0 and "val" not in part_of.values():
        seeded = True
        # whole patients cannot be held back where none is whole
        unit = {name: name for name in group_of} if stamp else group_of
        groups.hold_out(part_of, unit, data.hold_out, seed)
    elif data.hold_out > 0:
        logger.info("data.hold_out is not used: the split has a val part")
    parts: dict[str, list[Entry]] = {part: [] for part in PARTS}
    for e in sorted(layout.entries, key=lambda e: e.name):
        if e.name in part_of:
            parts[part_of[e.name]].append(e)
        else:
            text = f"no part of the split ({mode}) names it"
            problems.append(Problem(e.path, 0, "not_in_split", text))
    parts = {part: entries for part, entries in parts.items() if entries}
    return Splits(mode, parts, group_of, seeded, problems, stamp, fold)


def folder_part(root: Path, path: Path) -> str:
    """The part that a folder on the way to `path` names, or nothing."""
    for folder in path.relative_to(root).parts[:-1]:
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


def read_csv(file: Path, key: str = "image") -> tuple[groups.Table, list[str]]:
    """Rows with their lines, and the columns, of which one is `key`."""
    try:
        return _read_csv(file, key)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: not UTF-8 ({error.reason}); save it as CSV UTF-8"
        ) from error


def _read_csv(file: Path, key: str) -> tuple[groups.Table, list[str]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, restval="")
        columns = [c.strip() for c in reader.fieldnames or []]
        reader.fieldnames = columns
        need(file, columns, key)
        table = []
        for row in reader:
            if None in row:
                raise ValueError(f"{file}:{reader.line_num}: more values than columns")
            table.append((reader.line_num, {k: v.strip() for k, v in row.items()}))
        return table, columns


def need(file: Path, columns: list[str], column: str) -> None:
    """Raises ValueError when a csv has no such column."""
    if column not in columns:
        raise ValueError(f"{file}:1: no column {column!r}; there are: {columns}")
