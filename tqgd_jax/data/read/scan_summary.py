"""One look at each CT scan: everything but the pixels, on all cores."""

import functools
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from tqgd_jax.config import Crop, Data
from tqgd_jax.ct import crop, heart, heart_boxes
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.scan_folder import ScanFiles, ScanFolder
from tqgd_jax.data.read.scan_labels import Labels, Tables, labels_of, tables
from tqgd_jax.io import volumes
from tqgd_jax.io.volumes import Volume
from tqgd_jax.structures.annotation import Problem


@dataclass(frozen=True, eq=False)
class ScanSummary:
    """A scan without its pixels; one entry for each slice, in px of the whole slice.

    The windows are those around the heart, whatever the labels; `beyond_mm` is how far
    slices lie below or above it; the hashes are of HU.
    """

    scan: ScanFiles
    patient: str
    scanner: str
    study: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    sop: tuple[str, ...]
    windows: Int[np.ndarray, "z 4"]
    beyond_mm: list[float]
    hashes: list[str]
    labels: Labels
    problems: list[Problem]


def summarize(layout: Layout, data: Data) -> tuple[list[ScanSummary], list[Problem]]:
    """Every scan that can be read, in order, and what is wrong.

    Raises ValueError for faults of the settings and for a slice that is there twice.
    """
    import SimpleITK  # noqa: F401  once, before the threads do

    folder = layout.folder
    assert isinstance(folder, ScanFolder)
    if data.crop.margin_px != Crop().margin_px:
        raise ValueError(
            f"{folder.root} holds CT scans, and data.crop.margin_px is a setting of "
            "images; data.crop.margin_mm is that of scans"
        )
    known = tables(folder, layout, data)
    problems = list(folder.problems)
    names = {s.name for s in folder.scans}
    if layout.hearts and (others := sorted(known.hearts.keys() - names)):
        text = f"names {len(others)} scans that are not there, such as {others[0]!r}"
        problems.append(Problem(layout.hearts, 0, "crop_unused", text))
    look = functools.partial(_look, layout=layout, data=data, known=known)
    summaries: list[ScanSummary] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(look, folder.scans)
        for summary in tqdm(looks, "read scans", len(folder.scans), unit="scan"):
            if isinstance(summary, ScanSummary):
                summaries.append(summary)
                problems += summary.problems
            else:
                problems.append(summary)
    owner: dict[str, ScanFiles] = {}
    for summary in summaries:
        for uid in summary.sop:
            if (other := owner.setdefault(uid, summary.scan)) is not summary.scan:
                raise ValueError(
                    f"{other.path} and {summary.scan.path} hold the same slice "
                    f"({uid}); remove one copy"
                )
    for uid, a in known.xml.items():
        if uid not in owner:  # what is wrong with the file itself goes before
            text = "no slice has this SOPInstanceUID; name it SOPInstanceUID.xml"
            problems += a.problems or [Problem(a.file, 0, "missing_image", text)]
    problems += known.problems
    return summaries, [*problems, *_shared(summaries)]


def _shared(summaries: list[ScanSummary]) -> Iterator[Problem]:
    """Patients with more than one examination: is it one person each time?"""
    of_patient = defaultdict(list)
    for summary in summaries:
        if summary.study:
            of_patient[summary.patient].append(summary)
    for patient, of in of_patient.items():
        studies = {summary.study: summary.scan for summary in of}
        if len(studies) > 1:
            others = ", ".join(scan.name for scan in [*studies.values()][:3])
            text = (
                f"{len(studies)} studies have the PatientID {patient!r} ({others}) and "
                "count as one patient. If anonymising gave it to several people, "
                "data.group='(.+)' takes each scan for a patient, and a split.csv with "
                "the columns image and group, with data.split=folds, says who is who"
            )
            yield Problem(of[0].scan.path, 0, "shared_patient", text)


def _look(
    scan: ScanFiles, *, layout: Layout, data: Data, known: Tables
) -> ScanSummary | Problem:
    try:
        volume = volumes.read_volume(scan.path, series=scan.series)
        return _summary(scan, volume, layout, data, known)
    except ValueError as error:
        text = str(error).removeprefix(f"{scan.path}: ")
        return Problem(scan.path, 0, "unreadable", text)


def _summary(
    scan: ScanFiles, volume: Volume, layout: Layout, data: Data, known: Tables
) -> ScanSummary:
    depth, h, w = volume.hu.shape
    labels = labels_of(scan, volume, layout.folder.format, data, known)
    problems = list(labels.problems)
    windows, beyond_mm = np.tile([0, 0, w, h], (depth, 1)), np.zeros(depth)
    if data.crop.method != "none":
        if layout.hearts is None:
            hearts = heart.find_heart(volume.hu, volume.spacing)
        else:
            rows = known.hearts
            hearts = heart_boxes.boxes_of(layout.hearts, rows, scan.name, depth)
        without = int(np.isnan(hearts).all(axis=1).sum())
        if data.crop.by_file and without:
            text = (
                f"{without} of {depth} slices have no heart box in {data.crop.method}: "
                "they take the window of the nearest slice with one"
            )
            problems.append(Problem(scan.path, 0, "crop_nearest", text))
        windows = crop.crops(
            hearts,
            (h, w),
            volume.spacing[1:],
            per=data.crop.per,
            margin_mm=data.crop.margin_mm,
        )
        beyond_mm = crop.beyond(hearts, volume.spacing[0])
    if 0 < data.neighbour_mm < volume.spacing[0] / 2 and data.neighbours:
        text = (
            f"data.neighbour_mm={data.neighbour_mm:g} is less than half the distance of "
            f"slices, {volume.spacing[0]:g} mm: some channels are the same slice"
        )
        problems.append(Problem(scan.path, 0, "same_channels", text))
    if doubt := volumes.doubtful(volume.spacing):
        problems.append(Problem(scan.path, 0, "doubtful_spacing", doubt))
    patient = volume.ids.get("patient", "") if scan.series else ""
    return ScanSummary(
        scan,
        patient or scan.key,
        scan.scanner or volume.ids.get("manufacturer", ""),
        volume.ids.get("study", ""),
        volume.hu.shape,
        volume.spacing,
        volume.sop,
        windows,
        beyond_mm.tolist(),
        [
            hashlib.sha256(np.ascontiguousarray(s).tobytes()).hexdigest()
            for s in volume.hu
        ],
        labels,
        problems,
    )
