"""Volume files come back bit by bit, in one orientation, with positions in place."""

import gzip
import logging
import subprocess
import sys
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests import scan_files
from tests.scan_files import ORIGIN, SPACING
from tqgd_jax.io.volumes import is_volume, read_mask, read_volume

ROOT = Path(__file__).parents[2]
FORMATS = ("mhd", "mha", "nrrd", "nhdr", "nii", "nii.gz")


@pytest.mark.parametrize(("suffix", "compress"), list(product(FORMATS, (True, False))))
def test_every_format_gives_back_every_bit(tmp_path, suffix, compress):
    hu = scan_files.some_hu(seed=len(suffix) + compress)
    path = scan_files.write(tmp_path / f"P1.{suffix}", hu, compress)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.hu.dtype == np.int16
    assert volume.hu.flags.c_contiguous
    # NIfTI keeps spacing in single precision.
    np.testing.assert_allclose(volume.spacing, SPACING, rtol=1e-7)
    np.testing.assert_allclose(volume.origin, ORIGIN, rtol=1e-7)
    assert set(volume.ids.values()) == {""}
    assert (volume.sop, volume.thickness) == ((), None)


def test_whole_range_of_int16_survives(tmp_path):
    hu = np.array([[[-32768, -2048, -1024, 0, 130, 131, 3071, 32767]]], np.int16)
    path = scan_files.write(tmp_path / "a.nii.gz", np.repeat(hu, 2, 0))
    np.testing.assert_array_equal(read_volume(path).hu[1], hu[0])


@pytest.mark.parametrize("suffix", ["mhd", "nrrd", "nii"])
@pytest.mark.parametrize("code", ["LPS", "RAI", "RAS", "PIR", "ASL", "IPL", "SRP"])
def test_orientation_of_the_file_changes_nothing(tmp_path, suffix, code):
    import SimpleITK as sitk

    hu = scan_files.some_hu()
    turned = sitk.DICOMOrient(scan_files.image(hu), code)
    sitk.WriteImage(turned, str(tmp_path / f"a.{suffix}"))
    volume = read_volume(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(volume.hu, hu)
    np.testing.assert_allclose(volume.spacing, SPACING, rtol=1e-6)
    np.testing.assert_allclose(volume.origin, ORIGIN, rtol=1e-6)
    # Every voxel of the file lies where SimpleITK says it does.
    for i, j, k in ((0, 0, 0), (2, 1, 3)):
        at = np.array(turned.TransformIndexToPhysicalPoint((i, j, k)))
        x, y, z = np.rint((at - volume.origin) / volume.spacing[::-1]).astype(int)
        assert volume.hu[z, y, x] == turned[i, j, k]


def test_nifti_axes_to_the_right_and_back_by_hand(tmp_path):
    # An RAS affine of identity: index grows to the right, the front, the head, so
    # x and y run against LPS. Voxel (3, 2, 0) of the file is the first of ours.
    payload = np.arange(24, dtype="<i2").tobytes()
    affine = ((1, 0, 0, 5), (0, 1, 0, 7), (0, 0, 1, 9))
    volume = read_volume(scan_files.nifti(tmp_path, payload, affine=affine))
    np.testing.assert_array_equal(volume.hu[0, 0], [11, 10, 9, 8])
    assert volume.hu[1, 2, 3] == 12
    # RAS (5 + 3, 7 + 2, 9) is LPS (-8, -9, 9).
    assert volume.origin == (-8, -9, 9)


def test_nrrd_in_ras_by_hand(tmp_path):
    payload = np.arange(24, dtype="<i2").tobytes()
    volume = read_volume(
        scan_files.nrrd(
            tmp_path, payload, space="right-anterior-superior", space_origin="(5,7,9)"
        )
    )
    np.testing.assert_array_equal(volume.hu[0, 0], [11, 10, 9, 8])
    assert volume.origin == (-8, -9, 9)


def test_metaimage_with_windows_line_ends_and_big_endian_pixels(tmp_path):
    payload = np.arange(24, dtype=">i2").tobytes()
    path = scan_files.meta(tmp_path, payload, ElementByteOrderMSB="True")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_volume(path).hu[1, 2, 3] == 23


@pytest.mark.parametrize("suffix", ["mhd", "nhdr"])
@pytest.mark.parametrize("compress", [True, False])
def test_files_renamed_to_lower_case_are_one_scan_still(tmp_path, suffix, compress):
    hu = scan_files.some_hu()
    original = scan_files.write(tmp_path / f"TRV1P1CTI.{suffix}", hu, compress)
    before = read_volume(original)
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(file.name.lower()))
    path = tmp_path / original.name.lower()
    assert "TRV1P1CTI." in path.read_text("latin-1")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert (volume.spacing, volume.origin) == (before.spacing, before.origin)


def test_a_payload_in_other_letters_must_be_one_and_in_the_folder(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    path = scan_files.meta(inside, ElementDataFile="SCAN.RAW")
    np.testing.assert_array_equal(read_volume(path).hu, 0)  # of scan.raw
    (inside / "Scan.raw").write_bytes(bytes(48))
    with pytest.raises(ValueError, match=r"no such file but \['Scan.raw', 'scan.raw'"):
        read_volume(path)
    (inside / "Scan.raw").unlink()
    (inside / "scan.raw").rename(tmp_path / "out.raw")
    (inside / "scan.raw").symlink_to(tmp_path / "out.raw")
    with pytest.raises(ValueError, match="outside the header's folder"):
        read_volume(path)


@pytest.mark.parametrize("dtype", ["u2", "i4", "u4", "f4", "f8"])
def test_other_types_become_int16_where_they_fit(tmp_path, dtype):
    hu = np.abs(scan_files.some_hu())
    path = scan_files.write(tmp_path / "a.nrrd", hu.astype(dtype))
    np.testing.assert_array_equal(read_volume(path).hu, hu)


def test_nifti_slope_and_intercept_count(tmp_path):
    payload = np.arange(24, dtype="<i2").tobytes()
    volume = read_volume(scan_files.nifti(tmp_path, payload, scale=(2.0, -1024.0)))
    np.testing.assert_array_equal(volume.hu.ravel(), 2 * np.arange(24) - 1024)


def test_float_hu_are_rounded(tmp_path):
    hu = np.array([[[-0.4, 129.6, 130.4, -1024.2]]], np.float32)
    volume = read_volume(scan_files.write(tmp_path / "a.mha", np.repeat(hu, 2, 0)))
    np.testing.assert_array_equal(volume.hu[0, 0], [0, 130, 130, -1024])


def test_missing_orientation_and_missing_air_are_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        read_volume(scan_files.nifti(tmp_path, affine=None))
    assert "neither qform nor sform" in caplog.text
    assert "no voxel below 0" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        air = np.full(24, -1, "<i2").tobytes()
        read_volume(scan_files.nrrd(tmp_path, air, space="scanner-xyz"))
    assert "no patient orientation" in caplog.text
    assert "no voxel below 0" not in caplog.text


@pytest.mark.parametrize("suffix", ["mhd", "nrrd", "nii.gz"])
def test_masks_come_back_on_the_grid_of_their_scan(tmp_path, suffix):
    import SimpleITK as sitk

    scan = read_volume(scan_files.write(tmp_path / "a.mhd", scan_files.some_hu()))
    labels = np.random.default_rng(1).integers(0, 4, scan.hu.shape).astype(np.uint8)
    turned = sitk.DICOMOrient(scan_files.image(labels), "RAS")
    sitk.WriteImage(turned, str(tmp_path / f"b.{suffix}"))
    mask = read_mask(tmp_path / f"b.{suffix}", scan)
    np.testing.assert_array_equal(mask, labels)
    assert mask.dtype == np.uint8


def test_mask_of_whole_numbers_in_any_type(tmp_path):
    scan = read_volume(scan_files.write(tmp_path / "a.mhd", scan_files.some_hu()))
    labels = np.random.default_rng(1).integers(0, 4, scan.hu.shape)
    for dtype in ("i2", "f4"):
        path = scan_files.write(tmp_path / f"{dtype}.mha", labels.astype(dtype))
        np.testing.assert_array_equal(read_mask(path, scan), labels)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_64_bit_numbers_are_read_of_masks_only(tmp_path, suffix, dtype):
    scan = read_volume(scan_files.write(tmp_path / "a.mhd", scan_files.some_hu()))
    labels = np.random.default_rng(1).integers(0, 256, scan.hu.shape).astype(dtype)
    path = scan_files.write(tmp_path / f"b.{suffix}", labels)
    np.testing.assert_array_equal(read_mask(path, scan), labels)
    with pytest.raises(ValueError, match=r"64-bit image .*save it as MET_SHORT"):
        read_volume(path)
    labels[1, 2, 3] = 2**40
    with pytest.raises(ValueError, match=r"slice 1 holds [0-9]+\.\.1\.09951e\+12"):
        read_mask(scan_files.write(tmp_path / f"b.{suffix}", labels), scan)


@pytest.mark.parametrize(
    ("where", "same"),
    [
        ({}, True),
        ({"spacing": (3.02, 0.5, 0.4)}, True),  # 0.7 %
        ({"spacing": (3.04, 0.5, 0.4)}, False),  # 1.3 %
        ({"origin": (-9.81, 20, -298.6)}, True),  # 0.475 of 0.4 mm, 0.47 of 3 mm
        ({"origin": (-9.79, 20, -300)}, False),  # 0.525 of 0.4 mm
        ({"origin": (-10, 20, -303)}, False),  # the neighbouring slice
    ],
)
def test_mask_on_another_grid_is_refused_with_both_grids(tmp_path, where, same):
    scan = read_volume(scan_files.write(tmp_path / "a.mhd", scan_files.some_hu()))
    path = tmp_path / "b.mhd"
    scan_files.write(path, np.ones((5, 6, 7), np.uint8), **where)
    if same:
        assert read_mask(path, scan).sum() == 5 * 6 * 7
        return
    with pytest.raises(ValueError, match="one grid") as error:
        read_mask(path, scan)
    assert str(error.value).count("5 x 6 x 7 voxels of") == 2
    assert "(-10.00, 20.00, -300.00)" in str(error.value)


def test_mask_of_another_size_or_mirrored_is_refused(tmp_path):
    scan = read_volume(scan_files.write(tmp_path / "a.mhd", scan_files.some_hu()))
    path = scan_files.write(tmp_path / "b.mhd", np.ones((5, 7, 6), np.uint8))
    with pytest.raises(ValueError, match="5 x 7 x 6 voxels"):
        read_mask(path, scan)
    mirrored = scan_files.image(np.ones((5, 6, 7), np.uint8))
    mirrored.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))  # but the origin stays
    import SimpleITK as sitk

    sitk.WriteImage(mirrored, str(path))
    with pytest.raises(ValueError, match=r"-12\.40"):  # -10 - 6 * 0.4
        read_mask(path, scan)


def test_suffixes_of_volumes():
    yes = ("a.mhd", "A.MHA", "a.nrrd", "a.nhdr", "a.nii", "a.b.nii.gz")
    assert all(is_volume(Path(name)) for name in yes)
    no = ("a.raw", "a.zraw", "a.gz", "a.dcm", "a.png", "mhd", "a.mhd.txt")
    assert not any(is_volume(Path(name)) for name in no)


BOMB = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from tqgd_jax.io.volumes import read_volume
try:
    read_volume(Path(sys.argv[1]))
except ValueError as error:
    print(error)
# Not ru_maxrss, which begins with the peak of the process that started this one.
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])
"""


def _zeros(mib: int) -> bytes:
    """A gzip stream that inflates to zeros: a thousandth of their size."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(stream.compress(bytes(2**20)) for _ in range(mib)) + stream.flush()


def _gzipped_nifti(folder: Path) -> Path:
    path = folder / "scan.nii.gz"
    with gzip.open(path, "wb") as file:
        file.write(scan_files.nifti(folder).read_bytes() + bytes(2**27))
    return path


BOMBS = {
    "zraw": lambda d: scan_files.meta(d, _zeros(256), CompressedData="True"),
    "nrrd": lambda d: scan_files.nrrd(d, _zeros(256), encoding="gzip"),
    "nii.gz": _gzipped_nifti,
    "mhd header": lambda d: scan_files.meta(d, DimSize="60000 60000 60000"),
    "nii header": lambda d: scan_files.nifti(
        d, dim=(3, 32767, 32767, 32767, 1, 1, 1, 1)
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_in_little_memory(tmp_path, bomb):
    path = BOMBS[bomb](tmp_path)
    assert path.stat().st_size < 2**20
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(path)],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=ROOT,
    )
    refusal, peak = done.stdout.strip().splitlines()
    assert "oversized pixels" in refusal or "268435456 are read" in refusal
    assert int(peak) < 150_000  # KiB; Python with NumPy and jaxtyping has 50,000
