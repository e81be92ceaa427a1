"""Slices of one DICOM series are one scan, and their distance is that of all of them."""

import logging

import numpy as np
import pytest

from tests.scan_files import series, slice_bytes, some_hu
from tqgd_jax.io.volumes import dicom_folders, read_volume


def numbered(tags):
    """A series whose slice k has the k-th value of each tag."""
    return lambda k: {name: values[k] for name, values in tags.items()}


def heights(*texts: str):
    return numbered({"ImagePositionPatient": [f"0\\0\\{z}" for z in texts]})


@pytest.mark.parametrize(
    ("texts", "step"),
    [
        # thirds of a millimetre, rounded to two decimals and to one
        (("0.00", "0.33", "0.67", "1.00", "1.33", "1.67", "2.00"), 1 / 3),
        (("0", "0.3", "0.7", "1", "1.3", "1.7", "2"), 1 / 3),
        (("-1.5", "0", "1.5"), 1.5),
    ],
)
def test_the_step_is_the_mean_of_all_gaps(tmp_path, texts, step):
    folder = series(tmp_path, some_hu((len(texts), 3, 4)), heights(*texts))
    assert read_volume(folder).spacing[0] == pytest.approx(step, abs=1e-12)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("0", "1", "2", "4", "5"), "2.00 mm between"),  # whole numbers hide no slice
        (("0", "0.3", "0.7", "1.3", "1.6"), "0.60 mm between"),
        # 1 mm, then 1.08 mm: each gap passes, all of them do not
        ([f"{k + 0.08 * max(0, k - 9):.2f}" for k in range(20)], "distance .* changes"),
    ],
)
def test_missing_slices_and_two_distances_are_refused(tmp_path, texts, words):
    folder = series(tmp_path, some_hu((len(texts), 3, 4)), heights(*texts))
    with pytest.raises(ValueError, match=words):
        read_volume(folder)


@pytest.mark.parametrize(
    "tags",
    [
        {"AcquisitionNumber": ["1", "2", "1", "2", "1", "2"]},
        {"ConvolutionKernel": ["Qr36", "Br64"] * 3},
        {"InstanceNumber": ["1", "4", "2", "5", "3", "6"]},
        {"InstanceNumber": ["6", "3", "5", "2", "4", "1"]},
    ],
    ids=["acquisition", "kernel", "instances", "downwards"],
)
def test_two_scans_that_take_turns_are_refused(tmp_path, tags):
    folder = series(tmp_path, some_hu((6, 3, 4)), numbered(tags))
    with pytest.raises(ValueError, match="two scans in one series; put each"):
        read_volume(folder)


@pytest.mark.parametrize(
    "tags",
    [
        {"AcquisitionNumber": ["1", "1", "2", "2", "3", "3"]},  # a table that moves
        {"AcquisitionNumber": list("123456"), "InstanceNumber": list("654321")},
        {"InstanceNumber": list("315264")},  # no order at all
    ],
    ids=["blocks", "single slices", "any order"],
)
def test_one_scan_in_blocks_is_read(tmp_path, tags):
    hu = some_hu((6, 3, 4))
    volume = read_volume(series(tmp_path, hu, numbered(tags)))
    np.testing.assert_array_equal(volume.hu, hu)


def test_two_slices_of_one_uid_are_refused_and_both_named(tmp_path):
    folder = series(tmp_path, some_hu((3, 3, 4)), SOPInstanceUID="1.2.3")
    with pytest.raises(ValueError, match="0602 and 0300 have one SOPInstanceUID"):
        read_volume(folder)


def test_files_that_are_no_ct_image_are_skipped_and_counted(tmp_path, caplog):
    hu = some_hu()
    folder = series(tmp_path / "p1", hu)
    capture = "1.2.840.10008.5.1.4.1.1.7"
    for name, tags in {
        "DOSE1": {"SOPClassUID": capture, "SeriesInstanceUID": "1.9"},
        "RS.dcm": {"Modality": "RTSTRUCT", "PixelData": None},
        "SR.dcm": {"Modality": "SR", "PixelData": None},
    }.items():
        (folder / name).write_bytes(slice_bytes(hu[0], **tags))
    with caplog.at_level(logging.WARNING, "tqgd_jax"):
        assert dicom_folders(tmp_path) == [(folder, "1.2.3.4.5", 5)]
    assert "1 of Modality 'RTSTRUCT', 1 of Modality 'SR'" in caplog.text
    assert "1 secondary capture" in caplog.text
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


def test_linked_folders_are_walked_and_loops_end(tmp_path):
    real = series(tmp_path / "store" / "p1", some_hu())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "p1").symlink_to(real, target_is_directory=True)
    (tmp_path / "set" / "all").symlink_to(tmp_path / "set", target_is_directory=True)
    assert dicom_folders(tmp_path / "set") == [
        (tmp_path / "set" / "p1", "1.2.3.4.5", 5)
    ]
