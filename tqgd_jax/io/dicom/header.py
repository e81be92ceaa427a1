"""The header of one DICOM file, parsed within bounds before GDCM sees the file.

DICOM PS3.5 gives the encoding: elements, sequences, compressed pixels. Every length is
held against the bytes that are there, those behind the pixels too, and no pixel is decoded.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TAGS = {
    0x00020002: "MediaStorageSOPClassUID",
    0x00020010: "TransferSyntaxUID",
    0x00080008: "ImageType",
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x00080060: "Modality",
    0x00080070: "Manufacturer",
    0x0008103E: "SeriesDescription",
    0x00100020: "PatientID",
    0x00180010: "ContrastBolusAgent",
    0x00180050: "SliceThickness",
    0x00180060: "KVP",
    0x00181120: "GantryDetectorTilt",
    0x00181210: "ConvolutionKernel",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00200012: "AcquisitionNumber",
    0x00200013: "InstanceNumber",
    0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient",
    0x00280002: "SamplesPerPixel",
    0x00280004: "PhotometricInterpretation",
    0x00280008: "NumberOfFrames",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280030: "PixelSpacing",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280102: "HighBit",
    0x00280103: "PixelRepresentation",
    0x00281052: "RescaleIntercept",
    0x00281053: "RescaleSlope",
    0x00281054: "RescaleType",
}
NUMBERS = (0x00280002, 0x00280010, 0x00280011, *range(0x00280100, 0x00280104))
PIXELS = 0x7FE00010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR")
LONG += (b"UT", b"UV")  # value representations with 4 bytes of length, PS3.5 7.1.2
SHORT = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO")
SHORT += (b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US")

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
JPEG = ("50", "51", "57", "70", "80", "81", "90", "91")  # 80 and up: JPEG-LS, JPEG 2000
SYNTAXES = (IMPLICIT, EXPLICIT, RLE, *(f"1.2.840.10008.1.2.4.{n}" for n in JPEG))
DICOMDIR = "1.2.840.10008.1.3.10"

MAX_FILE = 2**26  # bytes of one slice; 512 x 512 has half a MiB
MAX_ELEMENTS = 10**5
CONVERT = "convert it with dcmdjpeg, dcmconv or gdcmconv --raw"


class Header(NamedTuple):
    """One file: the text of each of TAGS it has, and the pixel data it holds."""

    path: Path
    text: dict[str, str]
    pixels: int  # bytes; -1 without pixel data
    coded: tuple[int, int] | None = None  # (rows, columns) within compressed data


def read_header(path: Path) -> Header | None:
    """TAGS of a DICOM file; None for other files and for DICOMDIR.

    Raises ValueError, naming the file, when the header is damaged, deflated, or in
    another transfer syntax that GDCM cannot read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(132)
        bare = head[1:2] == b"\0" and head[0:1] in (b"\x02", b"\x08")  # no preamble
        if head[128:] != b"DICM" and not bare:
            if path.suffix.lower() in (".dcm", ".dicom", ".ima") or not (
                size or path.suffix
            ):
                raise ValueError(
                    f"{path}: {size} bytes, not DICOM; copy it again, or remove it"
                )
            return None
        if size > MAX_FILE:
            raise ValueError(
                f"{path}: {size} bytes; at most {MAX_FILE} are read for one slice. "
                "Convert multi-frame files to NIfTI (dcm2niix)"
            )
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _parse(path, data, 132 if head[128:] == b"DICM" else 0)
            except (struct.error, IndexError, _Damaged) as error:
                what = error if isinstance(error, _Damaged) else "it ends too early"
                raise ValueError(
                    f"{path}: damaged or truncated DICOM header ({what}); copy it again"
                ) from error


class _Damaged(Exception):
    """What is wrong at which byte."""


def _parse(path: Path, data: mmap.mmap, at: int) -> Header | None:
    text: dict[str, str] = {}
    budget = [MAX_ELEMENTS]
    while data[at : at + 2] == b"\x02\0":  # group 2 is explicit in every file
        tag, _, start, length = next(_elements(data, at, True, budget))
        if tag in TAGS:
            text[TAGS[tag]] = _text(data, tag, start, length)
        at = start + length
    if at == 0:  # a bare data set: explicit when two letters follow the first tag
        explicit = data[at + 4 : at + 6].isalpha()
        text["TransferSyntaxUID"] = EXPLICIT if explicit else IMPLICIT
    if text.get("MediaStorageSOPClassUID") == DICOMDIR:
        return None
    syntax = text.get("TransferSyntaxUID", "")
    if syntax not in SYNTAXES:
        raise ValueError(
            f"{path}: transfer syntax {syntax or 'missing'} (deflated, big endian or "
            f"unknown) is not read; {CONVERT}"
        )
    explicit = syntax != IMPLICIT
    for tag, _, start, length in _elements(data, at, explicit, budget):
        if tag in TAGS:
            text[TAGS[tag]] = _text(data, tag, start, length)
        if tag == PIXELS:
            if length != UNDEFINED:
                _check_rest(data, start + length, explicit, budget)
                return Header(path, text, length)
            _check_rest(data, _end_of_fragments(data, start), explicit, budget)
            return Header(path, text, 0, _coded_size(data, start))
    return Header(path, text, -1)


def _check_rest(data: mmap.mmap, at: int, explicit: bool, budget: list[int]) -> None:
    """What follows the pixels is whole as well, or zeros: GDCM reads it."""
    if not data[at:].strip(b"\0"):
        return
    for tag, where, _, _ in _elements(data, at, explicit, budget):
        if tag == PIXELS or tag >> 16 == ITEM >> 16:
            kind = "pixels" if tag == PIXELS else "an item"
            raise _Damaged(f"{kind} at byte {where}, behind the pixels")


def _elements(
    data: mmap.mmap,
    at: int,
    explicit: bool,
    budget: list[int],
    depth: int = 0,
    end: int | None = None,
) -> Iterator[tuple[int, int, int, int]]:
    """Tag, first byte, first byte of the value, and length, up to `end`.

    Every length must fit into what contains it, in sequences too: GDCM reserves the
    memory that a length asks for before it reads.
    """
    end = len(data) if end is None else end
    while at < end:
        tag, kind = _tag(data, at), data[at + 4 : at + 6]
        if not explicit or tag >> 16 == ITEM >> 16:
            (length,), start = struct.unpack_from("<I", data, at + 4), at + 8
        elif kind in LONG:
            (length,), start = struct.unpack_from("<I", data, at + 8), at + 12
        elif kind in SHORT:
            (length,), start = struct.unpack_from("<H", data, at + 6), at + 8
        else:
            raise _Damaged(f"{kind!r} at byte {at} is no value representation")
        budget[0] -= 1
        if budget[0] < 0:
            raise _Damaged(f"more than {MAX_ELEMENTS} elements")
        if length != UNDEFINED and start + length > end:
            raise _Damaged(
                f"({tag >> 16:04x},{tag & 0xFFFF:04x}) claims {length} bytes, "
                f"{max(0, end - start)} are left"
            )
        yield tag, at, start, length
        if tag == ITEM_END:
            return
        if length == UNDEFINED:  # unknown (UN) sequences are implicit, PS3.5 6.2.2
            at = _skip(data, start, explicit and kind != b"UN", budget, depth, end)
        else:
            at = start + length
            if explicit and kind == b"SQ":
                _skip(data, start, True, budget, depth, at)


def _skip(
    data: mmap.mmap, at: int, explicit: bool, budget: list[int], depth: int, end: int
) -> int:
    """Where the sequence whose items begin at a byte ends: at its mark or at `end`."""
    if depth > 16:
        raise _Damaged("sequences more than 16 deep")
    while at < end:
        tag = _tag(data, at)
        (length,), at = struct.unpack_from("<I", data, at + 4), at + 8
        budget[0] -= 1
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM or budget[0] < 0:
            raise _Damaged(f"sequence without item or end before byte {at}")
        stop = end if length == UNDEFINED else at + length
        if stop > end:
            raise _Damaged(f"an item claims {length} bytes, {end - at} are left")
        for last, _, start, _ in _elements(data, at, explicit, budget, depth + 1, stop):
            tag, at = last, start
        if length != UNDEFINED:
            at = stop
        elif tag != ITEM_END:
            raise _Damaged("the last item has no end")
    return at


def _end_of_fragments(data: mmap.mmap, at: int) -> int:
    """Behind the mark that ends a compressed image, all of whose parts are there."""
    while _tag(data, at) != SEQUENCE_END:
        (length,) = struct.unpack_from("<I", data, at + 4)
        if _tag(data, at) != ITEM or at + 8 + length > len(data):
            raise _Damaged(f"compressed pixels end at byte {at}")
        at += 8 + length
    return at + 8


def _tag(data: mmap.mmap, at: int) -> int:
    group, element = struct.unpack_from("<HH", data, at)
    return group << 16 | element


def _text(data: mmap.mmap, tag: int, start: int, length: int) -> str:
    if length > 1024:
        raise _Damaged(f"{TAGS[tag]} claims {length} bytes")
    if tag in NUMBERS:
        return str(struct.unpack_from("<H", data, start)[0]) if length == 2 else ""
    return data[start : start + length].decode("latin-1").strip(" \0")


def _coded_size(data: mmap.mmap, at: int) -> tuple[int, int] | None:
    """(rows, columns) that the first fragment of JPEG, JPEG-LS or JPEG 2000 claims."""
    at += 8 + struct.unpack_from("<I", data, at + 4)[0]  # the table of offsets
    (length,) = struct.unpack_from("<I", data, at + 4)
    code = data[at + 8 : at + 8 + min(length, 2**16)]
    begin = code.find(b"\xff\x4f\xff\x51", 0, 4096)  # ISO 15444-1 A.5.1
    if begin >= 0:
        x1, y1, x0, y0 = struct.unpack_from(">4I", code, begin + 8)
        return y1 - y0, x1 - x0
    at = 2 if code[:2] == b"\xff\xd8" else len(code)
    while at + 9 <= len(code) and code[at] == 0xFF:  # ISO 10918-1 B.2.2
        marker = code[at + 1]
        if marker == 0xF7 or (
            marker & 0xF0 == 0xC0 and marker not in (0xC4, 0xC8, 0xCC)
        ):
            rows, columns = struct.unpack_from(">2H", code, at + 5)
            return rows, columns
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", code, at + 2)[0]
    return None
