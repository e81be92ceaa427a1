"""The CT images that DICOM objects refer to: one header for each slice of a scan."""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqgd_jax.io.dicom.series import find
from tqgd_jax.io.volumes import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger("tqgd_jax")

WAY_OUT = "give the original series of axial CT images, or leave out --dicom"
SAME = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
# Type 2 of Patient and General Study, PS3.3 C.7.1.1 and C.7.2.1: there, if empty.
COPIED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID")
COPIED += ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName")
SEXES = ("", "M", "F", "O")


def source_files(folder: Path, series: str = "") -> dict[str, Path]:
    """File of each SOPInstanceUID of the series that `read_volume` reads.

    Args:
      folder: of DICOM files.
      series: as for `read_volume`.
    """
    stack = find(folder, series)
    return dict(zip(stack.sop, stack.paths, strict=True))


def read_headers(files: Mapping[str, Path], scan: Volume) -> "tuple[Dataset, ...]":
    """Headers of the images that `scan` was read from, in the order of its slices.

    Args:
      files: file of each SOPInstanceUID.
      scan: read from these files.

    Raises:
      ValueError: the scan is not of axial DICOM slices, or a header lacks what objects
        must copy.
    """
    if len(scan.sop) != len(scan.hu):
        raise ValueError(
            f"--dicom: of {len(scan.hu)} slices of the scan {len(scan.sop)} are DICOM "
            "images: it is a volume file, or its images are sagittal or coronal. DICOM "
            f"objects refer to the images they are made from; {WAY_OUT}"
        )
    if "" in scan.sop or len(set(scan.sop)) != len(scan.sop):
        raise ValueError(
            "--dicom: not every image of the scan has a SOPInstanceUID of its own, so "
            f"nothing can refer to it; {WAY_OUT}"
        )
    missing = [uid for uid in scan.sop if uid not in files]
    if missing:
        raise ValueError(f"--dicom: no file for SOPInstanceUID {missing[0]}; {WAY_OUT}")
    headers = tuple(_header(files[uid], uid, scan) for uid in scan.sop)
    first = headers[0]
    for header, uid in zip(headers, scan.sop, strict=True):
        for name in SAME:
            value = header.get(name)
            if not value or value != first.get(name):
                raise ValueError(
                    f"{files[uid]}: {name} {value or 'is missing'}, first slice has "
                    f"{first.get(name)}; DICOM objects must copy one value; {WAY_OUT}"
                )
    for name in COPIED:  # highdicom copies from the first
        first.setdefault(name, None)
    _empty_invalid(first, files[scan.sop[0]])
    return headers


def _header(path: Path, uid: str, scan: Volume) -> "Dataset":
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True, force=True)
    shape = scan.hu.shape[:0:-1] if scan.swapped else scan.hu.shape[1:]
    for name, wanted in (
        ("SOPInstanceUID", uid),
        ("SeriesInstanceUID", scan.ids["series"]),
        ("Rows", shape[0]),
        ("Columns", shape[1]),
    ):
        if header.get(name) != wanted:
            raise ValueError(
                f"{path}: {name} {header.get(name)}, but the scan was read from an image "
                f"with {wanted}; has the folder changed? Run the same command again"
            )
    return header


def _empty_invalid(header: "Dataset", path: Path) -> None:
    """Empties values that no object may hold; what says who the patient is stays."""
    from pydicom.valuerep import DA, TM

    parsers: dict[str, Callable[[str], object]] = {
        "PatientBirthDate": DA,
        "StudyDate": DA,
        "StudyTime": TM,
        "PatientSex": SEXES.index,
    }
    for name, parse in parsers.items():
        value = str(header.get(name) or "")
        try:
            parse(value)
        except ValueError:
            logger.warning(
                "%s: %s %r is not valid DICOM; empty in what --dicom writes",
                *(path, name, value),
            )
            setattr(header, name, None)
    for name in ("ReferencedStudySequence", "ReferencedPatientSequence"):
        if any(
            not item.get("ReferencedSOPClassUID") for item in header.get(name) or ()
        ):
            del header[name]  # de-identification leaves such halves behind


def body_part(header: "Dataset") -> str:
    """BodyPartExamined of the source; CHEST where it says none that is valid."""
    value = str(header.get("BodyPartExamined") or "")
    return value if re.fullmatch("[A-Z0-9_ ]{1,16}", value) else "CHEST"
