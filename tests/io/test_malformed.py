"""Malformed scans, one fault each: every one is refused by a message that says which.

`python -m tests.io.test_malformed` prints inputs and messages as a table.
"""

import gzip
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests import scan_files
from tests.scan_files import meta, nifti, nrrd, series, slice_bytes, some_hu
from tqgd_jax.io.volumes import read_mask, read_volume

PIXELS = np.arange(24, dtype="<i2").tobytes()
FLOATS = np.linspace(-1000, 1000, 24, dtype="<f4")


class Case(NamedTuple):
    """How a fault is made in a folder, and what the message must contain."""

    name: str
    make: Callable[[Path], Path]
    words: str
    mask: bool = False


def floats(value: float) -> bytes:
    values = FLOATS.copy()
    values[7] = value
    return values.tobytes()


def other(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def linked(folder: Path) -> Path:
    (folder / "in").mkdir()
    (folder / "secret.raw").write_bytes(PIXELS)
    path = meta(folder / "in", ElementDataFile="link.raw")
    (folder / "in/link.raw").symlink_to(folder / "secret.raw")
    return path


def unpacked(folder: Path) -> Path:
    return nifti(folder).rename(folder / "scan.nii.gz")


def cut_gzip(count: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        noise = np.random.default_rng(0).bytes(48)
        path = folder / "scan.nii.gz"
        path.write_bytes(gzip.compress(nifti(folder, noise).read_bytes())[:-count])
        return path

    return make


def oblique(folder: Path) -> Path:
    c, s = np.cos(np.radians(12)), np.sin(np.radians(12))
    matrix = (1, 0, 0, 0, c, s, 0, -s, c)
    return meta(folder, TransformMatrix=" ".join(f"{v:.9f}" for v in matrix))


def detached(folder: Path, **fields: str) -> Path:
    (folder / "scan.raw").write_bytes(PIXELS)
    return nrrd(folder, b"", name="scan.nhdr", **fields)


def renamed(folder: Path) -> Path:
    return other(folder / "scan.dcm", slice_bytes(PIXELS))


def empty(folder: Path) -> Path:
    (folder / "sub").mkdir()
    return folder


def plus(content: bytes, name: str = "x.dcm") -> Callable[[Path], Path]:
    """A good series with one more file."""

    def make(folder: Path) -> Path:
        (series(folder, some_hu()) / name).write_bytes(content)
        return folder

    return make


def scan(**tags) -> Callable[[Path], Path]:
    """A series whose tags are changed in every slice."""
    return lambda folder: series(folder, some_hu(), **tags)


def third(**tags) -> Callable[[Path], Path]:
    """A series whose tags are changed in its third slice."""
    return lambda folder: series(folder, some_hu(), lambda k: tags if k == 2 else {})


def at(*places: tuple[float, float, float]) -> Callable[[Path], Path]:
    """A series with its slices at these positions."""

    def place(k: int) -> dict:
        return {"ImagePositionPatient": "\\".join(map(str, places[k]))}

    return lambda folder: series(folder, some_hu((len(places), 6, 7)), place)


def jpeg(rows: int, columns: int) -> bytes:
    """Fragments of a JPEG that claims a size and holds nothing."""
    frame = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 11, 16, rows, columns, 1)
    frame += b"\x01\x11\x00\xff\xd9"
    item = b"\xfe\xff\x00\xe0"
    body = item + bytes(4) + item + struct.pack("<I", len(frame)) + frame
    return body + b"\xfe\xff\xdd\xe0" + bytes(4)


def huge_element() -> bytes:
    good = slice_bytes(PIXELS)
    where = good.index(b"test")  # PatientID, with its length before it
    return good[: where - 2] + struct.pack("<H", 60000) + good[where:]


def unknown_kind() -> bytes:
    return slice_bytes(PIXELS).replace(b"\x10\0\x20\0LO", b"\x10\0\x20\0ZZ")


def overflowing_item() -> bytes:
    """A sequence of known length; an element in its item claims 1.75 GiB."""
    inner = scan_files.element(0x00081150, b"UN", b"ab", size=0x70000000)
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
    known = scan_files.element(0x00081110, b"SQ", item)
    good = slice_bytes(PIXELS)
    where = good.index(b"\x10\0\x20\0LO")
    return good[:where] + known + good[where:]


def deep() -> bytes:
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    head = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0\xff\xff\xff\xff"
    return slice_bytes(PIXELS, ReferencedStudySequence=item + (head + item) * 100)


JPEG = "1.2.840.10008.1.2.4.70"

META = [
    Case("mhd: pixels cut short", lambda d: meta(d, PIXELS[:-1]), "truncated pixels"),
    Case("mhd: pixels too many", lambda d: meta(d, PIXELS + b"\0"), "oversized pixels"),
    Case(
        "mhd: zlib data damaged",
        lambda d: meta(d, b"x\x9cnonsense", CompressedData="True"),
        "truncated pixels (Error",
    ),
    Case(
        "mhd: zlib data cut short",
        lambda d: meta(d, zlib.compress(PIXELS)[:-8], CompressedData="True"),
        "truncated",
    ),
    Case(
        "mhd: CompressedDataSize wrong",
        lambda d: meta(d, PIXELS, CompressedData="True", CompressedDataSize="47"),
        "says 47 compressed bytes, scan.raw holds 48",
    ),
    Case(
        "mhd: no such pixel file",
        lambda d: meta(d, ElementDataFile="away.raw"),
        "there is no such file",
    ),
    Case(
        "mhd: absolute path",
        lambda d: meta(d, ElementDataFile="/etc/passwd"),
        "only one file in the same folder",
    ),
    Case(
        "mhd: path to the parent",
        lambda d: meta(d, ElementDataFile="../scan.raw"),
        "only one file in the same folder",
    ),
    Case("mhd: link out of the folder", linked, "outside the header's folder"),
    Case("mhd: LIST", lambda d: meta(d, ElementDataFile="LIST"), "no path, list"),
    Case(
        "mhd: pattern",
        lambda d: meta(d, ElementDataFile="s%02d.raw 1 2 1"),
        "no path, list or pattern",
    ),
    Case(
        "mhd: four dimensions",
        lambda d: meta(d, NDims="4", DimSize="4 3 2 5", ElementSpacing="1 1 1 1"),
        "4-D image",
    ),
    Case(
        "mhd: four dimensions, one frame",
        lambda d: meta(d, NDims="4", DimSize="4 3 2 1", ElementSpacing="1 1 1 1"),
        "save it without that axis",
    ),
    Case(
        "mhd: two dimensions",
        lambda d: meta(d, NDims="2", DimSize="4 6", ElementSpacing="1 1"),
        "This is one slice",
    ),
    Case("mhd: NDims and DimSize differ", lambda d: meta(d, NDims="2"), "NDims = 2"),
    Case(
        "mhd: DimSize twice",
        lambda d: meta(d, ElementSpacing="1 1 1\nDimSize = 9 9 9"),
        "header has 'DimSize' twice",
    ),
    Case(
        "mhd: negative size", lambda d: meta(d, DimSize="4 -3 2"), "4 x -3 x 2 voxels"
    ),
    Case(
        "mhd: more voxels than are read",
        lambda d: meta(d, DimSize="60000 60000 60000"),
        "claims 60000 x 60000 x 60000",
    ),
    Case(
        "mhd: size is no number", lambda d: meta(d, DimSize="4 3 x"), "are no numbers"
    ),
    Case(
        "mhd: no spacing", lambda d: meta(d, ElementSpacing=None), "no 'ElementSpacing'"
    ),
    Case("mhd: spacing 0", lambda d: meta(d, ElementSpacing="1 1 0"), "above 0"),
    Case("mhd: spacing nan", lambda d: meta(d, ElementSpacing="1 nan 1"), "finite"),
    Case("mhd: origin nan", lambda d: meta(d, Offset="0 nan 0"), "3 finite numbers"),
    Case("mhd: oblique by 12 degrees", oblique, "12.0 degrees off"),
    Case(
        "mhd: singular matrix",
        lambda d: meta(d, TransformMatrix="1 0 0 0 1 0 0 1 0"),
        "is no rotation",
    ),
    Case(
        "mhd: 8-bit scan",
        lambda d: meta(d, bytes(24), ElementType="MET_UCHAR"),
        "8-bit image",
    ),
    Case(
        "mhd: unknown type",
        lambda d: meta(d, ElementType="MET_LONG_LONG"),
        "save it as MET_SHORT",
    ),
    Case(
        "mhd: three channels",
        lambda d: meta(d, ElementNumberOfChannels="3"),
        "ElementNumberOfChannels = 3",
    ),
    Case("mhd: pixels as text", lambda d: meta(d, BinaryData="False"), "BinaryData"),
    Case("mhd: HeaderSize -1", lambda d: meta(d, HeaderSize="-1"), "HeaderSize = -1"),
    Case(
        "mhd: no header at all",
        lambda d: other(d / "scan.mhd", b"\x89PNG\r\n"),
        "not a MetaImage header",
    ),
    Case(
        "mhd: NaN among floats",
        lambda d: meta(d, floats(np.nan), ElementType="MET_FLOAT"),
        "NaN or infinity in slice 0",
    ),
    Case(
        "mhd: float off the range of int16",
        lambda d: meta(d, floats(1e9), ElementType="MET_FLOAT"),
        "1e+09",
    ),
    Case(
        "mhd: unsigned 65535",
        lambda d: meta(d, b"\xff" * 48, ElementType="MET_USHORT"),
        "65535",
    ),
    Case(
        "mha: pixels cut short",
        lambda d: meta(d, PIXELS[:-2], name="scan.mha", ElementDataFile="LOCAL"),
        "holds 46 bytes, the header claims 48",
    ),
    Case(
        "mask: labels of 0.5",
        lambda d: meta(d, floats(0.5), ElementType="MET_FLOAT"),
        "no whole numbers",
        mask=True,
    ),
    Case(
        "mask: negative label",
        lambda d: meta(d, np.full(24, -1, "<i2").tobytes()),
        "labels in 0..255",
        mask=True,
    ),
]

NRRD = [
    Case("nrrd: pixels cut short", lambda d: nrrd(d, PIXELS[:-1]), "truncated pixels"),
    Case("nrrd: pixels too many", lambda d: nrrd(d, PIXELS * 2), "oversized pixels"),
    Case(
        "nrrd: gzip damaged",
        lambda d: nrrd(d, b"\x1f\x8bnonsense", encoding="gzip"),
        "truncated pixels (Error",
    ),
    Case("nrrd: as text", lambda d: nrrd(d, b"1 2 3", encoding="ascii"), "encoding"),
    Case("nrrd: byte skip -1", lambda d: nrrd(d, byte_skip="-1"), "byteskip -1"),
    Case("nrrd: block type", lambda d: nrrd(d, type="block"), "save it as short"),
    Case("nrrd: sizes missing", lambda d: nrrd(d, sizes=None), "no 'sizes'"),
    Case(
        "nrrd: 2 spacings", lambda d: nrrd(d, space_directions="(1,0,0) (0,1,0)"), "2 s"
    ),
    Case(
        "nrrd: colour",
        lambda d: nrrd(d, bytes(48), sizes="3 4 2", kinds="RGB-color domain domain"),
        "cannot be read",
    ),
    Case(
        "nrrd: not NRRD",
        lambda d: other(d / "scan.nrrd", b"NRRX0004\n\n"),
        "not NRRD",
    ),
    Case(
        "nhdr: file of another folder",
        lambda d: detached(d, data_file="../scan.raw"),
        "only one file in the same folder",
    ),
    Case("nhdr: LIST", lambda d: detached(d, data_file="LIST 2"), "no path, list"),
    Case("nhdr: no data file", detached, "neither a data file nor pixels"),
]

NIFTI = [
    Case("nii: pixels cut short", lambda d: nifti(d, PIXELS[:40]), "holds 40 bytes"),
    Case("nii: pixels too many", lambda d: nifti(d, PIXELS * 2), "holds 96 bytes"),
    Case(
        "nii: header cut short",
        lambda d: other(d / "scan.nii", bytes(100)),
        "100 bytes",
    ),
    Case("nii: pair of files", lambda d: nifti(d, magic=b"ni1\0"), "pairs of .hdr"),
    Case(
        "nii: time series",
        lambda d: nifti(d, bytes(96), dim=(4, 4, 3, 2, 2, 1, 1, 1)),
        "4-D image",
    ),
    Case(
        "nii: one frame of a time series",
        lambda d: nifti(d, dim=(4, 4, 3, 2, 1, 1, 1, 1)),
        "save it without that axis",
    ),
    Case("nii: RGB", lambda d: nifti(d, bytes(72), code=128), "data type 128"),
    Case("nii: 8-bit scan", lambda d: nifti(d, bytes(24), code=2), "8-bit image"),
    Case("nii: spacing 0", lambda d: nifti(d, spacing=(1, 0, 1)), "above 0"),
    Case("nii: offset nan", lambda d: nifti(d, offset=float("nan")), "at byte nan"),
    Case("nii: slope infinite", lambda d: nifti(d, scale=(np.inf, 0)), "scl_slope inf"),
    Case(
        "nii: slope beyond int16",
        lambda d: nifti(d, PIXELS, scale=(1e4, 0)),
        "rescale slope or intercept",
    ),
    Case(
        "nii: oblique affine",
        lambda d: nifti(
            d, affine=((-0.8, 0.6, 0, 0), (-0.6, -0.8, 0, 0), (0, 0, 1, 0))
        ),
        "36.9 degrees off",  # acos(0.8)
    ),
    Case("nii.gz: not compressed", unpacked, "not gzip"),
    Case("nii.gz: cut in the pixels", cut_gzip(30), "data end too early"),
    Case("nii.gz: cut in the header", cut_gzip(75), "not gzip, or damaged"),
    Case("nii: two spacings", lambda d: nifti(d, spacing=(1, 1, 3)), "two spacings"),
]

DICOM = [
    Case(
        "dicom: a slice is missing",
        at((0, 0, 0), (0, 0, 3), (0, 0, 9), (0, 0, 12)),
        "6.00 mm between",
    ),
    Case(
        "dicom: two slices at one place",
        at((0, 0, 0), (0, 0, 3), (0, 0, 3), (0, 0, 6)),
        "lie at the same position",
    ),
    Case(
        "dicom: uneven spacing",
        at((0, 0, 0), (0, 0, 3), (0, 0, 6), (0, 0, 8), (0, 0, 11)),
        "2.00 mm between",
    ),
    Case(
        "dicom: sheared by 20 degrees",
        at(*((0, 3 * k * np.tan(np.radians(20)), 3 * k) for k in range(4))),
        "20.0 degrees off their normal",
    ),
    Case(
        "dicom: one slice aside",
        at((0, 0, 0), (9, 0, 3), (0, 0, 6), (0, 0, 9)),
        "lies 9.00 mm beside",
    ),
    Case("dicom: gantry tilt", scan(GantryDetectorTilt="-15.5"), "tilt of -15.5"),
    Case(
        "dicom: oblique",
        scan(ImageOrientationPatient="0.8\\0.6\\0\\-0.6\\0.8\\0"),
        "36.9 degrees off",
    ),
    Case(
        "dicom: skewed orientation",
        scan(ImageOrientationPatient="1\\0\\0\\0.6\\0.8\\0"),
        "not two perpendicular",
    ),
    Case("dicom: MR", scan(Modality="MR"), "Modality 'MR'"),
    Case(
        "dicom: screenshot of a CT",
        scan(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
        "only CT images hold HU",
    ),
    Case("dicom: multi-frame", scan(NumberOfFrames="5"), "emf2sf"),
    Case(
        "dicom: enhanced CT",
        scan(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1"),
        "enhanced or multi-frame",
    ),
    Case(
        "dicom: no position",
        third(ImagePositionPatient=None),
        "no ImagePositionPatient",
    ),
    Case("dicom: no pixel spacing", third(PixelSpacing=None), "no PixelSpacing"),
    Case("dicom: pixel spacing 0", third(PixelSpacing="0\\0.4"), "must be above 0"),
    Case("dicom: position nan", third(ImagePositionPatient="0\\0\\nan"), "3 numbers"),
    Case("dicom: no intercept", third(RescaleIntercept=None), "no RescaleIntercept"),
    Case("dicom: slope 0", third(RescaleSlope="0"), "RescaleSlope 0"),
    Case("dicom: effective Z", scan(RescaleType="Z_EFF"), "another quantity than HU"),
    Case("dicom: slope beyond int16", third(RescaleSlope="1000"), "slope or intercept"),
    Case(
        "dicom: spacings differ", third(PixelSpacing="0.6\\0.4"), "of the same series"
    ),
    Case("dicom: sizes differ", third(pixels=some_hu()[0, :3]), "Rows, Columns"),
    Case(
        "dicom: orientations differ",
        third(ImageOrientationPatient="0\\1\\0\\1\\0\\0"),
        "ImageOrientationPatient 0\\1",
    ),
    Case("dicom: patients differ", third(PatientID="other"), "PatientID"),
    Case("dicom: 8 bits", scan(BitsAllocated=8), "BitsAllocated 8"),
    Case("dicom: high bit", scan(BitsStored=12), "HighBit 15 with 12 bits"),
    Case("dicom: colour", scan(SamplesPerPixel=3), "SamplesPerPixel 3"),
    Case(
        "dicom: MONOCHROME1", scan(PhotometricInterpretation="MONOCHROME1"), "MONOCHR"
    ),
    Case("dicom: rows claimed", third(Rows=512), "the header claims"),
    Case("dicom: 65535 rows", third(Rows=65535), "65535 x 7 pixels"),
    Case("dicom: no pixels", third(PixelData=None), "no pixel data"),
    Case("dicom: deflated", scan(syntax="1.2.840.10008.1.2.1.99"), "deflated"),
    Case("dicom: big endian", scan(syntax="1.2.840.10008.1.2.2"), "big endian"),
    Case(
        "dicom: JPEG of another size",
        scan(syntax=JPEG, PixelData=jpeg(60000, 60000)),
        "the compressed image is (60000, 60000)",
    ),
    Case(
        "dicom: JPEG without data",
        scan(syntax=JPEG, PixelData=jpeg(6, 7)),
        "cannot be decoded",
    ),
    Case(
        "dicom: JPEG without an end",
        scan(syntax=JPEG, PixelData=jpeg(6, 7)[:-8]),
        "damaged or truncated",
    ),
    Case(
        "dicom: cut in the pixels", plus(slice_bytes(PIXELS)[:-9]), "(7fe0,0010) claims"
    ),
    Case("dicom: cut in the header", plus(slice_bytes(PIXELS)[:333]), "truncated"),
    Case("dicom: an element too long", plus(huge_element()), "claims 60000 bytes"),
    Case("dicom: unknown representation", plus(unknown_kind()), "b'ZZ' at byte"),
    Case("dicom: element longer than its item", plus(overflowing_item()), "1879048192"),
    Case("dicom: sequences 100 deep", plus(deep()), "more than 16 deep"),
    Case("dicom: not DICOM, named .dcm", plus(b"hello" * 99), "not DICOM"),
    Case("dicom: empty file", plus(b"", "IM0005"), "0 bytes, not DICOM"),
    Case("dicom: only a localizer", scan(ImageType="A\\LOCALIZER"), "no CT slices"),
    Case("dicom: empty folder", empty, "no CT slices"),
    Case("dicom: a file, not its folder", renamed, "folders of DICOM files"),
    Case("no such file", lambda d: d / "away.mhd", "no such file"),
]
CASES = META + NRRD + NIFTI + DICOM


def message(case: Case, folder: Path) -> str:
    """What is said of a case; the folder's own name left out."""
    path = case.make(folder)
    try:
        if case.mask:
            scan = folder / "scan"
            scan.mkdir()
            read_mask(path, read_volume(meta(scan)))
        else:
            read_volume(path)
    except ValueError as error:
        return str(error).replace(f"{folder}/", "").replace(str(folder), "FOLDER")
    return "was read without an error"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_message_names_the_fault(tmp_path, case):
    found = message(case, tmp_path)
    assert case.words in found
    # File or folder first, and the rule or the way out after it.
    assert found.split(":")[0].split(" and ")[0].split("/")[-1]
    assert 40 < len(found) < 500


def test_any_damaged_byte_of_a_header_gives_a_volume_or_a_valueerror(tmp_path):
    rng = np.random.default_rng(0)
    good = slice_bytes(PIXELS, GantryDetectorTilt="0", NumberOfFrames="1")
    for _ in range(300):
        bad = bytearray(good)
        for at in rng.integers(128, len(good) - 48, rng.integers(1, 4)):
            bad[at] = rng.integers(256)
        try_to_read(other(tmp_path / "x.dcm", bytes(bad)).parent)
    for path in (nifti(tmp_path, PIXELS), nrrd(tmp_path), meta(tmp_path)):
        good = path.read_bytes()
        for _ in range(100):
            bad = bytearray(good)
            for at in rng.integers(0, len(good), rng.integers(1, 4)):
                bad[at] = rng.integers(256)
            try_to_read(other(path, bytes(bad)))


def try_to_read(path: Path) -> None:
    """Anything but a ValueError that names the file or folder is a failure."""
    try:
        found = read_volume(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017  one of the two outcomes
    else:
        assert found.hu.dtype == np.int16
        assert min(found.spacing) > 0


def test_every_case_is_another():
    assert len({case.name for case in CASES}) == len(CASES) >= 34


def table() -> str:
    """Inputs and messages in markdown, for docs/benchmarks.md."""
    rows = ["| input | message |", "|---|---|"]
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            said = message(case, Path(folder)).replace("|", "\\|")
        rows.append(f"| {case.name} | {said} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
