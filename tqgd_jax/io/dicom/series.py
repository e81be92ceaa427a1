"""Folders of DICOM slices: which files are one scan, and in which order.

Headers come from `header`, are judged one by one in `slice` and against
each other here, before GDCM (in SimpleITK) decodes a pixel. DICOM PS3.3 C.7.6.2 gives
position and orientation.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from tqgd_jax.io import walk
from tqgd_jax.io.dicom import slice, stacking
from tqgd_jax.io.dicom.header import Header, read_header
from tqgd_jax.io.dicom.slice import listed
from tqgd_jax.io.volume_files import MAX_VOXELS, Grid, decoded, to_int16

logger = logging.getLogger("tqgd_jax")

IDS = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "description": "SeriesDescription",
    "kvp": "KVP",
    "kernel": "ConvolutionKernel",
    "contrast": "ContrastBolusAgent",
}


class Stack(NamedTuple):
    """The slices of a series in order, with where they lie."""

    paths: tuple[Path, ...]
    grid: Grid
    ids: dict[str, str]
    sop: tuple[str, ...]
    thickness: float | None


class Listed(NamedTuple):
    """A CT series of a folder, of which only headers were read.

    Attributes:
      folder: that directly holds it.
      uid: SeriesInstanceUID.
      files: how many slices it seems to have.
      ids: as those of `Stack`, of one slice.
    """

    folder: Path
    uid: str
    files: int
    ids: dict[str, str]


def listed_series(
    files: Iterable[Path],
) -> tuple[list[Listed], list[tuple[Path, str]]]:
    """Every CT series among files, and what of them is DICOM but no CT slice, and why.

    Files that are not DICOM are passed over. Those with a damaged header count for the
    series "" of their folder, with a warning: reading it says what is wrong.
    """
    counts: dict[tuple[Path, str], int] = defaultdict(int)
    ids: dict[tuple[Path, str], dict[str, str]] = {}
    skipped = []
    for path in files:
        try:
            header = read_header(path)
        except ValueError as error:
            logger.warning("%s", error)
            counts[path.parent, ""] += 1
            continue
        if header is None:
            continue
        if reason := slice.no_scan(header):
            skipped.append((path, reason))
            continue
        key = path.parent, header.text.get("SeriesInstanceUID", "")
        counts[key] += 1
        ids.setdefault(key, _ids(header))
    return [Listed(*key, n, ids.get(key, {})) for key, n in counts.items()], skipped


def _ids(header: Header) -> dict[str, str]:
    return {name: header.text.get(keyword, "") for name, keyword in IDS.items()}


def dicom_folders(
    root: Path, files: Iterable[Path] | None = None
) -> list[tuple[Path, str, int]]:
    """Folder, SeriesInstanceUID and number of files of every series under `root`.

    `files` are those of `walk.files(root)`, where they are known. Localizers and what
    else is no CT image are left out, with a warning. Files with a damaged header count
    for the series "", with a warning; reading their folder says what is wrong.
    """
    series, skipped = listed_series(walk.files(root) if files is None else files)
    if skipped:
        path, _ = skipped[0]
        counts = _counted(why for _, why in skipped)
        logger.warning("%s: skipped %s, such as %s", root, counts, path)
    return sorted((one.folder, one.uid, one.files) for one in series)


def _counted(reasons: Iterable[str]) -> str:
    """How many files are what, of those that are no CT image."""
    return ", ".join(f"{n} {why}" for why, n in sorted(Counter(reasons).items()))


def find(folder: Path, series: str = "") -> Stack:
    """The one series of a folder, or the one whose UID begins with `series`.

    Reads headers only. Raises ValueError when the slices do not make up one CT volume.
    """
    by_uid: dict[str, list[Header]] = defaultdict(list)
    skipped: list[tuple[str, str]] = []  # UID, and what it is
    others = 0
    for path in _files(folder):
        header = read_header(path)
        if header is None:
            others += 1
            continue
        uid = header.text.get("SeriesInstanceUID", "")
        if why := slice.no_scan(header):
            skipped.append((uid, why))
        else:
            by_uid[uid].append(header)
    logger.debug("%s: ignored %d files that are not DICOM", folder, others)
    counts = _counted(why for _, why in skipped)
    if skipped:
        logger.info("%s: skipped %s", folder, counts)
    if not by_uid:
        raise ValueError(
            f"{folder}: no CT slices in this folder ({counts or 'no DICOM'}, "
            f"{others} other files), and only CT images hold HU; give the folder that "
            "directly holds them"
        )
    chosen = [uid for uid in by_uid if uid.startswith(series)]
    chosen = [series] if series in by_uid else chosen
    if len(chosen) != 1:
        what = (
            f"{len(chosen)} series begin with {series!r}" if series else "has several"
        )
        if not chosen and any(uid.startswith(series) for uid, _ in skipped):
            what = f"the series {series!r} is no CT ({counts})"
        table = "; ".join(
            f"{uid} ({len(h)} files, {h[0].text.get('Modality', 'no modality')}, "
            f"{h[0].text.get('SeriesDescription', '')!r})"
            for uid, h in sorted(by_uid.items())
        )
        raise ValueError(
            f"{folder}: {what}; choose one by its UID, or how that begins (series=UID in "
            f"Python, --series=UID of tqgd score, predict and explain): {table}"
        )
    return assemble(by_uid[chosen[0]])


def decode(stack: Stack) -> Int16[np.ndarray, "_ _ _"]:
    """HU, [slice, row, column] in the order of the stack, rescaled slice by slice."""
    import SimpleITK as sitk

    columns, rows, count = stack.grid.size
    hu = np.empty((count, rows, columns), np.int16)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    for k, path in enumerate(stack.paths):
        reader.SetFileName(str(path))
        values = decoded(reader, path)
        if values.shape != (1, rows, columns):
            raise ValueError(
                f"{path}: decodes to {values.shape}, its header says {rows} rows and "
                f"{columns} columns; export the series again"
            )
        hu[k] = to_int16(values, path)[0]
    return hu


def assemble(headers: list[Header]) -> Stack:
    """Orders the slices of one series by position along their normal."""
    slices = [(slice.place(header), header) for header in headers]
    (_, across, spacing, size), first = slices[0]
    for place, header in slices:
        for name, a, b in (
            ("Rows, Columns", place.size, size),
            ("PixelSpacing", place.spacing, spacing),
            ("ImageOrientationPatient", place.across, across),
        ):
            if not np.allclose(a, b, rtol=0, atol=1e-4):
                raise ValueError(
                    f"{header.path}: {name} {listed(a)}, but {first.path.name} of the "
                    f"same series has {listed(b)}; move one of them to another folder"
                )
        for name in ("PatientID", "StudyInstanceUID"):
            a, b = header.text.get(name, ""), first.text.get(name, "")
            if a != b:
                raise ValueError(
                    f"{header.path}: {name} {a!r}, but {first.path.name} of the same "
                    f"series has {b!r}; export the series again"
                )
    stacking.distinct(headers)
    if len(slices) * size[0] * size[1] > MAX_VOXELS:
        raise ValueError(
            f"{first.path.parent}: {len(slices)} slices of {size[0]} x {size[1]} exceed "
            f"{MAX_VOXELS} voxels; keep the slices of the heart only"
        )
    row, column = np.array(across[:3]), np.array(across[3:])
    normal = np.cross(row, column)
    slices.sort(key=lambda s: float(normal @ np.array(s[0].position)))
    stacking.one_acquisition([header for _, header in slices])
    paths = tuple(header.path for _, header in slices)
    positions = np.array([place.position for place, _ in slices])
    thickness = slice.thickness(first)
    step = stacking.step(paths, positions, normal, min(spacing), thickness)
    return Stack(
        paths,
        Grid(
            (size[1], size[0], len(slices)),
            (spacing[1], spacing[0], step),  # PixelSpacing gives rows first
            (float(positions[0, 0]), float(positions[0, 1]), float(positions[0, 2])),
            tuple(float(v) for v in np.stack([row, column, normal], axis=1).ravel()),
        ),
        _ids(first),
        tuple(header.text.get("SOPInstanceUID", "") for _, header in slices),
        thickness,
    )


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != ".")
