"""One look at a whole data set: layout, split, sizes, boxes and every problem."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.config import Config
from tqgd_jax.data import annotations, coco, images, labels, splits
from tqgd_jax.data.annotations import Annotation, Problem
from tqgd_jax.data.layout import Layout, find

MAX_CLASSES = 10_000
STORE = 2  # version of what `prepare` writes; raise it when that changes


@dataclass(frozen=True, eq=False)
class Item:
    """One image and the boxes that `data.bad_labels` keeps."""

    path: Path
    name: str
    group: str
    header: images.Header
    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Scan:
    """Everything but the pixels; `mode` and `seeded` are those of `Splits`."""

    layout: Layout
    mode: str
    seeded: bool
    classes: tuple[str, ...]
    parts: dict[str, list[Item]]
    problems: list[Problem]


def scan(config: Config) -> Scan:
    """Collects problems instead of raising them; unreadable images are left out."""
    data = config.data
    layout = find(data)
    split = splits.split(layout, data, config.seed)
    problems = [*layout.problems, *split.problems]
    names = _yolo_names(layout)
    said = dict(_read(layout, names or data.classes))
    classes = data.classes or names or _classes(layout, said)
    if not classes:
        raise ValueError(f"{layout.root}: no box in it names a class; set data.classes")
    if len(set(classes)) != len(classes):
        raise ValueError(f"data.classes: a name is there twice: {classes}")
    index = {name: k for k, name in enumerate(classes)}
    parts: dict[str, list[Item]] = {}
    for part, entries in split.parts.items():
        parts[part] = []
        for e in entries:
            try:
                header = images.read_header(e.path)
            except ValueError as error:
                text = str(error).removeprefix(f"{e.path}: ")
                problems.append(Problem(e.path, 0, "unreadable", text))
                continue
            boxes, kinds, found = labels.check(
                said[e.name], header[:2], index, data.bad_labels
            )
            problems += found
            item = Item(e.path, e.name, split.groups[e.name], header, boxes, kinds)
            parts[part].append(item)
    return Scan(layout, split.mode, split.seeded, tuple(classes), parts, problems)


def _read(layout: Layout, names: tuple[str, ...]) -> Iterator[tuple[str, Annotation]]:
    for e in layout.entries:
        if e.label is None:
            yield e.name, annotations.nothing(e.path)
        elif layout.format == "coco":
            yield e.name, coco.annotation(e)
        elif layout.format == "voc":
            yield e.name, annotations.read_voc(e.label)
        else:
            yield e.name, annotations.read_yolo(e.label, names)


def _yolo_names(layout: Layout) -> tuple[str, ...]:
    files = [f for f in layout.others if f.name == "classes.txt"]
    if len(files) > 1:
        raise ValueError(f"two lists of classes: {files[0]} and {files[1]}; keep one")
    if not files:
        return ()
    rows = files[0].read_text("utf-8-sig").rstrip().splitlines()
    return tuple(row.strip() for row in rows)


def _classes(layout: Layout, said: dict[str, Annotation]) -> tuple[str, ...]:
    found = {name for a in said.values() for name in a.names}
    if layout.format == "yolo":  # an index must stay what it is
        most = max((int(name) for name in found), default=-1)
        if most >= MAX_CLASSES:
            raise ValueError(f"{layout.root}: class index {most}; set data.classes")
        return tuple(str(k) for k in range(most + 1))
    return tuple(sorted(found))


def fingerprint(config: Config) -> str:
    """SHA-256 over the settings that matter and the contents of every file read."""
    data = config.data
    layout = find(data)
    mode, files = splits.source(layout, data)
    seeded = mode == "ratio" or data.hold_out > 0
    settings = {
        "store": STORE,
        "format": layout.format,
        "classes": list(data.classes),
        "split": mode,
        "group": data.group,
        "ratio": list(data.ratio) if mode == "ratio" else None,
        "hold_out": data.hold_out,
        "bad_labels": data.bad_labels,
        "seed": config.seed if seeded else None,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    every = [e.path for e in layout.entries]
    every += [*layout.labels, *layout.others, *files]
    for path in every:
        inside = path.is_relative_to(layout.root)
        name = path.relative_to(layout.root).as_posix() if inside else path.name
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
