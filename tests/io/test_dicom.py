"""DICOM slices become one volume: order, HU, orientation, and what is refused."""

import logging
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from tests import scan_files
from tests.scan_files import ORIGIN, SPACING
from tqgd_jax.io.volumes import dicom_folders, read_volume


def test_slices_are_ordered_by_position_and_not_by_name(tmp_path):
    hu = scan_files.some_hu()
    volume = read_volume(scan_files.series(tmp_path, hu, Manufacturer="ACME"))
    names = [p.name for p in sorted(tmp_path.iterdir())]
    assert [int(n[2:]) for n in names] != sorted(int(n[2:]) for n in names)
    np.testing.assert_array_equal(volume.hu, hu)
    assert (volume.spacing, volume.origin) == (SPACING, ORIGIN)
    assert volume.sop == tuple(f"1.2.3.4.5.{k + 1}" for k in range(5))
    assert volume.thickness == 3
    assert volume.ids["patient"] == "test"
    assert volume.ids["series"] == "1.2.3.4.5"
    assert volume.ids["modality"] == "CT"
    assert volume.ids["manufacturer"] == "ACME"


@pytest.mark.parametrize("preamble", [True, False])
@pytest.mark.parametrize("syntax", [scan_files.EXPLICIT, "1.2.840.10008.1.2"])
def test_encodings_of_the_same_slices(tmp_path, syntax, preamble):
    hu = scan_files.some_hu()
    folder = scan_files.series(tmp_path, hu, syntax=syntax, preamble=preamble)
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


@pytest.mark.parametrize("compressor", ["", "JPEG", "JPEG2000"])
def test_series_written_by_simpleitk(tmp_path, compressor):
    import SimpleITK as sitk

    hu = scan_files.some_hu((3, 16, 24))
    image = scan_files.image(hu)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    if compressor:  # both lossless: process 14, and 5/3 wavelets
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
    for k in range(3):
        part = image[:, :, k]
        at = image.TransformIndexToPhysicalPoint((0, 0, k))
        for tag, value in {
            "0008|0016": scan_files.CT,
            "0008|0018": f"1.2.3.{k}",
            "0008|0060": "CT",
            "0018|0050": "3",
            "0020|000d": "1.2",
            "0020|000e": "1.2.3",
            "0020|0032": "\\".join(map(str, at)),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|1052": "0",
            "0028|1053": "1",
        }.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(tmp_path / f"{k}.dcm"))
        writer.Execute(part)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    np.testing.assert_allclose(volume.spacing, SPACING)
    assert volume.origin == ORIGIN


def test_rle_by_hand(tmp_path):
    # PS3.5 annex G: two segments, high bytes first; each row is one literal run of 24.
    hu = scan_files.some_hu((2, 16, 24))

    def encoded(k: int) -> dict:
        rows = [row.astype(">i2").tobytes() for row in hu[k]]
        runs = [b"".join(b"\x17" + row[part::2] for row in rows) for part in (0, 1)]
        table = struct.pack("<16I", 2, 64, 64 + len(runs[0]), *[0] * 13)
        frame = table + runs[0] + runs[1]
        item = b"\xfe\xff\x00\xe0"
        body = item + bytes(4) + item + struct.pack("<I", len(frame)) + frame
        return {"PixelData": body + b"\xfe\xff\xdd\xe0" + bytes(4)}

    folder = scan_files.series(tmp_path, hu, encoded, syntax="1.2.840.10008.1.2.5")
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


def test_each_slice_has_its_own_slope_and_intercept(tmp_path):
    raw = np.arange(24, dtype=np.int16).reshape(3, 2, 4)
    scales = [("1", "-1024"), ("2", "0"), ("0.5", "-10")]

    def scale(k: int) -> dict:
        return {"RescaleSlope": scales[k][0], "RescaleIntercept": scales[k][1]}

    hu = read_volume(scan_files.series(tmp_path, raw, scale)).hu
    expected = [raw[0] - 1024, raw[1] * 2, np.rint(raw[2] * 0.5 - 10)]
    np.testing.assert_array_equal(hu, expected)


def test_unsigned_pixels_and_padding(tmp_path):
    raw = np.array([[[0, 1024, 4095, 30000]]], np.int16)
    folder = scan_files.series(
        tmp_path / "u", raw, PixelRepresentation=0, RescaleIntercept="-1024"
    )
    np.testing.assert_array_equal(read_volume(folder).hu, raw - 1024)
    raw = np.array([[[-2048, 0, 130, -2000]]], np.int16)
    folder = scan_files.series(tmp_path / "p", raw, PixelPaddingValue=-2048)
    np.testing.assert_array_equal(read_volume(folder).hu, raw)


@pytest.mark.parametrize(
    ("across", "step", "expected"),
    [
        # Slices along +z, +z with rows and columns swapped, -z, +x and +y.
        ("1\\0\\0\\0\\1\\0", (0, 0, 3), lambda a: a),
        ("0\\1\\0\\1\\0\\0", (0, 0, 3), lambda a: a.transpose(0, 2, 1)),
        ("1\\0\\0\\0\\1\\0", (0, 0, -3), lambda a: a[::-1]),
        ("-1\\0\\0\\0\\-1\\0", (0, 0, 3), lambda a: a[:, ::-1, ::-1]),
        ("0\\1\\0\\0\\0\\-1", (3, 0, 0), lambda a: a.transpose(1, 2, 0)[::-1]),
        ("1\\0\\0\\0\\0\\-1", (0, 3, 0), lambda a: a.transpose(1, 0, 2)[::-1]),
    ],
)
def test_axial_sagittal_and_coronal_series(tmp_path, across, step, expected):
    hu = scan_files.some_hu()

    def place(k: int) -> dict:
        return {
            "ImagePositionPatient": "\\".join(str(k * s) for s in step),
            "ImageOrientationPatient": across,
        }

    volume = read_volume(scan_files.series(tmp_path, hu, place))
    np.testing.assert_array_equal(volume.hu, expected(hu))
    row, column = np.array(list(map(float, across.split("\\")))).reshape(2, 3)
    for k, j, i in ((0, 0, 0), (4, 2, 5)):  # PS3.3 C.7.6.2.1.1, equation 1
        at = k * np.array(step) + row * i * 0.4 + column * j * 0.5
        x, y, z = np.rint((at - volume.origin) / volume.spacing[::-1]).astype(int)
        assert volume.hu[z, y, x] == hu[k, j, i]
    if step[2]:
        order = range(5) if step[2] > 0 else range(4, -1, -1)
        assert volume.sop == tuple(f"1.2.3.4.5.{k + 1}" for k in order)
    else:
        assert volume.sop == ()


def test_other_files_and_localizers_are_left_out(tmp_path, caplog):
    hu = scan_files.some_hu()
    folder = scan_files.series(tmp_path / "a", hu)
    (folder / "LICENSE").write_text("a text longer than a preamble " * 9)
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "DICOMDIR").write_bytes(
        scan_files.slice_bytes(hu[0]).replace(
            scan_files.CT.encode() + b"\0", b"1.2.840.10008.1.3.10\0\0\0\0\0\0"
        )
    )
    scout = scan_files.slice_bytes(
        hu[0, :3], ImageType="ORIGINAL\\PRIMARY\\LOCALIZER", SeriesInstanceUID="1.9"
    )
    (folder / "scout.dcm").write_bytes(scout)
    (folder / "sub").mkdir()
    with caplog.at_level(logging.DEBUG, "tqgd_jax"):
        np.testing.assert_array_equal(read_volume(folder).hu, hu)
    assert "ignored 2 files" in caplog.text
    assert "skipped 1 localizer" in caplog.text
    assert dicom_folders(tmp_path) == [(folder, "1.2.3.4.5", 5)]


def test_several_series_need_a_choice(tmp_path):
    a, b = scan_files.some_hu(seed=1), scan_files.some_hu((3, 6, 7), seed=2)
    scan_files.series(tmp_path / "a", a)
    scan_files.series(tmp_path / "b", b, SeriesInstanceUID="1.2.77")
    for path in (tmp_path / "b").iterdir():
        shutil.move(path, tmp_path / "a" / f"b{path.name}")
    folder = tmp_path / "a"
    with pytest.raises(ValueError, match=r"several.*1\.2\.3\.4\.5 \(5 files.*77 \(3 f"):
        read_volume(folder)
    with pytest.raises(ValueError, match=r"2 series begin with '1\.2'"):
        read_volume(folder, series="1.2")
    with pytest.raises(ValueError, match="0 series begin with '3'"):
        read_volume(folder, series="3")
    np.testing.assert_array_equal(read_volume(folder, series="1.2.7").hu, b)
    np.testing.assert_array_equal(read_volume(folder, series="1.2.3.4.5").hu, a)
    assert dicom_folders(tmp_path) == [(folder, "1.2.3.4.5", 5), (folder, "1.2.77", 3)]
    longer = scan_files.slice_bytes(a[0], SeriesInstanceUID="1.2.3.4.55")
    (folder / "x").write_bytes(longer)  # one UID may begin another
    np.testing.assert_array_equal(read_volume(folder, series="1.2.3.4.5").hu, a)


@pytest.mark.parametrize("rest", [b"\0", b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0"])
def test_padding_behind_the_pixels_is_read_over(tmp_path, rest):
    hu = scan_files.some_hu()
    folder = scan_files.series(tmp_path, hu)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes() + rest)
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


def test_damaged_files_are_listed_with_a_warning(tmp_path, caplog):
    folder = scan_files.series(tmp_path, scan_files.some_hu())
    (folder / "x.dcm").write_bytes(scan_files.slice_bytes(bytes(24))[:300])
    assert dicom_folders(tmp_path) == [(folder, "", 1), (folder, "1.2.3.4.5", 5)]
    assert "damaged or truncated" in caplog.text
    with pytest.raises(ValueError, match=r"x\.dcm: damaged"):
        read_volume(folder)


def test_spacing_is_of_positions_and_differing_thickness_is_warned_of(tmp_path, caplog):
    folder = scan_files.series(tmp_path / "a", scan_files.some_hu(), SliceThickness="5")
    volume = read_volume(folder)
    assert (volume.spacing[0], volume.thickness) == (3, 5)
    assert "3.000 mm apart but are called 5.000 mm thick" in caplog.text
    caplog.clear()
    read_volume(scan_files.series(tmp_path / "b", scan_files.some_hu()))
    assert caplog.text == ""


def test_one_slice_takes_its_thickness(tmp_path, caplog):
    hu = scan_files.some_hu((1, 6, 7))
    volume = read_volume(scan_files.series(tmp_path, hu, SliceThickness="2.5"))
    assert volume.spacing[0] == 2.5
    assert "one slice" in caplog.text


ITEM, STOP = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
UNTIL, END = ITEM + b"\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0"
# A modality that is not the image's; twice in items, and in a sequence in a sequence.
INNER = scan_files.element(0x00080060, b"CS", b"MR")
KNOWN = (ITEM + struct.pack("<I", len(INNER)) + INNER) * 2
NESTED = UNTIL + INNER + END + STOP
NESTED = scan_files.element(0x00081140, b"SQ", NESTED, size=scan_files.UNDEFINED)
OPEN = UNTIL + INNER + NESTED + END + UNTIL + END + STOP


@pytest.mark.parametrize(
    ("kind", "items", "size"),
    [(b"SQ", KNOWN, None), (b"UN", KNOWN, None), (b"SQ", OPEN, scan_files.UNDEFINED)],
)
def test_sequences_are_skipped(tmp_path, kind, items, size):
    hu = scan_files.some_hu()
    sequence = scan_files.element(0x00081110, kind, items, size=size)
    for path in scan_files.series(tmp_path, hu).iterdir():
        data = path.read_bytes()
        where = data.index(b"\x10\0\x20\0LO")
        path.write_bytes(data[:where] + sequence + data[where:])
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.ids["modality"] == "CT"


REAL = [
    ("qrm_phantom_ct/dicom", 47, 3.0, 0.488),
    ("chest_ct/dicom", 64, 5.0, 0.841796875),
]


@pytest.mark.parametrize(("name", "count", "step", "pixel"), REAL)
def test_real_series(realdata, caplog, name, count, step, pixel):
    start = time.perf_counter()
    volume = read_volume(realdata / name)
    assert time.perf_counter() - start < 10  # 0.4 s on an idle machine
    assert volume.hu.shape == (count, 512, 512)
    assert volume.spacing == pytest.approx((step, pixel, pixel))
    assert volume.thickness == step
    assert caplog.text == ""
    # Raw pixels by another path: these files are implicit little endian and end with
    # their pixels; tag and length are searched as bytes.
    for path in (realdata / name).iterdir():
        data = path.read_bytes()
        raw = np.frombuffer(data[-(2 * 512 * 512) :], "<i2").reshape(512, 512)
        assert data[: -2 * 512 * 512].endswith(b"\xe0\x7f\x10\x00\x00\x00\x08\x00")
        slope, intercept = (_text(data, 0x28, e) for e in (0x1053, 0x1052))
        k = volume.sop.index(_text(data, 0x08, 0x18))
        expected = raw.astype(float) * float(slope) + float(intercept)
        np.testing.assert_array_equal(volume.hu[k], expected)
        z = float(_text(data, 0x20, 0x32).split("\\")[2])
        assert volume.origin[2] + k * step == pytest.approx(z, abs=1e-3)


def _text(data: bytes, group: int, element: int) -> str:
    at = data.index(struct.pack("<HH", group, element))
    (length,) = struct.unpack_from("<I", data, at + 4)
    return data[at + 8 : at + 8 + length].decode().rstrip("\0 ")


def test_real_padding_survives_and_annotations_find_their_slices(realdata: Path):
    phantom = read_volume(realdata / "qrm_phantom_ct/dicom")
    assert phantom.hu.min() == -2048
    # The rods of 800 mg/mL (data/README.md): far above 130 HU at z = 601.
    k = round((601 - phantom.origin[2]) / phantom.spacing[0])
    for x, y in ((181, 221), (291, 151), (299, 282)):
        assert phantom.hu[k, y - 3 : y + 4, x - 3 : x + 4].max() > 130
    chest = read_volume(realdata / "chest_ct/dicom")
    # Of the 20 annotations some name slices of other series of the patient. The UIDs
    # that any file here holds are the ones read, and one tumour's slices touch.
    named = [p.stem for p in (realdata / "chest_ct/annotations").glob("*.xml")]
    heads = [p.read_bytes()[:4096] for p in (realdata / "chest_ct/dicom").iterdir()]
    here = {uid for uid in named if any(uid.encode() in head for head in heads)}
    assert len(here) == 9
    assert here == set(named) & set(chest.sop)
    places = sorted(chest.sop.index(uid) for uid in here)
    assert places == list(range(places[0], places[0] + 9))
