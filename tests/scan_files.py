"""Writes small scans for tests: by SimpleITK, and by hand where a field must be wrong."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

SPACING = (3.0, 0.5, 0.4)  # z, y, x in mm; all different, to see axes swapped
ORIGIN = (-10.0, 20.0, -300.0)  # x, y, z
SERIES = "1.2.3.4.5"
EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
UNDEFINED = 0xFFFFFFFF


def some_hu(shape: tuple[int, int, int] = (5, 6, 7), seed: int = 0) -> np.ndarray:
    """Random int16 in the range of HU, different in every voxel's surroundings."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1200, 1801, shape).astype(np.int16)


def image(hu: np.ndarray, spacing=SPACING, origin=ORIGIN):
    """A SimpleITK image of [z, y, x] in LPS."""
    import SimpleITK as sitk

    out = sitk.GetImageFromArray(hu)
    out.SetSpacing(spacing[::-1])
    out.SetOrigin(origin)
    return out


def write(path: Path, hu: np.ndarray, compress: bool = True, **where) -> Path:
    """Writes [z, y, x] in LPS; the suffix chooses the format."""
    import SimpleITK as sitk

    sitk.WriteImage(image(hu, **where), str(path), compress)
    return path


def meta(
    folder: Path,
    payload: bytes = bytes(2 * 24),
    name: str = "scan.mhd",
    **fields: str | None,
) -> Path:
    """A 4 x 3 x 2 MetaImage; fields replace, and None removes, those of the header."""
    header: dict[str, str | None] = {
        "NDims": "3",
        "DimSize": "4 3 2",
        "ElementSpacing": "1 1 1",
        "ElementType": "MET_SHORT",
        "ElementDataFile": "scan.raw",
    }
    last = fields.get("ElementDataFile", header["ElementDataFile"])
    header |= fields
    header["ElementDataFile"] = header.pop("ElementDataFile")  # always the last
    text = "".join(f"{k} = {v}\n" for k, v in header.items() if v is not None)
    (folder / "scan.raw").write_bytes(payload)
    (folder / name).write_bytes(text.encode() + payload * (last == "LOCAL"))
    return folder / name


def nrrd(
    folder: Path,
    payload: bytes = bytes(2 * 24),
    name: str = "scan.nrrd",
    **fields: str | None,
) -> Path:
    """A 4 x 3 x 2 NRRD with its pixels in the file; `_` in a field stands for a space."""
    header = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "4 3 2",
        "space_directions": "(1,0,0) (0,1,0) (0,0,1)",
        "space_origin": "(0,0,0)",
        "endian": "little",
        "encoding": "raw",
    }
    path = folder / name
    lines = [
        f"{k.replace('_', ' ')}: {v}"
        for k, v in (header | fields).items()
        if v is not None
    ]
    path.write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode() + payload)
    return path


def nifti(
    folder: Path,
    payload: bytes = bytes(2 * 24),
    *,
    dim=(3, 4, 3, 2, 1, 1, 1, 1),
    code: int = 4,
    spacing=(1.0, 1.0, 1.0),
    offset: float = 352.0,
    scale=(1.0, 0.0),
    affine=((-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0)),
    magic: bytes = b"n+1\0",
) -> Path:
    """A NIfTI-1 file; its affine is RAS, so that the default one is LPS's identity."""
    bits = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 512: 16}.get(code, 16)
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, *dim)
    struct.pack_into("<hh", head, 70, code, bits)
    struct.pack_into("<4f", head, 76, 1.0, *spacing)
    struct.pack_into("<3f", head, 108, offset, *scale)
    head[123] = 2  # millimetres
    if affine is not None:
        struct.pack_into("<hh", head, 252, 0, 1)
        struct.pack_into("<12f", head, 280, *(v for row in affine for v in row))
    head[344:348] = magic
    (folder / "scan.nii").write_bytes(bytes(head) + payload)
    return folder / "scan.nii"


# Tag and value representation, in the order of tags, as a file must have them.
DICTIONARY = {
    "ImageType": (0x00080008, b"CS"),
    "SOPClassUID": (0x00080016, b"UI"),
    "SOPInstanceUID": (0x00080018, b"UI"),
    "Modality": (0x00080060, b"CS"),
    "Manufacturer": (0x00080070, b"LO"),
    "ReferencedStudySequence": (0x00081110, b"SQ"),
    "PatientID": (0x00100020, b"LO"),
    "SliceThickness": (0x00180050, b"DS"),
    "GantryDetectorTilt": (0x00181120, b"DS"),
    "ConvolutionKernel": (0x00181210, b"SH"),
    "StudyInstanceUID": (0x0020000D, b"UI"),
    "SeriesInstanceUID": (0x0020000E, b"UI"),
    "AcquisitionNumber": (0x00200012, b"IS"),
    "InstanceNumber": (0x00200013, b"IS"),
    "ImagePositionPatient": (0x00200032, b"DS"),
    "ImageOrientationPatient": (0x00200037, b"DS"),
    "SamplesPerPixel": (0x00280002, b"US"),
    "PhotometricInterpretation": (0x00280004, b"CS"),
    "NumberOfFrames": (0x00280008, b"IS"),
    "Rows": (0x00280010, b"US"),
    "Columns": (0x00280011, b"US"),
    "PixelSpacing": (0x00280030, b"DS"),
    "BitsAllocated": (0x00280100, b"US"),
    "BitsStored": (0x00280101, b"US"),
    "HighBit": (0x00280102, b"US"),
    "PixelRepresentation": (0x00280103, b"US"),
    "PixelPaddingValue": (0x00280120, b"SS"),
    "RescaleIntercept": (0x00281052, b"DS"),
    "RescaleSlope": (0x00281053, b"DS"),
    "RescaleType": (0x00281054, b"LO"),
    "PixelData": (0x7FE00010, b"OW"),
}


def element(
    tag: int, kind: bytes, value: bytes, explicit: bool = True, size=None
) -> bytes:
    """One data element, PS3.5 7.1.2 (explicit) or 7.1.3 (implicit); even length."""
    value += (
        b"\0" * (len(value) % 2) if kind in (b"UI", b"OW") else b" " * (len(value) % 2)
    )
    size = len(value) if size is None else size
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<I", size) + value
    if kind in (b"OW", b"OB", b"SQ", b"UN"):
        return head + kind + struct.pack("<HI", 0, size) + value
    return head + kind + struct.pack("<H", size) + value


def slice_bytes(
    pixels: np.ndarray | bytes, syntax: str = EXPLICIT, preamble: bool = True, **tags
) -> bytes:
    """One CT slice as a DICOM file; tags replace, and None removes, the usual ones."""
    rows, columns = pixels.shape if isinstance(pixels, np.ndarray) else (3, 4)
    raw = pixels.astype("<i2").tobytes() if isinstance(pixels, np.ndarray) else pixels
    values = {
        "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        "SOPClassUID": CT,
        "SOPInstanceUID": "1.2.3.4.5.6",
        "Modality": "CT",
        "PatientID": "test",
        "SliceThickness": "3",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": SERIES,
        "ImagePositionPatient": "0\\0\\0",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "PixelSpacing": "0.5\\0.4",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "PixelData": raw,
    } | tags
    body = b""
    for name, (tag, kind) in DICTIONARY.items():
        value = values.get(name)
        if value is None:
            continue
        if isinstance(value, int):
            value = struct.pack("<H", value % 2**16)
        elif isinstance(value, str):
            value = value.encode()
        size = None
        if kind == b"SQ" or (name == "PixelData" and value[:4] == b"\xfe\xff\x00\xe0"):
            size = UNDEFINED  # items, given with their end
        body += element(tag, kind, value, syntax != "1.2.840.10008.1.2", size)
    if not preamble:
        return body
    group = element(0x00020002, b"UI", CT.encode())
    group += element(0x00020003, b"UI", str(values["SOPInstanceUID"]).encode())
    group += element(0x00020010, b"UI", syntax.encode())
    length = element(0x00020000, b"UL", struct.pack("<I", len(group)))
    return bytes(128) + b"DICM" + length + group + body


def series(folder: Path, hu: np.ndarray, change=None, **tags) -> Path:
    """Axial slices of [z, y, x], by hand; `change(k)` gives tags of slice k."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y, z = ORIGIN
    for k, pixels in enumerate(hu):
        own: dict[str, Any] = {
            "SOPInstanceUID": f"1.2.3.4.5.{k + 1}",
            "ImagePositionPatient": f"{x}\\{y}\\{z + k * SPACING[0]}",
        }
        own |= tags | (change(k) if change else {})
        content = slice_bytes(own.pop("pixels", pixels), **own)
        # Names in another order than the slices.
        (folder / f"{(k * 7 + 3) % 11:02d}{k:02d}").write_bytes(content)
    return folder
