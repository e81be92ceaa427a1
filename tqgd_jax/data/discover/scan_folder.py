"""Finds the scans of a folder, the mask of each, and the format.

Formats: "orcascore" (the challenge's file names, wherever the files lie), "masks" (any
volumes and label volumes) and "dicom" (series, with VOC XML named by SOPInstanceUID).
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tqgd_jax.config import IMAGE_FORMATS, Data
from tqgd_jax.io import volumes, walk
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
# Files that decide nothing unless a setting names them.
BESIDE = (
    *(".csv", ".json", ".txt", ".md", ".png", ".jpg", ".log", ".pdf"),
    *(".zip", ".tar", ".tgz", ".7z"),
)
NO_DICOM = (*SUFFIXES, ".xml", ".txt", ".csv", ".json", ".md")
# a mask that says no more, as 3D Slicer writes it: Segmentation_1.seg.nrrd
ALONE = re.compile(
    r"(masks?|seg|segmentation|labels?|gt)([-_ ][0-9]+)?(\.seg)?", re.IGNORECASE
)
MASK_FOLDER = re.compile(
    r"masks?|labels?(tr|ts)?|segmentations?|reference[ _]standard|gt", re.IGNORECASE
)
MASK_NAME = re.compile(
    r".+[-_. ](mask|seg|segmentation|labels?|gt)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class ScanFiles:
    """One scan: `path` is a file, or the folder of a DICOM `series`.

    `key` is what its file's name shares with its mask's; the patient, if the format says no
    more.
    """

    name: str
    key: str
    path: Path
    mask: Path | None = None
    series: str = ""
    scanner: str = ""


@dataclass(frozen=True)
class ScanFolder:
    """The scans of a folder; `labels` are the XML files of the format "dicom"."""

    root: Path
    format: str
    scans: tuple[ScanFiles, ...]
    labels: tuple[Path, ...]
    problems: tuple[Problem, ...]


def find(data: Data, *, masks: bool = True) -> ScanFolder | None:
    """The scans of `data.dir`, or None when it is no folder of scans; see `among`."""
    root = Path(data.dir).expanduser()
    if not data.dir or not root.is_dir():
        return None
    return among(root, walk.files(root), data, masks=masks)


def among(
    root: Path, files: list[Path], data: Data, *, masks: bool = True
) -> ScanFolder | None:
    """The scans among the files of a folder, or None when it is one of images.

    Without `masks`, a scan that has none is no problem. Raises ValueError when the
    folder is unusable.
    """
    if data.format in IMAGE_FORMATS:
        return None
    scans = [f for f in files if volumes.is_volume(f)]
    format = data.format
    if format == "auto" and scans:
        format = "orcascore" if _orcascore(scans) else "masks"
    if format in PATTERNS:
        return _volumes(root, format, scans, data, masks and not data.boxes)
    if format == "auto" and all(f.suffix.lower() in NO_DICOM for f in files):
        return None
    series = volumes.dicom_folders(root, files)
    if format == "auto":
        if not series:
            return None
        if images := [f for f in files if f.suffix.lower() in SUFFIXES]:
            raise ValueError(
                f"{root}: DICOM files and images ({images[0]}) in one folder; set "
                "data.format to dicom, or to voc, yolo or coco"
            )
    return _dicom(root, files, series)


def deciding(folder: ScanFolder, files: list[Path]) -> list[Path]:
    """The files of its folder that may decide what is read of the scans.

    A scan and its mask may be of several files. Volumes that are neither scan nor mask
    decide nothing, as do files `BESIDE` them, unless a setting names one.
    """
    used = {f for s in folder.scans for f in (s.path, s.mask) if f is not None}
    unused = {f for f in files if volumes.is_volume(f)} - used
    stems = {stem(f).casefold() for f in unused} - {stem(f).casefold() for f in used}
    return [
        f
        for f in files
        if f.suffix.lower() not in BESIDE
        and stem(f).casefold() not in stems
        and f.is_file()
    ]


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
) -> ScanFolder:
    usual = PATTERNS[format]
    rule = (
        "has no group in parentheses for what the names of a scan and its mask share, "
        "such as '(.+)_ct'"
    )
    is_scan, is_mask = (
        compiled(f"data.{name}", getattr(data, name) or text, rule, re.IGNORECASE)
        for name, text in zip(("scan_pattern", "mask_pattern"), usual, strict=True)
    )
    by_name = format == "masks" and not (data.scan_pattern or data.mask_pattern)
    keys: dict[bool, list[tuple[Path, str]]] = {False: [], True: []}  # by "is a mask"
    for file in files:
        if by_name:
            inside = _in_mask_folder(root, file)
            alone = ALONE.fullmatch(stem(file)) or MASK_NAME.fullmatch(stem(file))
            mask = bool(inside or alone)
        elif data.mask_pattern:  # the user's own pattern decides before the usual one
            mask = bool(is_mask.fullmatch(stem(file)))
        else:
            mask = not is_scan.fullmatch(stem(file))
        match = (is_mask if mask else is_scan).fullmatch(stem(file))
        if match:
            keys[mask].append((file, match[1].upper()))
    by_folder = format == "masks" and _a_folder_each(root, keys[False], keys[True])
    if by_folder:
        keys = {m: [(f, _folder(root, f)) for f, _ in of] for m, of in keys.items()}
    scans, masks = (_unique(root, keys[m], "masks" if m else "scans") for m in keys)
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
    paired = []
    for key, file in sorted(scans.items()):
        if masked and key not in masks:
            text = "no mask of its name; add it, or move the scan away"
            problems.append(Problem(file, 0, "no_mask", text))
            continue
        match = is_scan.fullmatch(stem(file))
        scanner = match[2].upper() if match and is_scan.groups > 1 else ""
        name = key.replace("/", "_") if by_folder else stem(file)
        paired.append(ScanFiles(name, key, file, masks.get(key), scanner=scanner))
    _distinct(root, paired)
    return ScanFolder(root, format, tuple(paired), (), tuple(problems))


def _in_mask_folder(root: Path, file: Path) -> bool:
    return file.parent != root and bool(MASK_FOLDER.fullmatch(file.parent.name))


def _folder(root: Path, file: Path) -> str:
    """The folder of a patient: pat1 of pat1/ct.nii.gz and pat1/segmentations/x.nii.gz."""
    home = file.parent.parent if _in_mask_folder(root, file) else file.parent
    return home.relative_to(root).as_posix().upper()


def _a_folder_each(
    root: Path, scans: list[tuple[Path, str]], masks: list[tuple[Path, str]]
) -> bool:
    """Whether folders, not names, tell which scan and mask belong together.

    Without masks: whether names repeat and folders tell the scans apart.
    """
    if any(ALONE.fullmatch(stem(file)) for file, _ in masks):
        return True
    homes = [_folder(root, file) for file, _ in scans]
    names = [key for _, key in scans]
    if not masks:
        apart = len({*homes}) == len(homes) and "." not in homes
        return apart and len({*names}) < len(names)
    if not {_folder(root, file) for file, _ in masks} <= {*homes} - {"."}:
        return False
    return len({*names}) < len(names) or not {key for _, key in masks} & {*names}


def _unique(root: Path, keys: list[tuple[Path, str]], what: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file, key in keys:
        if (other := files.setdefault(key, file)) != file:
            both = f"{root}: two {what} of {key!r}: {other} and {file}; "
            if what == "masks" and file.parent.name == "segmentations":
                raise ValueError(
                    f"{both}TotalSegmentator writes one for each organ. Keep the one of "
                    "the lesions, or name it by data.scan_pattern='()ct' and "
                    f"data.mask_pattern='(){stem(file)}'"
                )
            raise ValueError(
                f"{both}keep one, or set data.scan_pattern and data.mask_pattern"
            )
    return files


def _distinct(root: Path, scans: list[ScanFiles]) -> None:
    """Raises ValueError when two scans are called the same, in any case."""
    owner: dict[str, ScanFiles] = {}
    for scan in scans:
        if (other := owner.setdefault(scan.name.casefold(), scan)) is not scan:
            raise ValueError(
                f"{root}: two scans would be called {scan.name!r}: {other.path} and "
                f"{scan.path}; give their folders other names"
            )


def compiled(setting: str, text: str, rule: str, flags: int = 0) -> re.Pattern[str]:
    """A pattern; ValueError names the setting, with `rule` where there is no group."""
    try:
        pattern = re.compile(text, flags)
    except re.error as error:
        raise ValueError(
            f"{setting}: {text!r} is no regular expression: {error}"
        ) from error
    if not pattern.groups:
        raise ValueError(f"{setting}: {text!r} {rule}")
    return pattern


def _dicom(
    root: Path, files: list[Path], series: list[tuple[Path, str, int]]
) -> ScanFolder:
    if not series:
        raise ValueError(f"{root}: no DICOM file in it; set data.format")
    by_folder = Counter(folder for folder, _, _ in series)
    scans = []
    for folder, uid, _ in series:
        name = folder.relative_to(root).as_posix().replace("/", "_")
        name = root.name if name == "." else name
        if by_folder[folder] > 1:
            name = f"{name}_{uid.rsplit('.', 1)[-1]}"
        scans.append(ScanFiles(name, name, folder, series=uid))
    _distinct(root, scans)
    labels = tuple(f for f in files if f.suffix.lower() == ".xml")
    return ScanFolder(root, "dicom", tuple(scans), labels, ())
