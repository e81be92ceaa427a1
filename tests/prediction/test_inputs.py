"""What is read of files and folders, and what is skipped and said."""

import logging

import numpy as np
import pytest

from tests import image_sets, scan_files
from tqgd_jax.io.dicom.slice import no_scan
from tqgd_jax.io.volumes import read_volume
from tqgd_jax.prediction.inputs import DOCUMENT, find, summary

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOSE = "1.2.840.10008.5.1.4.1.1.88.67"


def dicom(path, **tags):
    """One file; by default a CT slice of 3 x 4."""
    path.write_bytes(scan_files.slice_bytes(bytes(24), **tags))


@pytest.fixture
def folder(tmp_path):
    """Two patients, one with two series, a volume, two pictures, and what is no scan."""
    hu = scan_files.some_hu((3, 6, 7))
    scan_files.series(tmp_path / "a" / "ct", hu, PatientID="P1")
    scan_files.series(
        tmp_path / "a" / "thin", hu, PatientID="P1", SeriesInstanceUID="9.1"
    )
    scan_files.series(tmp_path / "b", hu, PatientID="P2", SeriesInstanceUID="9.2")
    localizer = {
        "ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER",
        "SeriesInstanceUID": "9.3",
    }
    dicom(tmp_path / "a" / "scout", **localizer)
    dicom(tmp_path / "a" / "shot", SOPClassUID=CAPTURE, SeriesInstanceUID="9.4")
    # The report of the dose has the UID of the series itself.
    dicom(
        tmp_path / "a" / "ct" / "dose", SOPClassUID=DOSE, Modality="SR", PixelData=None
    )
    dicom(tmp_path / "b" / "pet", Modality="PT", SeriesInstanceUID="9.5")
    (tmp_path / "vol").mkdir()
    scan_files.write(tmp_path / "vol" / "scan.nii.gz", hu)
    image_sets.picture(tmp_path / "pictures" / "x.png")
    image_sets.picture(tmp_path / "pictures" / "y.png")
    result = tmp_path / "predictions" / "P1"
    result.mkdir(parents=True)
    (result / DOCUMENT).write_text('{"schema": "tqgd_jax.predictions/1"}')
    image_sets.picture(result / "slices" / "1.png")
    return tmp_path


def test_every_series_volume_and_image_is_read_and_the_rest_is_said(folder):
    got = find([folder])
    named = [(s.kind, s.name, s.series) for s in got.sources]
    assert named == [
        ("dicom", "P1", scan_files.SERIES),
        ("dicom", "P1-2", "9.1"),
        ("dicom", "P2", "9.2"),
        ("volume", "scan", ""),
    ]
    skipped = {path.name: reason for path, reason in got.skipped}
    assert skipped == {
        "P1": "result of tqgd predict",
        "scout": "localizer",
        "shot": "secondary capture",
        "dose": "dose report",
        "pet": "of Modality 'PT'",
        "x.png": "picture beside scans; name it to read it",
        "y.png": "picture beside scans; name it to read it",
    }
    assert any("1 x dose report (" in line for line in summary(got.skipped))
    assert read_volume(folder / "a" / "ct", series=scan_files.SERIES).hu.shape == (
        3,
        6,
        7,
    )
    assert [s.name for s in find([folder], "9.2").sources] == ["P2"]


def test_a_series_in_two_folders_is_known_in_both(tmp_path):
    hu = scan_files.some_hu((4, 6, 7))
    for part in ("low", "high"):
        scan_files.series(tmp_path / part, hu)
    scan_files.series(tmp_path / "other", hu, SeriesInstanceUID="9.1")
    # a folder that is given twice is no other one
    got = {s.path.name: s.elsewhere for s in find([tmp_path, tmp_path / "low"]).sources}
    high, low = (tmp_path.resolve() / part for part in ("high", "low"))
    assert got == {"low": (high,), "high": (low,), "other": ()}


@pytest.mark.parametrize("text", ['{"schema": "cat"}', "[1]", "{", "{}"])
def test_a_file_of_the_same_name_that_is_none_of_ours_hides_nothing(tmp_path, text):
    scan_files.write(tmp_path / "scan.nii.gz", scan_files.some_hu((3, 6, 7)))
    (tmp_path / DOCUMENT).write_text(text)
    got = find([tmp_path])
    assert [s.name for s in got.sources] == ["scan"]
    assert got.skipped == ()


def test_pictures_alone_are_read_also_where_another_input_has_scans(folder):
    got = find([folder / "b", folder / "pictures"])
    assert [s.kind for s in got.sources] == ["dicom", "images"]
    assert [f.name for f in got.sources[1].files] == ["x.png", "y.png"]


def test_several_inputs_may_be_files(folder):
    volume = folder / "vol" / "scan.nii.gz"
    got = find([folder / "b", volume, folder / "pictures" / "x.png", volume])
    assert [(s.kind, s.name) for s in got.sources] == [
        ("dicom", "P2"),
        ("volume", "scan"),
        ("images", "x"),
        ("volume", "scan-2"),
    ]


def test_images_of_two_kinds_are_two_groups(tmp_path):
    from PIL import Image

    image_sets.picture(tmp_path / "grey.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "colour.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    got = find([tmp_path])
    assert [s.name.split("_")[-2:] for s in got.sources] == [
        ["rgb", "uint8"],
        ["grey", "uint8"],
    ]
    assert [s.files[0].name for s in got.sources] == ["colour.png", "grey.png"]
    assert "neither PNG nor JPEG" in got.skipped[0][1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nowhere", "no file or folder"), ("a/scout", "of DICOM give the folder")],
)
def test_a_path_that_is_nothing_to_read_is_refused(folder, name, reason):
    with pytest.raises(ValueError, match=reason):
        find([folder / name])


def test_a_folder_without_a_scan_says_what_was_skipped(folder):
    (folder / "only").mkdir()
    dicom(folder / "only" / "shot", SOPClassUID=CAPTURE)
    with pytest.raises(ValueError, match=r"skipped: 1 x secondary capture \(.*shot"):
        find([folder / "only"])
    with pytest.raises(ValueError, match="no CT series whose UID begins with '7'"):
        find([folder / "b"], "7")


def test_a_damaged_file_is_an_input_whose_reading_says_why(folder, caplog):
    (folder / "b" / "broken.dcm").write_bytes(b"short")
    with caplog.at_level(logging.WARNING):
        got = find([folder / "b"])
    broken = next(s for s in got.sources if not s.series)
    with pytest.raises(ValueError, match=r"broken\.dcm"):
        read_volume(broken.path, series=broken.series)


def test_a_slice_is_told_from_what_lies_beside_it():
    from tqgd_jax.io.dicom.header import Header

    def reason(**text):
        return no_scan(Header(None, text, 0))  # type: ignore[arg-type]

    assert reason(Modality="CT", SOPClassUID=scan_files.CT) == ""
    assert reason(Modality="CT") == ""
    # The class of enhanced CT begins like none of the others: reading says what to do.
    assert reason(Modality="CT", SOPClassUID=f"{scan_files.CT}.1") == ""
    assert reason(Modality="CT", SOPClassUID=f"{CAPTURE}.4") == "secondary capture"
    assert reason() == ""  # reading says what is missing
    assert reason(Modality="PT") == "of Modality 'PT'"
