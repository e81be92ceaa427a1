"""A folder of CT scans: what is known of each slice, and the samples of each part."""

import functools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, Int16

from tqgd_jax.config import Config, Data
from tqgd_jax.ct import crop, windows
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.scan_folder import ScanFiles, ScanFolder
from tqgd_jax.data.discover.split_source import PARTS
from tqgd_jax.data.read import validation
from tqgd_jax.data.read.scan_labels import class_names, sound
from tqgd_jax.data.read.scan_summary import ScanSummary, summarize
from tqgd_jax.data.split import splits
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.splits import Rows, Samples
from tqgd_jax.io import volumes
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Header, Sample, SliceInfo

logger = logging.getLogger("tqgd_jax")


def read(layout: Layout, data: Data) -> tuple[Rows, list[ScanSummary]]:
    """Rows for the split, of every slice, and the scans that can be read.

    A list may name a slice, or all of a scan or a patient.
    """
    summaries, problems = summarize(layout, data)
    slices = [row for summary in summaries for row in _slices(summary)]
    names: dict[str, list[str]] = {}
    for row in slices:
        for alias in {s.casefold() for s in (row.name, row.scan, row.patient)}:
            names.setdefault(alias, []).append(row.name)
    return Rows(slices, lambda a: names.get(a.casefold(), ()), problems), summaries


def samples(layout: Layout, config: Config) -> Samples:
    """Collects problems instead of raising them; unreadable scans are left out.

    A set of scans does not fit in memory: each is read again when its pixels are asked
    for.
    """
    folder, data = layout.folder, config.data
    assert isinstance(folder, ScanFolder)
    rows, summaries = read(layout, data)
    if not summaries:
        listed = "\n".join(f"  {p}" for p in rows.problems[: validation.LISTED])
        raise ValueError(f"{folder.root}: no scan can be read:\n{listed}")
    classes = class_names(data, folder, (a for s in summaries for a in s.labels.boxes))
    number = validation.numbers(classes, folder.root)
    checked = [_checked(summary, number, data.bad_labels) for summary in summaries]
    problems = [*rows.problems]
    problems += [p for of in checked for boxes in of.values() for p in boxes.problems]
    used = {
        name
        for of in checked
        for name, boxes in of.items()
        if data.slices == "all" or len(boxes.labels)
    }
    split = splits.split(layout, rows, data, config.seed, used)
    problems += split.problems
    volume = functools.lru_cache(maxsize=2)(volumes.read_volume)
    parts: dict[str, list[Sample]] = {part: [] for part in PARTS}
    for summary, of in zip(summaries, checked, strict=True):
        part_of = [split.part_of.get(name, "") for name in of]
        fit, of_window = windows.fitted(
            summary.windows,
            [boxes.boxes for boxes in of.values()],
            part_of,
            list(of),
            summary.scan.path,
            rules=data.crop,
            shape=summary.shape[1:],
        )
        problems += of_window
        if unnamed := part_of.count(""):
            mode = layout.split.mode
            text = f"no part of the split ({mode}) names {unnamed} of its slices"
            problems.append(Problem(summary.scan.path, 0, "not_in_split", text))
        for z, (name, part) in enumerate(zip(of, part_of, strict=True)):
            if part and name in used:
                patient = split.patient_of[name]
                sample = _sample(summary, z, of[name], fit[z], patient, data, volume)
                parts[part].append(sample)
    for part in sorted(set(split.part_of.values())):
        if not parts[part]:
            logger.warning("no slice of the %s patients has a box: no %s", part, part)
    parts = {k: sorted(of, key=lambda i: i.name) for k, of in parts.items() if of}
    patients = len(set(split.patient_of.values()))
    notes = [f"{len(summaries)} scans of {patients} patients"]
    return Samples(split, classes, parts, problems, notes)


def slice_name(scan: str, z: int) -> str:
    """What slice `z` of a scan is called everywhere."""
    return f"{scan}_z{z:03d}"


def _slices(summary: ScanSummary) -> Iterator[Slice]:
    _, dy, dx = summary.spacing
    scan, labels = summary.scan, summary.labels
    for z, lesions in enumerate(labels.lesions):
        load = sum(lesion.area_mm2 for lesion in lesions)
        if not load:  # boxes without a mask
            boxes = sound(labels.boxes[z].boxes, summary.shape[1:])
            wh = boxes[:, 2:] - boxes[:, :2]
            load = float(wh.prod(axis=1).sum() * dy * dx)
        yield Slice(
            slice_name(scan.name, z),
            summary.patient,
            summary.hashes[z],
            load,
            summary.scanner,
            scan.name,
            scan.path,
        )


def _checked(
    summary: ScanSummary, number: dict[str, int], policy: str
) -> dict[str, validation.Checked]:
    """The boxes to keep by slice, from the lowest, in px of the whole slice."""
    return {
        slice_name(summary.scan.name, z): validation.check(
            boxes, summary.shape[1:], number, policy
        )
        for z, boxes in enumerate(summary.labels.boxes)
    }


def _sample(
    summary: ScanSummary,
    z: int,
    checked: validation.Checked,
    window: Int[np.ndarray, "4"],
    patient: str,
    data: Data,
    volume: Any,
) -> Sample:
    x0, y0, x1, y1 = window.tolist()
    scan, spacing = summary.scan, summary.spacing
    steps = neighbours(z, summary.shape[0], spacing[0], data)
    return Sample(
        scan.path,
        slice_name(scan.name, z),
        patient,
        Header(y1 - y0, x1 - x0, len(steps), "int16"),
        crop.to_crop(checked.boxes, window),
        checked.labels,
        pixels=functools.partial(_pixels, volume, scan, steps, window),
        slice=SliceInfo(scan.name, summary.scanner, z, spacing, (x0, y0, x1, y1)),
        lesions=tuple(summary.labels.lesions[z][row] for row in checked.rows),
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
    volume: Any, scan: ScanFiles, steps: list[int], window: Int[np.ndarray, "4"]
) -> Int16[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    hu = volume(scan.path, series=scan.series).hu
    return np.ascontiguousarray(np.moveaxis(hu[steps, y0:y1, x0:x1], 0, -1))
