"""A folder of CT scans: what is known of each slice, and all that a split needs."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int16

from tqgd_jax.config import Data
from tqgd_jax.ct import windows
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.scan_folder import ScanFiles, ScanFolder
from tqgd_jax.data.read import validation
from tqgd_jax.data.read.scan_labels import class_names, sound
from tqgd_jax.data.read.scan_summary import ScanSummary, summarize
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.splits import Rows
from tqgd_jax.io import volumes
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Header, Record, Window


def read(
    layout: Layout, data: Data
) -> tuple[list[Slice], list[ScanSummary], list[Problem]]:
    """A row for every slice; the scans that can be read; what is wrong."""
    summaries, problems = summarize(layout, data)
    slices = [row for summary in summaries for row in _slices(summary)]
    return slices, summaries, problems


def rows(layout: Layout, data: Data) -> Rows:
    """Collects problems instead of raising them; unreadable scans are left out.

    A set of scans does not fit in memory: each is read again when its pixels are asked
    for.
    """
    folder = layout.folder
    assert isinstance(folder, ScanFolder)
    slices, summaries, problems = read(layout, data)
    if not summaries:
        raise validation.unusable(folder.root, problems, "no scan can be read")
    causes = [p for s in summaries for a in s.labels.boxes for p in a.problems]
    classes = class_names(data, folder, (a for s in summaries for a in s.labels.boxes))
    number = validation.numbers(classes, folder.root, [*problems, *causes])
    volume = functools.lru_cache(maxsize=2)(volumes.read_volume)
    records: dict[str, Record] = {}
    for summary in summaries:
        of_scan, of_labels = _records(summary, number, data, volume)
        records |= of_scan
        problems += of_labels
    return Rows(slices, records, classes, problems, [])


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


def _records(
    summary: ScanSummary, number: dict[str, int], data: Data, volume: Any
) -> tuple[dict[str, Record], list[Problem]]:
    depth, h, w = summary.shape
    scan, labels = summary.scan, summary.labels
    checked = [
        validation.check(boxes, (h, w), number, data.bad_labels)
        for boxes in labels.boxes
    ]
    boxes = [of.boxes for of in checked]
    crops = windows.between(summary.windows, boxes, rules=data.crop, shape=(h, w))
    records = {}
    nothing = np.zeros(0, np.bool_)
    for z, window_and_widest in enumerate(crops):
        steps = neighbours(z, depth, summary.spacing[0], data)
        rows, parts = checked[z].rows, None
        if labels.parts is not None:
            parts = np.concatenate([nothing, *(labels.parts[z][row] for row in rows)])
        records[slice_name(scan.name, z)] = Record(
            Header(h, w, len(steps), "int16"),
            checked[z].boxes,
            checked[z].labels,
            *window_and_widest,
            functools.partial(_pixels, volume, scan, steps),
            (z, summary.spacing, summary.beyond_mm[z]),
            tuple(labels.lesions[z][row] for row in rows),
            parts,
        )
    return records, [p for of in checked for p in of.problems]


def neighbours(z: int, depth: int, dz: float, data: Data) -> list[int]:
    """The slices of one image, from below: `data.neighbours` on either side.

    Their distance is `data.neighbour_mm`, to the nearest slice, so scans of different
    spacing look alike; at the ends the last slice is repeated.
    """
    k = np.arange(-data.neighbours, data.neighbours + 1)
    step = data.neighbour_mm / dz if data.neighbour_mm else 1.0
    return np.clip(z + np.rint(k * step), 0, depth - 1).astype(int).tolist()


def _pixels(
    volume: Any, scan: ScanFiles, steps: list[int], window: Window
) -> Int16[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    hu = volume(scan.path, series=scan.series).hu
    return np.ascontiguousarray(np.moveaxis(hu[steps, y0:y1, x0:x1], 0, -1))
