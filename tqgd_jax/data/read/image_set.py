"""One look at a folder of images: layout, split, sizes, boxes and every problem."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from tqgd_jax.config import Config, Crop, Data
from tqgd_jax.ct import crop, heart_boxes, windows
from tqgd_jax.data.discover.image_folder import Layout, find, finder
from tqgd_jax.data.read import validation
from tqgd_jax.data.read.scan_labels import find_table
from tqgd_jax.data.split import folds, image_splits
from tqgd_jax.io import coco, images, voc_yolo
from tqgd_jax.structures.annotation import Annotation, Problem
from tqgd_jax.structures.dataset_index import Header, Item, Scan

MAX_CLASSES = 10_000


def scan(config: Config) -> Scan:
    """Collects problems instead of raising them; unreadable images are left out."""
    data = config.data
    layout = find(data)
    _refuse_settings_of_scans(data, layout)
    names = _yolo_names(layout)
    said = dict(_read(layout, names or data.classes))
    split = image_splits.split(layout, data, config.seed, lambda e: _area(said[e.name]))
    problems = [*layout.problems, *split.problems]
    classes = data.classes or names or _classes(layout, said)
    if not classes:
        raise ValueError(f"{layout.root}: no box in it names a class; set data.classes")
    if len(set(classes)) != len(classes):
        raise ValueError(f"data.classes: a name is there twice: {classes}")
    index = {name: k for k, name in enumerate(classes)}
    hearts, notes = _hearts(layout, data)
    left_out = 0
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
            checked = validation.check(said[e.name], header[:2], index, data.bad_labels)
            problems += checked.problems
            if data.slices == "positive" and part == "train" and not len(checked.boxes):
                left_out += 1
                continue
            item = Item(
                e.path,
                e.name,
                split.groups[e.name],
                header,
                checked.boxes,
                checked.labels,
                pixels=functools.partial(images.read_image, e.path),
            )
            if hearts is not None:
                item, told = _cropped(item, hearts.get(e.name), part, data.crop)
                problems += told
            parts[part].append(item)
    if left_out and not parts["train"]:
        raise ValueError(
            f"{layout.root}: none of the {left_out} training images has a box, so "
            "nothing trains; correct the labels or the split, or set data.slices=all"
        )
    if left_out:
        notes.append(
            f"{left_out} images without a box do not train (data.slices=positive); those "
            "of other parts are judged"
        )
    return Scan(
        layout.root,
        layout.format,
        split.mode,
        split.seeded,
        tuple(classes),
        parts,
        problems,
        windows.stamp(split.stamp, data.crop, data.crop.by_file),
        [*notes, *windows.notes(parts)],
        split.fold,
    )


def slices(config: Config) -> list[folds.Slice]:
    """Every image as a manifest of folds wants it."""
    layout = find(config.data)
    said = dict(_read(layout, _yolo_names(layout) or config.data.classes))
    return image_splits.slices(layout, config.data, lambda e: _area(said[e.name]))


def _refuse_settings_of_scans(data: Data, layout: Layout) -> None:
    names = ("neighbours", "boxes", "scan_pattern", "mask_pattern")
    said = [n for n in names if getattr(data, n) != getattr(Data(), n)]
    margin = ""
    if data.crop.by_file:  # without, none of them does anything to images
        of_scans = {"per": Crop().per, "margin_mm": Crop().margin_mm}
        said += [f"crop.{n}" for n, v in of_scans.items() if getattr(data.crop, n) != v]
        margin = "; data.crop.margin_px is the margin of images"
    if said:
        raise ValueError(
            f"{layout.root} holds images, and data.{said[0]} is a setting of CT scans; "
            f"leave it out, or point data.dir at scans{margin}"
        )


def _hearts(
    layout: Layout, data: Data
) -> tuple[dict[str, list[float]] | None, list[str]]:
    """Heart box by image, None where nothing is to be cropped; and what to tell."""
    if not data.crop.by_file:
        return None, []
    file = find_table(layout.root, data.crop.method)
    find = finder(layout.root, layout.entries)
    hearts, others = heart_boxes.read_image_boxes(file, find)
    notes = [f"{len(hearts)} of {len(layout.entries)} images have a heart box"]
    if others:
        few = ", ".join(others[:3])
        notes.append(f"{file}: {len(others)} rows name no image here, such as {few}")
    return hearts, notes


def _cropped(
    item: Item, heart: list[float] | None, part: str, rules: Crop
) -> tuple[Item, list[Problem]]:
    """The image and its boxes in the window around its heart; whole without one."""
    h, w, channels, dtype = item.header
    problems = []
    if heart is None:
        text = f"no heart box in {rules.method}, stays whole"
        problems.append(Problem(item.path, 0, "crop_whole", text))
    try:
        around = crop.crops(
            np.array([heart or [np.nan] * 4]),
            (h, w),
            (1.0, 1.0),
            per="slice",
            margin_mm=rules.margin_px,
        )
    except ValueError as error:
        raise ValueError(f"{rules.method}: image {item.name!r}: {error}") from error
    (window,), told = windows.fitted(
        around,
        [item.boxes],
        [part],
        [item.name],
        item.path,
        rules=rules,
        shape=(h, w),
    )
    x0, y0, x1, y1 = window.tolist()
    inside = Header(y1 - y0, x1 - x0, channels, dtype)
    cropped = replace(
        item,
        header=inside,
        boxes=crop.to_crop(item.boxes, window),
        pixels=functools.partial(_part, item.pixels, window),
        crop=(x0, y0, x1, y1),
    )
    return cropped, problems + told


def _part(
    whole: Callable[[], np.ndarray], window: Int[np.ndarray, "4"]
) -> Integer[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    return np.ascontiguousarray(whole()[y0:y1, x0:x1])


def _area(said: Annotation) -> float:
    wh = said.boxes[:, 2:] - said.boxes[:, :2]
    return float(np.nan_to_num(wh).clip(0).prod(axis=1).sum())


def _read(layout: Layout, names: tuple[str, ...]) -> Iterator[tuple[str, Annotation]]:
    for e in layout.entries:
        if e.label is None:
            yield e.name, voc_yolo.nothing(e.path)
        elif layout.format == "coco":
            yield e.name, coco.annotations(e.label)[e.key]
        elif layout.format == "voc":
            yield e.name, voc_yolo.read_voc(e.label)
        else:
            yield e.name, voc_yolo.read_yolo(e.label, names)


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


def marks(config: Config) -> tuple[dict[str, Any], Path, list[Path]]:
    """The settings that matter, the folder, and every file that is read."""
    data = config.data
    layout = find(data)
    mode, files = image_splits.source(layout, data)
    seeded = mode in ("ratio", "folds") or data.hold_out > 0
    settings = {
        "format": layout.format,
        "classes": list(data.classes),
        "split": mode,
        "group": data.group,
        "ratio": list(data.ratio) if mode == "ratio" else None,
        "folds": data.folds if mode == "folds" else None,
        "fold": data.fold if mode in ("folds", "manifest") else None,
        "hold_out": data.hold_out,
        "bad_labels": data.bad_labels,
        "seed": config.seed if seeded else None,
        "slices": data.slices,
        "crop": asdict(data.crop) | {"method": "csv"} if data.crop.by_file else None,
    }
    every = [e.path for e in layout.entries]
    if data.crop.by_file:
        files = [*files, find_table(layout.root, data.crop.method)]
    return settings, layout.root, [*every, *layout.labels, *layout.others, *files]
