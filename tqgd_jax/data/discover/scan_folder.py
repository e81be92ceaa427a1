"""Finds the scans of a folder, the mask of each, and the format.

Formats: "orcascore" (the challenge's file names, wherever the files lie), "masks" (any
volumes and label volumes) and "dicom" (series, with VOC XML named by SOPInstanceUID).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tqgd_jax.config import CT_FORMATS, IMAGE_FORMATS, Data
from tqgd_jax.io.images import SUFFIXES
from tqgd_jax.structures.annotation import Problem

# Scan and mask by file name without suffix. The first group is what the two share, the
# second the scanner.
PATTERNS = {
    # TRV1P3CTI is the non-contrast scan, TRV1P3CTAI the contrast scan, which no pattern
    # takes; the 32 training patients are TRV1P1 to TRV4P8.
    "orcascore": (r"((TRV[0-9]+)P[0-9]+)CTI", r"((TRV[0-9]+)P[0-9]+)R"),
    # x.nii.gz with x_mask.nii.gz, or images/x and masks/x, also as nnU-Net names them
    "masks": (
        r"(.+?)(?:[-_. ](?:ct|img|image|scan|0000))?",
        r"(.+?)(?:[-_. ](?:mask|seg|segmentation|label|labels|gt))?",
    ),
}
NO_DICOM = (*SUFFIXES, ".xml", ".txt", ".csv", ".json", ".md")
ALONE = re.compile(r"masks?|seg|segmentation|labels?|gt", re.IGNORECASE)
MASK_FOLDER = re.compile(
    r"masks?|labels?(tr|ts)?|segmentations?|reference[ _]standard|gt", re.IGNORECASE
)
MASK_NAME = re.compile(
    r".+[-_. ](mask|seg|segmentation|labels?|gt)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Study:
    """One scan: `path` is a file, or the folder of a DICOM `series`.

    `key` is what its name shares with its mask's; the patient, if the format says no
    more.
    """

    scan: str
    key: str
    path: Path
    mask: Path | None = None
    series: str = ""
    scanner: str = ""


@dataclass(frozen=True)
class Cohort:
    """The scans of a folder; `labels` are the XML files of the format "dicom"."""

    root: Path
    format: str
    studies: tuple[Study, ...]
    labels: tuple[Path, ...]
    problems: tuple[Problem, ...]


def find(data: Data, *, masks: bool = True) -> Cohort | None:
    """The scans, or None when the folder is one of images.

    Without `masks`, a scan that has none is no problem. Raises ValueError when the
    folder is unusable.
    """
    from tqgd_jax.io import volumes

    root = Path(data.dir).expanduser()
    if data.format in IMAGE_FORMATS or not data.dir or not root.is_dir():
        return None
    files = walk(root)
    scans = [f for f in files if volumes.is_volume(f)]
    format = data.format
    if format == "auto" and scans:
        format = "orcascore" if _orcascore(scans) else "masks"
    elif format == "auto":
        images = [f for f in files if f.suffix.lower() in SUFFIXES]
        if all(f.suffix.lower() in NO_DICOM for f in files):
            return None
        if not volumes.dicom_folders(root):
            return None
        if images:
            raise ValueError(
                f"{root}: DICOM files and images ({images[0]}) in one folder; set "
                "data.format to dicom, or to voc, yolo or coco"
            )
        format = "dicom"
    if format not in CT_FORMATS:
        return None
    if format == "dicom":
        return _dicom(root, files)
    return _volumes(root, format, scans, data, masks and not data.boxes)


def walk(root: Path) -> list[Path]:
    """Files below a folder by name, without hidden ones and what macOS leaves."""
    found = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # a link back
            folders.clear()
            continue
        seen.add(real)
        # macOS leaves "._x.png" and __MACOSX beside the real files
        folders[:] = sorted(d for d in folders if d[0] != "." and d != "__MACOSX")
        found += [Path(folder, n) for n in sorted(names) if n[0] != "."]
    return found


def stem(file: Path) -> str:
    """The name without suffix; .nii.gz is one suffix."""
    name = file.name
    if name.lower().endswith(".nii.gz"):
        return name[: -len(".nii.gz")]
    return file.stem


def _orcascore(scans: list[Path]) -> bool:
    scan, _ = (re.compile(p, re.IGNORECASE) for p in PATTERNS["orcascore"])
    return any(scan.fullmatch(stem(f)) for f in scans)


def _volumes(
    root: Path, format: str, files: list[Path], data: Data, masked: bool
) -> Cohort:
    usual = PATTERNS[format]
    is_scan = _pattern("data.scan_pattern", data.scan_pattern or usual[0])
    is_mask = _pattern("data.mask_pattern", data.mask_pattern or usual[1])
    scans: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    by_name = format == "masks" and not (data.scan_pattern or data.mask_pattern)
    # one folder for each patient: pat1/ct.nii.gz with pat1/mask.nii.gz
    by_folder = by_name and any(ALONE.fullmatch(stem(f)) for f in files)
    for file in files:
        if by_name:
            inside = file.parent != root and MASK_FOLDER.fullmatch(file.parent.name)
            alone = ALONE.fullmatch(stem(file)) or MASK_NAME.fullmatch(stem(file))
            mask = bool(inside or alone)
        elif data.mask_pattern:  # the user's own pattern decides before the usual one
            mask = bool(is_mask.fullmatch(stem(file)))
        else:
            mask = not is_scan.fullmatch(stem(file))
        match = (is_mask if mask else is_scan).fullmatch(stem(file))
        if not match:
            continue
        key = match[1].upper()
        if by_folder:
            key = file.parent.relative_to(root).as_posix().upper()
        found = masks if mask else scans
        if key in found:
            what = "masks" if mask else "scans"
            raise ValueError(
                f"{root}: two {what} of {key!r}: {found[key]} and {file}; keep one, or "
                "set data.scan_pattern and data.mask_pattern"
            )
        found[key] = file
    if not scans:
        raise ValueError(
            f"{root}: no file name fits a scan of the format {format!r} (pattern "
            f"{is_scan.pattern!r}); set data.format or data.scan_pattern"
        )
    problems = [
        Problem(file, 0, "missing_image", "mask without a scan of its name")
        for key, file in masks.items()
        if key not in scans
    ]
    studies = []
    for key, file in sorted(scans.items()):
        if masked and key not in masks:
            text = "no mask of its name; add it, or move the scan away"
            problems.append(Problem(file, 0, "no_mask", text))
            continue
        match = is_scan.fullmatch(stem(file))
        scanner = match[2].upper() if match and is_scan.groups > 1 else ""
        name = key.replace("/", "_") if by_folder else stem(file)
        studies.append(Study(name, key, file, masks.get(key), scanner=scanner))
    return Cohort(root, format, tuple(studies), (), tuple(problems))


def _pattern(setting: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise ValueError(
            f"{setting}: {text!r} is no regular expression: {error}"
        ) from error
    if not pattern.groups:
        raise ValueError(
            f"{setting}: {text!r} has no group in parentheses for what the names of a "
            "scan and its mask share, such as '(.+)_ct'"
        )
    return pattern


def _dicom(root: Path, files: list[Path]) -> Cohort:
    from tqgd_jax.io import volumes

    series = volumes.dicom_folders(root)
    if not series:
        raise ValueError(f"{root}: no DICOM file in it; set data.format")
    by_folder: dict[Path, int] = {}
    for folder, _, _ in series:
        by_folder[folder] = by_folder.get(folder, 0) + 1
    studies = []
    for folder, uid, _ in series:
        name = folder.relative_to(root).as_posix().replace("/", "_")
        name = root.name if name == "." else name
        if by_folder[folder] > 1:
            name = f"{name}_{uid.rsplit('.', 1)[-1]}"
        studies.append(Study(name, name, folder, series=uid))
    names = [s.scan for s in studies]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(
            f"{root}: two series would be called {twice[0]!r}; give their folders other "
            "names"
        )
    labels = tuple(f for f in files if f.suffix.lower() == ".xml")
    return Cohort(root, "dicom", tuple(studies), labels, ())
