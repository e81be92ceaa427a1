"""CT scans to slices with boxes: one look at each scan, its pixels read again later.

Volume -> lesions -> heart crop -> slices; Hounsfield units stay int16 from the file to
the device. docs/design/0009-ct.md.
"""

import functools
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Int16

from tqgd_jax.config import Config, Data
from tqgd_jax.ct import crop, windows
from tqgd_jax.data.discover.scan_folder import Cohort, Study, stem, walk
from tqgd_jax.data.read import validation
from tqgd_jax.data.read.scan_labels import class_names, find_table, sound
from tqgd_jax.data.read.scan_summary import Facts, look_at_all
from tqgd_jax.data.split import scan_splits
from tqgd_jax.data.split.folds import Slice
from tqgd_jax.data.split.scan_splits import Row
from tqgd_jax.io import volumes
from tqgd_jax.io.volumes import Volume
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Header, Item, Scan, SliceInfo

logger = logging.getLogger("tqgd_jax")

# Files that decide nothing unless a setting names them.
BESIDE = (
    *(".csv", ".json", ".txt", ".md", ".png", ".jpg", ".log", ".pdf"),
    *(".zip", ".tar", ".tgz", ".7z"),
)


def scan(config: Config, cohort: Cohort) -> Scan:
    """Every scan is read once, on all cores; what is unreadable is left out."""
    data = config.data
    found, seen = look_at_all(data, cohort)
    problems = [*cohort.problems, *seen]
    if not found:
        listed = "\n".join(f"  {p}" for p in problems[: validation.LISTED])
        raise ValueError(f"{cohort.root}: no scan can be read:\n{listed}")
    classes = class_names(data, cohort, (a for f in found for a in f.said))
    index = {name: k for k, name in enumerate(classes)}
    read = functools.lru_cache(maxsize=2)(_volume)
    kept = [_checked(facts, index, data.bad_labels) for facts in found]
    problems += [p for of in kept for checked in of.values() for p in checked.problems]
    rows = [row for facts in found for row in _rows(facts)]
    wanted = {
        name
        for of in kept
        for name, checked in of.items()
        if data.slices == "all" or len(checked.labels)
    }
    split = scan_splits.split(cohort, rows, wanted, data, config.seed)
    parts: dict[str, list[Item]] = {part: [] for part in ("train", "val", "test")}
    for facts, of in zip(found, kept, strict=True):
        part_of = [split.part_of.get(name, "") for name in of]
        fit, told = windows.fitted(
            facts.windows,
            [checked.boxes for checked in of.values()],
            part_of,
            list(of),
            facts.study.path,
            rules=data.crop,
            shape=facts.shape[1:],
        )
        problems += told
        if unnamed := part_of.count(""):
            text = f"no part of the split ({split.mode}) names {unnamed} of its slices"
            problems.append(Problem(facts.study.path, 0, "not_in_split", text))
        for z, (name, part) in enumerate(zip(of, part_of, strict=True)):
            if part and name in wanted:
                patient = split.group_of[name]
                item = _item(facts, z, of[name], fit[z], patient, data, read)
                parts[part].append(item)
    for part in sorted(set(split.part_of.values())):
        if not parts[part]:
            logger.warning("no slice of the %s patients has a box: no %s", part, part)
    parts = {part: sorted(of, key=_name) for part, of in parts.items() if of}
    patients = len(set(split.group_of.values()))
    notes = [f"{len(found)} scans of {patients} patients"]
    if split.fold:
        notes.append(f"test is fold {split.fold[0]} of {split.fold[1]}")
    notes += windows.notes(parts)
    return Scan(
        cohort.root,
        cohort.format,
        split.mode,
        split.seeded,
        classes,
        parts,
        problems,
        windows.stamp(split.stamp, data.crop, data.crop.method != "none"),
        notes,
        split.fold,
    )


def slice_name(scan: str, z: int) -> str:
    """What slice `z` of a scan is called everywhere."""
    return f"{scan}_z{z:03d}"


def slices(config: Config, cohort: Cohort) -> list[Slice]:
    """Every slice as a manifest of folds wants it; faults stop it."""
    found, problems = look_at_all(config.data, cohort)
    validation.enforce([*cohort.problems, *problems], config.data.bad_labels)
    rows = [row for facts in found for row in _rows(facts)]
    group_of = scan_splits.patients(cohort, rows, config.data)
    return [r.slice._replace(patient=group_of[r.slice.name]) for r in rows]


def marks(config: Config, cohort: Cohort) -> tuple[dict[str, Any], Path, list[Path]]:
    """The settings that matter, the folder, and every file that is read."""
    data = config.data
    mode, files = scan_splits.source(cohort, data)
    seeded = mode in ("ratio", "folds") or data.hold_out > 0
    settings = {
        "format": cohort.format,
        "classes": list(data.classes),
        "split": mode,
        "folds": data.folds if mode == "folds" else None,
        "fold": data.fold if mode in ("folds", "manifest") else None,
        "group": data.group,
        "ratio": list(data.ratio) if mode == "ratio" else None,
        "hold_out": data.hold_out,
        "bad_labels": data.bad_labels,
        "seed": config.seed if seeded else None,
        "patterns": [data.scan_pattern, data.mask_pattern],
        "lesion_hu": data.lesion_hu,
        "slices": data.slices,
        "neighbours": [data.neighbours, data.neighbour_mm],
        "boxes": bool(data.boxes),
        "crop": asdict(data.crop) | ({"method": "csv"} if data.crop.by_file else {}),
    }
    there = walk(cohort.root)
    read = {s.path for s in cohort.studies} | {s.mask for s in cohort.studies}
    others = {
        stem(f).casefold() for f in there if volumes.is_volume(f) and f not in read
    } - {stem(f).casefold() for f in read if f is not None}
    every = [
        f
        for f in there
        if f.suffix.lower() not in BESIDE
        and stem(f).casefold() not in others
        and f.is_file()
    ]
    named = [data.boxes] if data.boxes else []
    named += [data.crop.method] if data.crop.by_file else []
    return (
        settings,
        cohort.root,
        [*every, *files, *(find_table(cohort.root, t) for t in named)],
    )


def _name(item: Item) -> str:
    return item.name


def _volume(path: Path, series: str) -> Volume:
    return volumes.read_volume(path, series=series)


def _rows(facts: Facts) -> Iterator[Row]:
    _, dy, dx = facts.spacing
    for z, lesions in enumerate(facts.lesions):
        load = sum(lesion.area_mm2 for lesion in lesions)
        if not load:  # boxes without a mask
            boxes = sound(facts.said[z].boxes, facts.shape[1:])
            wh = boxes[:, 2:] - boxes[:, :2]
            load = float(wh.prod(axis=1).sum() * dy * dx)
        name = slice_name(facts.study.scan, z)
        yield Row(
            Slice(name, facts.patient, facts.hashes[z], load, facts.scanner),
            facts.study.scan,
            facts.study.path,
        )


def _checked(
    facts: Facts, index: dict[str, int], policy: str
) -> dict[str, validation.Checked]:
    """The boxes to keep by slice, from the lowest, in px of the whole slice."""
    shape = facts.shape[1:]
    return {
        slice_name(facts.study.scan, z): validation.check(said, shape, index, policy)
        for z, said in enumerate(facts.said)
    }


def _item(
    facts: Facts,
    z: int,
    checked: validation.Checked,
    window: Int[np.ndarray, "4"],
    patient: str,
    data: Data,
    read: Any,
) -> Item:
    x0, y0, x1, y1 = window.tolist()
    steps = neighbours(z, facts.shape[0], facts.spacing[0], data)
    return Item(
        facts.study.path,
        slice_name(facts.study.scan, z),
        patient,
        Header(y1 - y0, x1 - x0, len(steps), "int16"),
        crop.to_crop(checked.boxes, window),
        checked.labels,
        pixels=functools.partial(_pixels, read, facts.study, steps, window),
        slice=SliceInfo(
            facts.study.scan, facts.scanner, z, facts.spacing, (x0, y0, x1, y1)
        ),
        lesions=tuple(facts.lesions[z][row] for row in checked.rows),
    )


def neighbours(z: int, depth: int, dz: float, data: Data) -> list[int]:
    """The slices of one image, from below: `data.neighbours` on either side.

    Their distance is `data.neighbour_mm`, to the nearest slice, so scans of different
    spacing look alike; at the ends the last slice is repeated.
    """
    k = np.arange(-data.neighbours, data.neighbours + 1)
    step = data.neighbour_mm / dz if data.neighbour_mm else 1.0
    return np.clip(z + np.rint(k * step), 0, depth - 1).astype(int).tolist()


def _pixels(
    read: Any, study: Study, steps: list[int], window: Int[np.ndarray, "4"]
) -> Int16[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    hu = read(study.path, study.series).hu
    return np.ascontiguousarray(np.moveaxis(hu[steps, y0:y1, x0:x1], 0, -1))
