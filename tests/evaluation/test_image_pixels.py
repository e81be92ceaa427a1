"""Pixels of judged images are found by name or by scan and slice, never guessed."""

import logging

import numpy as np
import pytest

from tests.ct_sets import scan, write
from tests.image_sets import picture
from tests.scan_files import series
from tqgd_jax.evaluation.inputs.image_pixels import from_folder
from tqgd_jax.io import volumes
from tqgd_jax.structures.image import Image, Place


def judged(name, scan="", z=None, crop=None):
    none, no = np.zeros((0, 4)), np.zeros(0, int)
    place = Place(scan=scan, z=z, crop=crop)
    return Image(name, none, no, none, np.zeros(0), no, place=place)


def known(pixels):
    """Pixels that were found."""
    assert pixels is not None
    return pixels


def grey(pixels):
    """The value that `picture` fills an image with."""
    return None if pixels is None else int(pixels[0, 0, 0])


@pytest.mark.parametrize("name", ["in/a.png", "in/a", "a.png", "a", "a.tif", "x/a.png"])
def test_a_picture_is_found_by_path_or_name_with_or_without_suffix(tmp_path, name):
    picture(tmp_path / "in" / "a.png", value=3)
    picture(tmp_path / "in" / "ab.png", value=4)
    assert grey(from_folder(tmp_path, [judged(name)], [(20, 30)])(0)) == 3


def test_a_path_goes_before_a_name_and_two_of_one_name_are_not_guessed(tmp_path):
    picture(tmp_path / "p1" / "a.png", value=3)
    picture(tmp_path / "p2" / "a.png", value=4)
    pixels = from_folder(tmp_path, [judged("p2/a.png"), judged("a")])
    assert grey(pixels(0)) == 4
    assert pixels(1) is None
    assert pixels.missing == ("a",)


def test_what_follows_a_point_in_a_name_is_no_suffix(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.2.png", value=6)
    pixels = from_folder(tmp_path, [judged("a.2"), judged("b.2")])
    assert pixels(0) is None
    assert grey(pixels(1)) == 6


def test_missing_images_are_counted_and_told(tmp_path, caplog):
    picture(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        pixels = from_folder(tmp_path, [judged("a"), judged("b"), judged("c")])
    assert pixels.missing == ("b", "c")
    assert "no pixels of 2 of 3 images, such as b, c" in caplog.text


def test_a_folder_without_any_of_them_is_an_error(tmp_path):
    picture(tmp_path / "z.png")
    with pytest.raises(ValueError, match=r"none of the 2 images.*'a', 'b'.*1 PNG"):
        from_folder(tmp_path, [judged("a"), judged("b")])
    with pytest.raises(ValueError, match="no such folder"):
        from_folder(tmp_path / "gone", [judged("a")])


def test_a_picture_of_another_size_is_refused(tmp_path):
    picture(tmp_path / "a.png")  # 30 px wide, 20 high
    with pytest.raises(ValueError, match=r"a.png: a has 30x20 px here and 20x30 px in"):
        from_folder(tmp_path, [judged("a")], [(30, 20)])(0)


def volume(path, base):
    hu = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.int16) - base
    return hu, write(path, hu)


def test_a_slice_is_found_by_scan_and_z_and_cropped(tmp_path):
    hu, _ = volume(tmp_path / "deep" / "s1.nii.gz", 900)
    other, _ = volume(tmp_path / "s2.mhd", 500)
    images = [
        judged("one", "s1", 2, (1, 0, 4, 3)),
        judged("whole", "s2", 0),
        judged("nowhere", "s3", 0),
        judged("no slice", "s1"),
    ]
    pixels = from_folder(tmp_path, images)
    assert np.array_equal(known(pixels(0)), hu[2, 0:3, 1:4, None])
    assert known(pixels(0)).dtype == np.int16
    assert np.array_equal(known(pixels(1)), other[0, :, :, None])
    assert pixels.missing == ("nowhere", "no slice")


def test_the_slices_of_a_scan_are_read_from_one_reading(tmp_path, monkeypatch):
    volume(tmp_path / "s.mhd", 900)
    read, seen = volumes.read_volume, []

    def counted(path, *, series=""):
        seen.append(path.name)
        return read(path, series=series)

    monkeypatch.setattr(volumes, "read_volume", counted)
    pixels = from_folder(tmp_path, [judged(f"{z}", "s", z) for z in range(3)])
    assert seen == []
    assert [pixels(z) is None for z in range(3)] == [False] * 3
    assert seen == ["s.mhd"]


def test_scans_are_called_as_the_data_set_calls_them(tmp_path):
    # One folder for each patient: the files are all called "ct", their masks "mask".
    for name, value in (("pat1", 30), ("pat2", 50)):
        hu, mask = scan([], value=value)
        write(tmp_path / name / "ct.nii.gz", hu)
        write(tmp_path / name / "mask.nii.gz", mask)
    pixels = from_folder(tmp_path, [judged("x", "PAT2", 1), judged("y", "ct", 1)])
    assert known(pixels(0))[5, 5, 0] == 50
    assert pixels(1) is None  # two are called so


def test_a_scan_and_its_mask_may_have_one_name(tmp_path):
    hu, mask = scan([], value=30)
    write(tmp_path / "images" / "s.nii.gz", hu)
    write(tmp_path / "masks" / "s.nii.gz", mask)
    assert known(from_folder(tmp_path, [judged("x", "s", 1)])(0))[5, 5, 0] == 30


def test_dicom_folders_are_scans(tmp_path):
    hu = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.int16)
    series(tmp_path / "p" / "one", hu)
    pixels = from_folder(tmp_path, [judged("x", "p_one", 2)])
    assert np.array_equal(known(pixels(0)), hu[2, :, :, None])


@pytest.mark.parametrize(
    ("z", "crop"), [(3, None), (-1, None), (0, (0, 0, 6, 4)), (0, (2, 0, 2, 4))]
)
def test_a_slice_or_crop_outside_the_scan_is_refused(tmp_path, z, crop):
    volume(tmp_path / "s.mhd", 900)
    pixels = from_folder(tmp_path, [judged("x", "s", z, crop)])
    with pytest.raises(ValueError, match=r"s.mhd: has 3 slices of 5x4 px, and the"):
        pixels(0)
