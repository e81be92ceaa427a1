"""One DICOM slice judged by its header alone: is it HU, and where does it lie?

`header` gives the text of the elements; here it becomes numbers, and whatever
would make wrong HU or a wrong place is refused before GDCM decodes a pixel. DICOM PS3.3
C.7.6.2 gives position and orientation, C.8.2.1 what a CT image has.
"""

import math
from typing import NamedTuple

import numpy as np

from tqgd_jax.io.dicom.header import CONVERT, EXPLICIT, IMPLICIT, RLE, Header

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED = (f"{CT}.1", f"{CT}.2")
OTHERS = {  # by the beginning of the SOP class: PS3.6 annex A
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.88.67": "dose report",
    "1.2.840.10008.5.1.4.1.1.88": "structured report",
    "1.2.840.10008.5.1.4.1.1.11": "presentation state",
    "1.2.840.10008.5.1.4.1.1.66": "segmentation",
    "1.2.840.10008.5.1.4.1.1.104": "document",
}
MAX_SIDE = 2**13
MAX_TILT = 0.1  # degrees


def no_scan(header: Header) -> str:
    """What a file is when it is no slice of a CT scan, or nothing: no fault of it."""
    text = header.text
    kind, modality = text.get("SOPClassUID", ""), text.get("Modality", "")
    if "LOCALIZER" in text.get("ImageType", "").split("\\"):
        return "localizer"
    for beginning, name in OTHERS.items():
        if kind == beginning or kind.startswith(f"{beginning}."):
            return name
    if modality not in ("", "CT"):
        return f"of Modality {modality!r}"
    return "" if kind in ("", CT, *ENHANCED) else f"of SOP class {kind}"


class Place(NamedTuple):
    """Where one slice lies: mm and direction cosines in LPS."""

    position: tuple[float, ...]  # of the first pixel's centre
    across: tuple[float, ...]  # along a row, then along a column
    spacing: tuple[float, ...]  # of rows, of columns
    size: tuple[int, int]  # rows, columns


def place(header: Header) -> Place:
    """Geometry of one slice, after every check that needs no other slice."""
    path, text = header.path, header.text
    kind, modality = text.get("SOPClassUID", ""), text.get("Modality", "")
    if kind in ENHANCED or integer(header, "NumberOfFrames", "1") != 1:
        raise ValueError(
            f"{path}: enhanced or multi-frame CT ({text.get('NumberOfFrames', 'all')} "
            "frames in one file); convert it to single slices (dcm4che emf2sf) or "
            "NIfTI (dcm2niix)"
        )
    if modality != "CT" or kind not in ("", CT):
        raise ValueError(
            f"{path}: Modality {modality!r}, SOP class {kind}; only CT images hold HU. "
            "Take the original series"
        )
    for name, allowed in (
        ("SamplesPerPixel", "1"),
        ("PhotometricInterpretation", "MONOCHROME2"),
        ("BitsAllocated", "16"),
    ):
        if text.get(name) != allowed:
            raise ValueError(
                f"{path}: {name} {text.get(name)}; CT needs {allowed}. Take the original "
                "images, not screenshots"
            )
    stored, signed = text.get("BitsStored", ""), text.get("PixelRepresentation")
    if stored not in map(str, range(8, 17)) or signed not in ("0", "1"):
        raise ValueError(
            f"{path}: BitsStored {stored}, PixelRepresentation {signed}; CT has 8 to 16 "
            "bits, 0 or 1. Export the series again"
        )
    if text.get("HighBit") != str(int(stored) - 1):
        raise ValueError(
            f"{path}: HighBit {text.get('HighBit')} with {stored} bits stored; {CONVERT}"
        )
    check_pixels(header)
    (slope,) = floats(header, "RescaleSlope", 1)
    floats(header, "RescaleIntercept", 1)
    if slope == 0:
        raise ValueError(
            f"{path}: RescaleSlope 0 makes all pixels one HU; export it again"
        )
    if text.get("RescaleType", "") not in ("", "HU", "HU_MOD", "US"):  # unspecified
        raise ValueError(
            f"{path}: RescaleType {text['RescaleType']} is another quantity than HU; "
            "take the CT images themselves"
        )
    (tilt,) = floats(header, "GantryDetectorTilt", 1, "0")
    if abs(tilt) > MAX_TILT:
        raise ValueError(
            f"{path}: gantry tilt of {tilt:g} degrees; boxes and scores need axial "
            "slices: resample the scan to an untilted grid (dcm2niix does)"
        )
    spacing = floats(header, "PixelSpacing", 2)
    if min(spacing) <= 0:
        raise ValueError(
            f"{path}: PixelSpacing {listed(spacing)} must be above 0; export it again"
        )
    across = floats(header, "ImageOrientationPatient", 6)
    row, column = np.array(across[:3]), np.array(across[3:])
    if abs(row @ row - 1) + abs(column @ column - 1) + abs(row @ column) > 1e-3:
        raise ValueError(
            f"{path}: ImageOrientationPatient {listed(across)} is not two perpendicular "
            "directions of length 1; export the series again"
        )
    position = floats(header, "ImagePositionPatient", 3)
    return Place(position, across, spacing, (int(text["Rows"]), int(text["Columns"])))


def thickness(header: Header) -> float | None:
    """SliceThickness in mm; None where it is missing or not above 0."""
    if not header.text.get("SliceThickness"):
        return None
    (value,) = floats(header, "SliceThickness", 1)
    return value if value > 0 else None


def check_pixels(header: Header) -> None:
    """Pixel data are there, and no more and no fewer than the header says."""
    path, text = header.path, header.text
    syntax = text.get("TransferSyntaxUID", "")
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise ValueError(
            f"{path}: {rows} x {columns} pixels; 1 to {MAX_SIDE} are read. Copy it again"
        )
    if header.pixels < 0:
        raise ValueError(f"{path}: no pixel data; remove it, or copy it again")
    if syntax in (IMPLICIT, EXPLICIT):
        if header.pixels != 2 * rows * columns:
            raise ValueError(
                f"{path}: {header.pixels} bytes of pixels, the header claims "
                f"{2 * rows * columns} for {rows} x {columns}; copy it again"
            )
    elif syntax != RLE and header.coded != (rows, columns):
        raise ValueError(
            f"{path}: the compressed image is {header.coded}, the header claims "
            f"({rows}, {columns}) rows and columns; export it again"
        )


def floats(header: Header, name: str, count: int, given: str = "") -> tuple[float, ...]:
    """The `count` finite numbers of one element, or of `given`; ValueError if not so."""
    text = header.text.get(name, "") or given
    if not text:
        raise ValueError(
            f"{header.path}: no {name}, which every CT image has; take the original "
            "series, not a derived one"
        )
    try:
        values = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ValueError(
            f"{header.path}: {name} {text[:80]!r} is not {count} numbers; export it again"
        )
    return values


def integer(header: Header, name: str, given: str = "") -> int:
    """The one number of an element, or of `given`, without its fraction."""
    (value,) = floats(header, name, 1, given)
    return int(value)


def listed(values: tuple[float, ...]) -> str:
    """Numbers as DICOM writes them, with backslashes between."""
    return "\\".join(f"{v:g}" for v in values)
