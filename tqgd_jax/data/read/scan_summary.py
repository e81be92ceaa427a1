"""One look at each CT scan: everything but the pixels, on all cores."""

import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from tqgd_jax.config import Crop, Data
from tqgd_jax.ct import crop, heart, heart_boxes
from tqgd_jax.data.discover.scan_folder import Cohort, Study
from tqgd_jax.data.read.scan_labels import Tables, find_table, labels_of, tables
from tqgd_jax.data.split import patients
from tqgd_jax.io import volumes
from tqgd_jax.io.volumes import Volume
from tqgd_jax.structures.annotation import Annotation, Problem
from tqgd_jax.structures.dataset_index import Lesion


@dataclass(frozen=True, eq=False)
class Facts:
    """A scan without its pixels; one entry for each slice, in px of the whole slice.

    The windows are those around the heart, whatever the labels.
    """

    study: Study
    patient: str
    scanner: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    sop: tuple[str, ...]
    windows: Int[np.ndarray, "z 4"]
    hashes: list[str]
    said: list[Annotation]
    lesions: list[tuple[Lesion, ...]]
    problems: list[Problem]


def look_at_all(data: Data, cohort: Cohort) -> tuple[list[Facts], list[Problem]]:
    """Facts of every scan that can be read, in order, and what is wrong.

    Raises ValueError for faults of the settings and for a slice that is there twice.
    """
    import SimpleITK  # noqa: F401  once, before the threads do

    if data.crop.margin_px != Crop().margin_px:
        raise ValueError(
            f"{cohort.root} holds CT scans, and data.crop.margin_px is a setting of "
            "images; data.crop.margin_mm is that of scans"
        )
    if data.group and "(" in data.group:
        for study in cohort.studies:
            patients.pattern_group(data.group, study.path.name, study.path)
    said = tables(cohort, data)
    look = functools.partial(_look, cohort=cohort, data=data, said=said)
    found: list[Facts] = []
    problems = _unused_hearts(cohort, data)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(look, cohort.studies)
        for facts in tqdm(looks, "read scans", len(cohort.studies), unit="scan"):
            if isinstance(facts, Facts):
                found.append(facts)
                problems += facts.problems
            else:
                problems.append(facts)
    owner: dict[str, Study] = {}
    for facts in found:
        for uid in facts.sop:
            if (other := owner.setdefault(uid, facts.study)) is not facts.study:
                raise ValueError(
                    f"{other.path} and {facts.study.path} hold the same slice "
                    f"({uid}); remove one copy"
                )
    problems += [
        Problem(a.file, 0, "missing_image", "no slice has this SOPInstanceUID")
        for uid, a in said.xml.items()
        if uid not in owner
    ]
    return found, problems


def _unused_hearts(cohort: Cohort, data: Data) -> list[Problem]:
    """Scans that the csv of heart boxes names and the set does not have.

    Raises ValueError for a csv that cannot be read: a fault of the settings, not of each
    scan.
    """
    if not data.crop.by_file:
        return []
    table = find_table(cohort.root, data.crop.method)
    others = sorted(heart_boxes.scans(table) - {s.scan for s in cohort.studies})
    if not others:
        return []
    text = f"names {len(others)} scans that are not there, such as {others[0]!r}"
    return [Problem(table, 0, "crop_unused", text)]


def _look(study: Study, *, cohort: Cohort, data: Data, said: Tables) -> Facts | Problem:
    try:
        volume = volumes.read_volume(study.path, series=study.series)
        return _facts(study, volume, cohort, data, said)
    except ValueError as error:
        text = str(error).removeprefix(f"{study.path}: ")
        return Problem(study.path, 0, "unreadable", text)


def _facts(
    study: Study, volume: Volume, cohort: Cohort, data: Data, said: Tables
) -> Facts:
    depth, h, w = volume.hu.shape
    found = labels_of(study, volume, cohort, data, said)
    problems = list(found.problems)
    windows = np.tile([0, 0, w, h], (depth, 1))
    if data.crop.method != "none":
        hearts = _hearts(study, volume, cohort, data)
        without = int(np.isnan(hearts).all(axis=1).sum())
        if data.crop.by_file and without:
            text = (
                f"{without} of {depth} slices have no heart box in {data.crop.method}: "
                "they take the window of the nearest slice with one"
            )
            problems.append(Problem(study.path, 0, "crop_nearest", text))
        windows = crop.crops(
            hearts,
            (h, w),
            volume.spacing[1:],
            per=data.crop.per,
            margin_mm=data.crop.margin_mm,
        )
    if 0 < data.neighbour_mm < volume.spacing[0] / 2 and data.neighbours:
        text = (
            f"data.neighbour_mm={data.neighbour_mm:g} is less than half the distance of "
            f"slices, {volume.spacing[0]:g} mm: some channels are the same slice"
        )
        problems.append(Problem(study.path, 0, "same_channels", text))
    return Facts(
        study,
        _patient(study, volume, data),
        study.scanner or volume.ids.get("manufacturer", ""),
        volume.hu.shape,
        volume.spacing,
        volume.sop,
        windows,
        [
            hashlib.sha256(np.ascontiguousarray(s).tobytes()).hexdigest()
            for s in volume.hu
        ],
        found.said,
        found.lesions,
        problems,
    )


def _hearts(
    study: Study, volume: Volume, cohort: Cohort, data: Data
) -> Float[np.ndarray, "z 4"]:
    """Heart box of each slice, px edges; NaN where there is none."""
    if data.crop.method == "anatomical":
        return heart.find_heart(volume.hu, volume.spacing)
    path = find_table(cohort.root, data.crop.method)
    return heart.read_boxes(path, study.scan, len(volume.hu))


def _patient(study: Study, volume: Volume, data: Data) -> str:
    if data.group and "(" in data.group:  # else a column of the split file
        return patients.pattern_group(data.group, study.path.name, study.path)
    if study.series:
        return volume.ids.get("patient", "") or study.key
    return study.key
