"""A folder of images: what its labels say, and the samples of each part."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer

from tqgd_jax.config import Config, Crop, Data
from tqgd_jax.ct import crop, heart_boxes, windows
from tqgd_jax.data.discover.image_folder import ImageFolder, finder
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.split_source import PARTS
from tqgd_jax.data.read import validation
from tqgd_jax.data.split import splits
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.splits import Rows, Samples
from tqgd_jax.io import coco, images, voc_yolo
from tqgd_jax.structures.annotation import Annotation, Entry, Problem
from tqgd_jax.structures.dataset_index import Header, Sample

MAX_CLASSES = 10_000


def read(
    layout: Layout, data: Data, sha256: Callable[[Path], str]
) -> tuple[Rows, dict[str, Annotation], tuple[str, ...]]:
    """Rows for the split; labels by name; the names of classes.txt.

    `sha256` is asked of images where folds need it.
    """
    folder = layout.folder
    assert isinstance(folder, ImageFolder)
    class_list = _class_list(folder)
    names = class_list or data.classes
    labels = {e.name: _label(folder, e, names) for e in folder.entries}
    hashed = layout.split.mode in ("folds", "manifest")
    slices = [
        Slice(
            e.name,
            patient="",
            sha256=sha256(e.path) if hashed else "",
            load=_area(labels[e.name]),
            scanner="",
            path=e.path,
        )
        for e in folder.entries
    ]
    find = finder(folder.root, folder.entries)
    return Rows(slices, find, folder.problems), labels, class_list


def samples(layout: Layout, config: Config, sha256: Callable[[Path], str]) -> Samples:
    """Collects problems instead of raising them; unreadable images are left out."""
    folder, data, mode = layout.folder, config.data, layout.split.mode
    assert isinstance(folder, ImageFolder)
    _refuse_settings_of_scans(data, folder.root)
    rows, labels, class_list = read(layout, data, sha256)
    split = splits.split(layout, rows, data, config.seed, labels.keys())
    classes = data.classes or class_list or _classes(folder, labels)
    number = validation.numbers(classes, folder.root)
    hearts, notes = None, []
    if layout.hearts is not None:
        hearts, others = heart_boxes.read_image_boxes(layout.hearts, rows.find)
        notes = [f"{len(hearts)} of {len(labels)} images have a heart box"]
        if others:
            notes.append(
                f"{layout.hearts}: {len(others)} rows name no image here, such as "
                + ", ".join(others[:3])
            )
    by_part: dict[str, list[Entry]] = {part: [] for part in (*PARTS, "")}
    for e in sorted(folder.entries, key=lambda e: e.name):
        by_part[split.part_of.get(e.name, "")].append(e)
    text = f"no part of the split ({mode}) names it"
    outside = [Problem(e.path, 0, "not_in_split", text) for e in by_part.pop("")]
    problems = [*rows.problems, *split.problems, *outside]
    left_out = 0
    parts: dict[str, list[Sample]] = {part: [] for part, of in by_part.items() if of}
    for part, samples in parts.items():
        for e in by_part[part]:
            try:
                header = images.read_header(e.path)
            except ValueError as error:
                text = str(error).removeprefix(f"{e.path}: ")
                problems.append(Problem(e.path, 0, "unreadable", text))
                continue
            boxes = validation.check(
                labels[e.name], header[:2], number, data.bad_labels
            )
            problems += boxes.problems
            if data.slices == "positive" and part == "train" and not len(boxes.boxes):
                left_out += 1
                continue
            sample = Sample(
                e.path,
                e.name,
                split.patient_of[e.name],
                header,
                boxes.boxes,
                boxes.labels,
                pixels=functools.partial(images.read_image, e.path),
            )
            if hearts is not None:
                sample, of_crop = _cropped(sample, hearts.get(e.name), part, data.crop)
                problems += of_crop
            samples.append(sample)
    if left_out and not parts["train"]:
        raise ValueError(
            f"{folder.root}: none of the {left_out} training images has a box, so "
            "nothing trains; correct the labels or the split, or set data.slices=all"
        )
    if left_out:
        notes.append(
            f"{left_out} images without a box do not train (data.slices=positive); those "
            "of other parts are judged"
        )
    return Samples(split, classes, parts, problems, notes)


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


def _cropped(
    sample: Sample, heart: list[float] | None, part: str, rules: Crop
) -> tuple[Sample, list[Problem]]:
    """The image and its boxes in the window around its heart; whole without one."""
    h, w, channels, dtype = sample.header
    problems = []
    if heart is None:
        text = f"no heart box in {rules.method}, stays whole"
        problems.append(Problem(sample.path, 0, "crop_whole", text))
    try:
        around = crop.crops(
            np.array([heart or [np.nan] * 4]),
            (h, w),
            (1.0, 1.0),
            per="slice",
            margin_mm=rules.margin_px,
        )
    except ValueError as error:
        raise ValueError(f"{rules.method}: image {sample.name!r}: {error}") from error
    (window,), of_window = windows.fitted(
        around,
        [sample.boxes],
        [part],
        [sample.name],
        sample.path,
        rules=rules,
        shape=(h, w),
    )
    x0, y0, x1, y1 = window.tolist()
    inside = Header(y1 - y0, x1 - x0, channels, dtype)
    cropped = replace(
        sample,
        header=inside,
        boxes=crop.to_crop(sample.boxes, window),
        pixels=functools.partial(_part, sample.pixels, window),
        crop=(x0, y0, x1, y1),
    )
    return cropped, problems + of_window


def _part(
    whole: Callable[[], np.ndarray], window: Int[np.ndarray, "4"]
) -> Integer[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    return np.ascontiguousarray(whole()[y0:y1, x0:x1])


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
    files = folder.class_lists
    if len(files) > 1:
        raise ValueError(f"two lists of classes: {files[0]} and {files[1]}; keep one")
    if not files:
        return ()
    rows = files[0].read_text("utf-8-sig").rstrip().splitlines()
    return tuple(row.strip() for row in rows)


def _classes(folder: ImageFolder, labels: dict[str, Annotation]) -> tuple[str, ...]:
    names = {name for label in labels.values() for name in label.names}
    if folder.format == "yolo":  # an index must stay what it is
        most = max((int(name) for name in names), default=-1)
        if most >= MAX_CLASSES:
            raise ValueError(f"{folder.root}: class index {most}; set data.classes")
        return tuple(str(k) for k in range(most + 1))
    return tuple(sorted(names))
