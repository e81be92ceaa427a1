"""Malformed scans, one fault each: every one is refused by a message that says which.

`python -m tests.io.test_malformed` prints inputs and messages as a table.
"""

import functools
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


def cut_gzip(folder: Path, count: int) -> Path:
    noise = np.random.default_rng(0).bytes(48)
    whole = gzip.compress(nifti(folder, noise).read_bytes())
    return other(folder / "scan.nii.gz", whole[:-count])


def oblique(folder: Path) -> Path:
    c, s = np.cos(np.radians(12)), np.sin(np.radians(12))
    matrix = (1, 0, 0, 0, c, s, 0, -s, c)
    return meta(folder, TransformMatrix=" ".join(f"{v:.9f}" for v in matrix))


def detached(folder: Path, **fields: str) -> Path:
    (folder / "scan.raw").write_bytes(PIXELS)
    return nrrd(folder, b"", name="scan.nhdr", **fields)


def of(write: Callable[..., Path], kind: str) -> Callable[..., Case]:
    """Makes cases of a format: name, words, then what `write` gets beside the folder."""

    def case(name: str, words: str, /, *values, **fields) -> Case:
        make = functools.partial(write, **fields)
        is_mask = kind == "mask"
        return Case(f"{kind}: {name}", lambda d: make(d, *values), words, is_mask)

    return case


def placed(folder: Path, *z: float, **offset: list[float]) -> Path:
    """A series with its slices at these heights, and perhaps `x` or `y`."""
    x, y = (offset.get(axis, [0] * len(z)) for axis in "xy")

    def place(k: int) -> dict:
        return {"ImagePositionPatient": f"{x[k]}\\{y[k]}\\{z[k]}"}

    return series(folder, some_hu((len(z), 6, 7)), place)


def in_third(folder: Path, **tags) -> Path:
    return series(folder, some_hu(), lambda k: tags if k == 2 else {})


def added(folder: Path, content: bytes, name: str = "x.dcm") -> Path:
    """A good series with one more file."""
    (series(folder, some_hu()) / name).write_bytes(content)
    return folder


def empty(folder: Path) -> Path:
    (folder / "sub").mkdir()
    return folder


def compressed(folder: Path, content: bytes) -> Path:
    syntax = "1.2.840.10008.1.2.4.70"  # JPEG
    return series(folder, some_hu(), syntax=syntax, PixelData=content)


def file(name: str, words: str, path: str, content: bytes) -> Case:
    """A file that is given whole."""
    return Case(name, lambda d: other(d / path, content), words)


# Elements behind the pixels: padding that claims too much, more pixels, no element.
LONG = b"\xfc\xff\xfc\xffOB\0\0" + (60000).to_bytes(4, "little")
PIXELS_AGAIN = b"\xe0\x7f\x10\0OW\0\0" + bytes(4)
ITEM_END = b"\xfe\xff\x0d\xe0" + bytes(4)  # outside of any sequence
mhd, nrrd_, nii = of(meta, "mhd"), of(nrrd, "nrrd"), of(nifti, "nii")
mask, nhdr, gz = of(meta, "mask"), of(detached, "nhdr"), of(cut_gzip, "nii.gz")
coded = of(compressed, "dicom")
at, third, plus = (of(make, "dicom") for make in (placed, in_third, added))
scan = of(lambda folder, **tags: series(folder, some_hu(), **tags), "dicom")  # in all


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


ONE_FILE, NO_AXIS = "only one file in the same folder", "save it without that axis"
FOUR_D = {"NDims": "4", "ElementSpacing": "1 1 1 1"}
ZLIB, FLOAT = {"CompressedData": "True"}, {"ElementType": "MET_FLOAT"}

META = [
    mhd("pixels cut short", "truncated pixels", PIXELS[:-1]),
    mhd("pixels too many", "oversized pixels", PIXELS + b"\0"),
    mhd("zlib data damaged", "truncated pixels (Error", b"x\x9cnonsense", **ZLIB),
    mhd("zlib data cut short", "truncated", zlib.compress(PIXELS)[:-8], **ZLIB),
    mhd(
        *("CompressedDataSize wrong", "says 47 compressed bytes, scan.raw holds 48"),
        **(ZLIB | {"CompressedDataSize": "47"}),
    ),
    mhd("no such pixel file", "there is no such file", ElementDataFile="away.raw"),
    mhd("absolute path", ONE_FILE, ElementDataFile="/etc/passwd"),
    mhd("path to the parent", ONE_FILE, ElementDataFile="../scan.raw"),
    Case("mhd: link out of the folder", linked, "outside the header's folder"),
    mhd("LIST", "no path, list", ElementDataFile="LIST"),
    mhd("pattern", "no path, list or pattern", ElementDataFile="s%02d.raw 1 2 1"),
    mhd("four dimensions", "4-D image", DimSize="4 3 2 5", **FOUR_D),
    mhd("four dimensions, one frame", NO_AXIS, DimSize="4 3 2 1", **FOUR_D),
    mhd(
        *("two dimensions", "This is one slice"),
        **{"NDims": "2", "DimSize": "4 6", "ElementSpacing": "1 1"},
    ),
    mhd("NDims and DimSize differ", "NDims = 2", NDims="2"),
    mhd("DimSize twice", "'DimSize' twice", ElementSpacing="1 1 1\nDimSize = 9 9 9"),
    mhd("negative size", "4 x -3 x 2 voxels", DimSize="4 -3 2"),
    mhd("more voxels than are read", "60000 x 60000 x 60", DimSize="60000 60000 60000"),
    mhd("size is no number", "are no numbers", DimSize="4 3 x"),
    mhd("no spacing", "no 'ElementSpacing'", ElementSpacing=None),
    mhd("spacing 0", "above 0", ElementSpacing="1 1 0"),
    mhd("spacing nan", "finite", ElementSpacing="1 nan 1"),
    mhd("origin nan", "3 finite numbers", Offset="0 nan 0"),
    Case("mhd: oblique by 12 degrees", oblique, "12.0 degrees off"),
    mhd("singular matrix", "is no rotation", TransformMatrix="1 0 0 0 1 0 0 1 0"),
    mhd("8-bit scan", "8-bit image", bytes(24), ElementType="MET_UCHAR"),
    mhd("unknown type", "save it as MET_SHORT", ElementType="MET_LONG_LONG"),
    mhd("three channels", "ElementNumberOfChannels = 3", ElementNumberOfChannels="3"),
    mhd("pixels as text", "BinaryData", BinaryData="False"),
    mhd("HeaderSize -1", "HeaderSize = -1", HeaderSize="-1"),
    file("mhd: no header at all", "not a MetaImage h", "scan.mhd", b"\x89PNG\r\n"),
    mhd("NaN among floats", "NaN or infinity in slice 0", floats(np.nan), **FLOAT),
    mhd("float off the range of int16", "1e+09", floats(1e9), **FLOAT),
    mhd("unsigned 65535", "65535", b"\xff" * 48, ElementType="MET_USHORT"),
    of(meta, "mha")(
        *("pixels cut short", "holds 46 bytes, the header claims 48", PIXELS[:-2]),
        **{"name": "scan.mha", "ElementDataFile": "LOCAL"},
    ),
    mask("labels of 0.5", "no whole numbers", floats(0.5), **FLOAT),
    mask("negative label", "labels in 0..255", np.full(24, -1, "<i2").tobytes()),
]

NRRD = [
    nrrd_("pixels cut short", "truncated pixels", PIXELS[:-1]),
    nrrd_("pixels too many", "oversized pixels", PIXELS * 2),
    nrrd_(
        "gzip damaged", "truncated pixels (Error", b"\x1f\x8bnonsense", encoding="gzip"
    ),
    nrrd_("as text", "encoding", b"1 2 3", encoding="ascii"),
    nrrd_("byte skip -1", "byteskip -1", byte_skip="-1"),
    nrrd_("block type", "save it as short", type="block"),
    nrrd_("sizes missing", "no 'sizes'", sizes=None),
    nrrd_("2 spacings", "2 s", space_directions="(1,0,0) (0,1,0)"),
    nrrd_(
        *("colour", "cannot be read", bytes(48)),
        **{"sizes": "3 4 2", "kinds": "RGB-color domain domain"},
    ),
    file("nrrd: not NRRD", "not NRRD", "scan.nrrd", b"NRRX0004\n\n"),
    nhdr("file of another folder", ONE_FILE, data_file="../scan.raw"),
    nhdr("LIST", "no path, list", data_file="LIST 2"),
    nhdr("no data file", "neither a data file nor pixels"),
]

NIFTI = [
    nii("pixels cut short", "holds 40 bytes", PIXELS[:40]),
    nii("pixels too many", "holds 96 bytes", PIXELS * 2),
    file("nii: header cut short", "100 bytes", "scan.nii", bytes(100)),
    nii("pair of files", "pairs of .hdr", magic=b"ni1\0"),
    nii("time series", "4-D image", bytes(96), dim=(4, 4, 3, 2, 2, 1, 1, 1)),
    nii("one frame of a time series", NO_AXIS, dim=(4, 4, 3, 2, 1, 1, 1, 1)),
    nii("RGB", "data type 128", bytes(72), code=128),
    nii("8-bit scan", "8-bit image", bytes(24), code=2),
    nii("spacing 0", "above 0", spacing=(1, 0, 1)),
    nii("offset nan", "at byte nan", offset=float("nan")),
    nii("slope infinite", "scl_slope inf", scale=(np.inf, 0)),
    nii("slope beyond int16", "rescale slope or intercept", PIXELS, scale=(1e4, 0)),
    nii(
        *("oblique affine", "36.9 degrees off"),  # acos(0.8)
        affine=((-0.8, 0.6, 0, 0), (-0.6, -0.8, 0, 0), (0, 0, 1, 0)),
    ),
    Case("nii.gz: not compressed", unpacked, "not gzip"),
    gz("cut in the pixels", "data end too early", 30),
    gz("cut in the header", "not gzip, or damaged", 75),
    nii("two spacings", "two spacings", spacing=(1, 1, 3)),
]

DICOM = [
    at("a slice is missing", "6.00 mm between", 0, 3, 9, 12),
    at("two slices at one place", "lie at the same position", 0, 3, 3, 6),
    at("uneven spacing", "2.00 mm between", 0, 3, 6, 8, 11),
    at(
        *("sheared by 20 degrees", "20.0 degrees off their normal", 0, 3, 6, 9),
        y=[3 * k * np.tan(np.radians(20)) for k in range(4)],
    ),
    at("one slice aside", "lies 9.00 mm beside", 0, 3, 6, 9, x=[0, 9, 0, 0]),
    scan("gantry tilt", "tilt of -15.5", GantryDetectorTilt="-15.5"),
    scan(
        *("oblique", "36.9 degrees off"),
        ImageOrientationPatient="0.8\\0.6\\0\\-0.6\\0.8\\0",
    ),
    scan(
        *("skewed orientation", "not two perpendicular"),
        ImageOrientationPatient="1\\0\\0\\0.6\\0.8\\0",
    ),
    scan("MR", "Modality 'MR'", Modality="MR"),
    scan(
        *("screenshot of a CT", "only CT images hold HU"),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
    ),
    scan("multi-frame", "emf2sf", NumberOfFrames="5"),
    scan(
        *("enhanced CT", "enhanced or multi-frame"),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
    ),
    third("no position", "no ImagePositionPatient", ImagePositionPatient=None),
    third("no pixel spacing", "no PixelSpacing", PixelSpacing=None),
    third("pixel spacing 0", "must be above 0", PixelSpacing="0\\0.4"),
    third("position nan", "3 numbers", ImagePositionPatient="0\\0\\nan"),
    third("no intercept", "no RescaleIntercept", RescaleIntercept=None),
    third("slope 0", "RescaleSlope 0", RescaleSlope="0"),
    scan("effective Z", "another quantity than HU", RescaleType="Z_EFF"),
    third("slope beyond int16", "slope or intercept", RescaleSlope="1000"),
    third("spacings differ", "of the same series", PixelSpacing="0.6\\0.4"),
    third("sizes differ", "Rows, Columns", pixels=some_hu()[0, :3]),
    third(
        *("orientations differ", "ImageOrientationPatient 0\\1"),
        ImageOrientationPatient="0\\1\\0\\1\\0\\0",
    ),
    third("patients differ", "PatientID", PatientID="other"),
    scan("8 bits", "BitsAllocated 8", BitsAllocated=8),
    scan("high bit", "HighBit 15 with 12 bits", BitsStored=12),
    scan("colour", "SamplesPerPixel 3", SamplesPerPixel=3),
    scan("MONOCHROME1", "MONOCHR", PhotometricInterpretation="MONOCHROME1"),
    third("rows claimed", "the header claims", Rows=512),
    third("65535 rows", "65535 x 7 pixels", Rows=65535),
    third("no pixels", "no pixel data", PixelData=None),
    scan("deflated", "deflated", syntax="1.2.840.10008.1.2.1.99"),
    scan("big endian", "big endian", syntax="1.2.840.10008.1.2.2"),
    coded("JPEG of another size", "image is (60000, 60000)", jpeg(60000, 60000)),
    coded("JPEG without data", "cannot be decoded", jpeg(6, 7)),
    coded("JPEG without an end", "damaged or truncated", jpeg(6, 7)[:-8]),
    plus("cut in the pixels", "(7fe0,0010) claims", slice_bytes(PIXELS)[:-9]),
    plus("cut in the header", "truncated", slice_bytes(PIXELS)[:333]),
    plus("an element too long", "claims 60000 bytes", huge_element()),
    plus("unknown representation", "b'ZZ' at byte", unknown_kind()),
    plus("element longer than its item", "1879048192", overflowing_item()),
    plus("sequences 100 deep", "more than 16 deep", deep()),
    plus("too long behind the pixels", "claims 60000", slice_bytes(PIXELS) + LONG),
    plus("pixels twice", "behind the pixels", slice_bytes(PIXELS) + PIXELS_AGAIN),
    plus("end of an item", "an item at byte", slice_bytes(PIXELS) + ITEM_END + LONG),
    plus("not DICOM, named .dcm", "not DICOM", b"hello" * 99),
    plus("empty file", "0 bytes, not DICOM", b"", "IM0005"),
    scan("only a localizer", "no CT slices", ImageType="A\\LOCALIZER"),
    Case("dicom: empty folder", empty, "no CT slices"),
    file(
        "dicom: a file, not its folder", "folders of D", "scan.dcm", slice_bytes(PIXELS)
    ),
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
    text = message(case, tmp_path)
    assert case.words in text
    # File or folder first, and the rule or the way out after it.
    assert text.split(":")[0].split(" and ")[0].split("/")[-1]
    assert 40 < len(text) < 500


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
        volume = read_volume(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017  one of the two outcomes
    else:
        assert volume.hu.dtype == np.int16
        assert min(volume.spacing) > 0


def test_every_case_is_another():
    assert len({case.name for case in CASES}) == len(CASES) >= 34


def table() -> str:
    """Inputs and messages in markdown, for docs/benchmarks.md."""
    rows = ["| input | message |", "|---|---|"]
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            text = message(case, Path(folder)).replace("|", "\\|")
        rows.append(f"| {case.name} | {text} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
