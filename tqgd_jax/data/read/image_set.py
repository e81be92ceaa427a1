"""A folder of images: what its labels say, and all that a split needs."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from tqgd_jax.config import Crop, Data
from tqgd_jax.ct import crop, heart_boxes, windows
from tqgd_jax.data.discover.image_folder import ImageFolder, finder
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.read import validation
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.splits import Rows
from tqgd_jax.io import coco, images, voc_yolo
from tqgd_jax.io.text import read_text
from tqgd_jax.structures.annotation import Annotation, Entry, Problem
from tqgd_jax.structures.dataset_index import Header, Record, Window

MAX_CLASSES = 10_000


def read(
    layout: Layout, data: Data, sha256: Callable[[Path], str]
) -> tuple[list[Slice], dict[str, Annotation], tuple[str, ...]]:
    """A row for every image; labels by name; the names of classes.txt."""
    folder = layout.folder
    assert isinstance(folder, ImageFolder)
    class_list = _class_list(folder)
    names = class_list or data.classes
    labels = {e.name: _label(folder, e, names) for e in folder.entries}
    slices = [
        Slice(
            e.name,
            patient="",
            sha256=sha256(e.path),
            load=_area(labels[e.name]),
            scanner="",
            path=e.path,
        )
        for e in folder.entries
    ]
    return slices, labels, class_list


def rows(layout: Layout, data: Data, sha256: Callable[[Path], str]) -> Rows:
    """Collects problems instead of raising them; unreadable images are left out."""
    folder = layout.folder
    assert isinstance(folder, ImageFolder)
    _refuse_settings_of_scans(data, folder.root)
    slices, labels, class_list = read(layout, data, sha256)
    classes = data.classes or class_list or _classes(folder, labels)
    problems = [*folder.problems]
    causes = [*problems, *(p for label in labels.values() for p in label.problems)]
    number = validation.numbers(classes, folder.root, causes)
    hearts, notes = None, []
    if layout.hearts is not None:
        find = finder(folder.root, folder.entries)
        hearts, others = heart_boxes.read_image_boxes(layout.hearts, find)
        notes = [f"{len(hearts)} of {len(labels)} images have a heart box"]
        if others:
            notes.append(
                f"{layout.hearts}: {len(others)} rows name no image here, such as "
                + ", ".join(others[:3])
            )
    records = {}
    for e in folder.entries:
        try:
            header = images.read_header(e.path)
        except ValueError as error:
            text = str(error).removeprefix(f"{e.path}: ")
            problems.append(Problem(e.path, 0, "unreadable", text))
            continue
        boxes = validation.check(labels[e.name], header[:2], number, data.bad_labels)
        problems += boxes.problems
        window = wide = (0, 0, header.width, header.height)
        if hearts is not None:
            heart = hearts.get(e.name)
            if heart is None:
                text = f"no heart box in {data.crop.method}, stays whole"
                problems.append(Problem(e.path, 0, "crop_whole", text))
            window, wide = _windows(e.name, header, heart, boxes.boxes, data.crop)
        records[e.name] = Record(
            header,
            boxes.boxes,
            boxes.labels,
            window,
            wide,
            functools.partial(_pixels, e.path),
        )
    return Rows(slices, records, classes, problems, notes)


def _refuse_settings_of_scans(data: Data, root: Path) -> None:
    names = ("neighbours", "boxes", "scan_pattern", "mask_pattern")
    changed = [n for n in names if getattr(data, n) != getattr(Data(), n)]
    margin = ""
    if data.crop.by_file:  # without, none of them does anything to images
        of_scans = {"per": Crop().per, "margin_mm": Crop().margin_mm}
        changed += [
            f"crop.{n}" for n, v in of_scans.items() if getattr(data.crop, n) != v
        ]
        margin = "; data.crop.margin_px is the margin of images"
    if changed:
        raise ValueError(
            f"{root} holds images, and data.{changed[0]} is a setting of CT scans; "
            f"leave it out, or point data.dir at scans{margin}"
        )


def _windows(
    name: str,
    header: Header,
    heart: list[float] | None,
    boxes: Float[np.ndarray, "n 4"],
    rules: Crop,
) -> tuple[Window, Window]:
    """Around the heart, the whole image without one; and widened by the labels."""
    try:
        around = crop.crops(
            np.array([heart or [np.nan] * 4]),
            header[:2],
            (1.0, 1.0),
            per="slice",
            margin_mm=rules.margin_px,
        )
    except ValueError as error:
        raise ValueError(f"{rules.method}: image {name!r}: {error}") from error
    return windows.between(around, [boxes], rules=rules, shape=header[:2])[0]


def _pixels(path: Path, window: Window) -> Integer[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    return np.ascontiguousarray(images.read_image(path)[y0:y1, x0:x1])


def _area(label: Annotation) -> float:
    wh = label.boxes[:, 2:] - label.boxes[:, :2]
    return float(np.nan_to_num(wh).clip(0).prod(axis=1).sum())


def _label(folder: ImageFolder, entry: Entry, names: tuple[str, ...]) -> Annotation:
    if entry.label is None:
        return voc_yolo.nothing(entry.path)
    if folder.format == "coco":
        return coco.annotations(entry.label)[entry.key]
    if folder.format == "voc":
        return voc_yolo.read_voc(entry.label)
    return voc_yolo.read_yolo(entry.label, names)


def _class_list(folder: ImageFolder) -> tuple[str, ...]:
    """What every list of classes says; one that says another thing is refused."""
    lists = {file: _names(file) for file in folder.class_lists}
    if len(set(lists.values())) > 1:
        first, *others = lists
        other = next(file for file in others if lists[file] != lists[first])
        raise ValueError(f"two lists of classes: {first} and {other}; keep one")
    return next(iter(lists.values()), ())


def _names(file: Path) -> tuple[str, ...]:
    """Names by index: a line each, or `names` of a data.yaml."""
    text = read_text(file)
    if file.suffix.lower() == ".txt" or file.suffix.lower() == ".names":
        return tuple(row.strip() for row in text.rstrip().splitlines())
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: no YAML: {error}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and [*names] == [*range(len(names))]:
        names = [*names.values()]
    if not isinstance(names, list):
        raise ValueError(
            f"{file}: names must be a list of classes, or by index from 0; got {names!r}"
        )
    return tuple(map(str, names))


def _classes(folder: ImageFolder, labels: dict[str, Annotation]) -> tuple[str, ...]:
    names = {name for label in labels.values() for name in label.names}
    if folder.format == "yolo":  # an index must stay what it is
        most = max((int(name) for name in names), default=-1)
        if most >= MAX_CLASSES:
            raise ValueError(f"{folder.root}: class index {most}; set data.classes")
        return tuple(str(k) for k in range(most + 1))
    return tuple(sorted(names))
