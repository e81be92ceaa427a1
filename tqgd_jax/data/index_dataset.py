"""Read, split: a folder of images or CT scans to all but its pixels."""

import dataclasses
import functools
import hashlib
import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tqgd_jax.config import Config, Data
from tqgd_jax.ct import crop, windows
from tqgd_jax.data.discover.layout import Layout, discover
from tqgd_jax.data.discover.scan_folder import ScanFolder
from tqgd_jax.data.discover.split_source import PARTS
from tqgd_jax.data.read import image_set, scans, validation
from tqgd_jax.data.split import splits
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.splits import Rows
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import (
    DatasetIndex,
    Header,
    Record,
    Sample,
    SliceInfo,
    Window,
)

logger = logging.getLogger("tqgd_jax")


def hash_file(path: Path) -> str:
    """SHA-256 of the contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def index_dataset(config: Config, layout: Layout) -> DatasetIndex:
    """Collects problems instead of raising them; what is unreadable is left out.

    Args:
      config: `data` and `seed` of it.
      layout: what `discover` gave.
    """
    rows = read(layout, config.data)
    index = split(config, layout, rows)
    problems, notes = rows.problems + index.problems, rows.notes + index.notes
    return dataclasses.replace(index, problems=problems, notes=notes)


def read(layout: Layout, data: Data, sha256: Callable[[Path], str] = hash_file) -> Rows:
    """All that any part of any split could need; `sha256` is asked of images."""
    if isinstance(layout.folder, ScanFolder):
        rows = scans.rows(layout, data)
    else:
        rows = image_set.rows(layout, data, sha256)
    if not rows.records:
        raise validation.unusable(layout.folder.root, rows.problems, "no image is left")
    return rows


def split(config: Config, layout: Layout, rows: Rows) -> DatasetIndex:
    """The parts of what was read; problems and notes are those of the split alone."""
    data, mode = config.data, layout.split.mode
    of_scans = isinstance(layout.folder, ScanFolder)
    cropped = data.crop.method != "none" if of_scans else data.crop.by_file
    positive = data.slices == "positive"
    boxed = {name for name, record in rows.records.items() if len(record.labels)}
    used = boxed if of_scans and positive else {s.name for s in rows.slices}
    made = splits.split(layout, rows.slices, data, config.seed, used)
    part_of, patient_of = made.part_of, made.patient_of
    problems = [*made.problems]
    parts: dict[str, list[Sample]] = {part: [] for part in PARTS}
    left_out = 0
    for _, group in itertools.groupby(rows.slices, key=lambda s: s.scan or s.name):
        one = [*group]  # scan, or image
        if unnamed := sum(s.name not in part_of for s in one):
            what = f"{unnamed} of its slices" if of_scans else "it"
            text = f"no part of the split ({mode}) names {what}"
            problems.append(Problem(one[0].path, 0, "not_in_split", text))
        one = [s for s in one if s.name in rows.records]
        records = [rows.records[s.name] for s in one]
        fit, of_crop = windows.fitted(
            records,
            [part_of.get(s.name, "") for s in one],
            [s.name for s in one],
            one[0].path if one else Path(),
            rules=data.crop,
        )
        problems += of_crop
        for row, record, window in zip(one, records, fit, strict=True):
            part = part_of.get(row.name, "")
            if not part:
                continue
            # of images, those without a box are judged
            if positive and row.name not in boxed and (of_scans or part == "train"):
                left_out += 1
                continue
            sample = cut(row._replace(patient=patient_of[row.name]), record, window)
            if cropped and not of_scans:
                sample = dataclasses.replace(sample, crop=window)
            parts[part].append(sample)
    if parts["train"] and not any(len(s.labels) for s in parts["train"]):
        text = "none of its images has a box, so nothing would be learned"
        root = layout.folder.root
        problems.append(Problem(root, 0, "no_box_trains", text))
    notes = []
    if of_scans:
        for part in sorted({*part_of.values()}):
            if not parts[part]:
                logger.warning(
                    "no slice of the %s patients has a box: no %s", part, part
                )
        patients = len({*patient_of.values()})
        notes.append(
            f"{len({s.scan for s in rows.slices})} scans of {patients} patients"
        )
    elif left_out:
        if not parts["train"]:
            raise ValueError(
                f"{layout.folder.root}: none of the {left_out} training images has a "
                "box, so nothing trains; correct the labels or the split, or set "
                "data.slices=all"
            )
        notes.append(
            f"{left_out} images without a box do not train (data.slices=positive); those "
            "of other parts are judged"
        )
    if made.fold:
        notes.append(f"test is fold {made.fold[0]} of {made.fold[1]}")
    parts = {k: sorted(of, key=lambda s: s.name) for k, of in parts.items() if of}
    return DatasetIndex(
        layout.folder.root,
        layout.folder.format,
        mode,
        made.seeded,
        tuple(rows.classes),
        parts,
        problems,
        windows.disclaimer(made.disclaimer, data.crop, cropped),
        [*notes, *windows.notes(parts)],
        made.fold,
        sum(name in part_of for name in (boxed if positive else rows.records)),
    )


def cut(row: Slice, record: Record, window: Window) -> Sample:
    """A window of an image or slice, and its boxes in px of that window."""
    x0, y0, x1, y1 = window
    info = None
    if record.place is not None:
        z, spacing, beyond_mm = record.place
        info = SliceInfo(row.scan, row.scanner, z, spacing, window, beyond_mm)
    return Sample(
        row.path,
        row.name,
        row.patient or row.name,
        Header(y1 - y0, x1 - x0, *record.header[2:]),
        crop.to_crop(record.boxes, np.array(window)),
        record.labels,
        pixels=functools.partial(record.pixels, window),
        slice=info,
        lesions=record.lesions,
        parts=record.parts,
    )


def slices(config: Config) -> list[Slice]:
    """Every image or slice as a manifest of folds wants it; faults stop it."""
    data = dataclasses.replace(config.data, split="folds", fold=1)
    layout = discover(data)
    if isinstance(layout.folder, ScanFolder):
        rows, _, problems = scans.read(layout, data)
    else:
        rows, *_ = image_set.read(layout, data, hash_file)
        problems = layout.folder.problems
    validation.enforce(problems, data.bad_labels)
    return splits.known(layout, rows, data.group).whose()
