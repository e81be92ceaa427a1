"""Pixels are those that the header claims, and lengths are in millimetres."""

import logging
import struct

import numpy as np
import pytest

from tests.scan_files import meta, nifti, nrrd, series, some_hu
from tqgd_jax.io.volumes import read_volume

PIXELS = np.arange(-12, 12, dtype="<i2")


@pytest.mark.parametrize("name", ["LIST", "LISTE.raw", "LIST2"])
def test_a_payload_whose_name_begins_with_list_is_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "outside.raw").write_bytes(PIXELS.tobytes())
    (tmp_path / "in" / name).write_text("../outside.raw\n../outside.raw\n")
    made = (
        meta(tmp_path / "in", ElementDataFile=name),
        nrrd(tmp_path / "in", b"", name="scan.nhdr", data_file=name),
    )
    for path in made:
        with pytest.raises(ValueError, match=f"pixels in '{name}'.*begins with LIST"):
            read_volume(path)


@pytest.mark.parametrize("name", ["Müller Größe.raw", "Zoë.raw", "Local.raw"])
def test_names_beyond_ascii_are_found(tmp_path, name):
    # as SimpleITK writes them: UTF-8
    mhd = meta(tmp_path, ElementDataFile=name)
    nhdr = nrrd(tmp_path, b"", name="scan.nhdr", data_file=name)
    (tmp_path / name).write_bytes(PIXELS.tobytes())
    for path in (mhd, nhdr):
        np.testing.assert_array_equal(read_volume(path).hu.ravel(), PIXELS)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"ElementByteOrderMSB": "True", "BinaryDataByteOrderMSB": "False"},
            "two orders",
        ),
        (
            {"Offset": "1 2 3", "Position": "0 0 0"},
            "Offset and Position mean one thing",
        ),
        (
            {"TransformMatrix": "1 0 0 0 1 0 0 0 1", "Rotation": "-1 0 0 0 -1 0 0 0 1"},
            "TransformMatrix and Rotation mean one thing",
        ),
        ({"ElementToIntensityFunctionSlope": "2"}, "only 1 is read"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, "only 0 is read"),
        ({"DistanceUnits": "inch"}, "DistanceUnits inch"),
    ],
)
def test_fields_that_two_readers_read_apart_are_refused(tmp_path, fields, words):
    with pytest.raises(ValueError, match=words):
        read_volume(meta(tmp_path, PIXELS.tobytes(), **fields))


def test_quantized_nrrd_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"old min or old max is -1000.*quantized"):
        read_volume(nrrd(tmp_path, old_min="-1000", old_max="1000"))


# A spacing of 0.5, 0.5 and 3 mm with the origin 10, 20 and -30 mm, in other units.
def in_metaimage(folder, unit, mm):
    fields = {"ElementSpacing": f"{0.5 / mm:g} {0.5 / mm:g} {3 / mm:g}"}
    fields["Offset"] = f"{10 / mm:g} {20 / mm:g} {-30 / mm:g}"
    return meta(folder, PIXELS.tobytes(), DistanceUnits=unit, **fields)


def in_nrrd(folder, unit, mm):
    steps = f"({0.5 / mm:g},0,0) (0,{0.5 / mm:g},0) (0,0,{3 / mm:g})"
    return nrrd(
        folder,
        PIXELS.tobytes(),
        space_units=f'"{unit}" "{unit}" "{unit}"',
        space_directions=steps,
        space_origin=f"({10 / mm:g},{20 / mm:g},{-30 / mm:g})",
    )


def in_nifti(folder, unit, mm):
    steps = (0.5 / mm, 0.5 / mm, 3 / mm)
    # RAS
    affine = np.diag([-steps[0], -steps[1], steps[2]])
    affine = np.column_stack([affine, [-10 / mm, -20 / mm, -30 / mm]])
    path = nifti(folder, PIXELS.tobytes(), spacing=steps, affine=affine.tolist())
    content = bytearray(path.read_bytes())
    content[123] = {"m": 1, "mm": 2, "um": 3, "": 0}[unit] + 8  # and seconds
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("write", "unit", "mm"),
    [
        *(
            (in_metaimage, unit, mm)
            for unit, mm in {"mm": 1, "cm": 10, "um": 1e-3}.items()
        ),
        *((in_nrrd, unit, mm) for unit, mm in {"mm": 1, "m": 1e3, "": 1}.items()),
        *((in_nifti, unit, mm) for unit, mm in {"m": 1e3, "um": 1e-3, "": 1}.items()),
    ],
)
def test_lengths_in_other_units_become_millimetres(tmp_path, write, unit, mm):
    volume = read_volume(write(tmp_path, unit, mm))
    np.testing.assert_allclose(volume.spacing, (3, 0.5, 0.5), rtol=1e-5)
    np.testing.assert_allclose(volume.origin, (10, 20, -30), rtol=1e-5)


def test_an_unknown_unit_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="space units inch; lengths are read in one of"
    ):
        read_volume(in_nrrd(tmp_path, "inch", 25.4))


@pytest.mark.parametrize(
    ("spacing", "asked"),
    [
        ("0.05 0.05 1", True),
        ("11 11 3", True),
        ("0.5 0.5 25", True),
        ("0.1 0.1 20", False),
        ("10 10 0.3", False),
    ],
)
def test_a_spacing_that_people_do_not_have_is_questioned(
    tmp_path, caplog, spacing, asked
):
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        read_volume(meta(tmp_path, PIXELS.tobytes(), ElementSpacing=spacing))
    assert ("another unit" in caplog.text) == asked


def test_so_is_that_of_dicom(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        read_volume(series(tmp_path, some_hu(), PixelSpacing="0.05\\0.05"))
    assert "pixels of 0.05 x 0.05 mm" in caplog.text


@pytest.mark.parametrize(
    ("slope", "intercept", "wanted"),
    # nifti1.h: "If the scl_slope field is nonzero, then each voxel value in the dataset
    # should be scaled": 0 means no scaling at all
    [(0, -1024, PIXELS), (1, -1024, PIXELS - 1024), (2, 5, 2 * PIXELS + 5)],
)
def test_scaling_of_nifti(tmp_path, slope, intercept, wanted):
    path = nifti(tmp_path, PIXELS.tobytes(), scale=(slope, intercept))
    np.testing.assert_array_equal(read_volume(path).hu.ravel(), wanted)


@pytest.mark.parametrize("endian", ["<", ">"])
def test_both_orders_of_bytes_in_nrrd(tmp_path, endian):
    payload = struct.pack(f"{endian}24h", *PIXELS.tolist())
    name = {"<": "little", ">": "big"}[endian]
    np.testing.assert_array_equal(
        read_volume(nrrd(tmp_path, payload, endian=name)).hu.ravel(), PIXELS
    )
