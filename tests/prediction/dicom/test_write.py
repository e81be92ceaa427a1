"""SEG, SR and GSPS say of a scan what was found in it, where it was found."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip(
    "highdicom", reason="highdicom is not installed (requirements-dicom.txt)"
)

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.prediction.dicom.cases import (
    ACROSS,
    ALGORITHM,
    Case,
    case,
    lesions_of,
    written,
)
from tests.prediction.dicom.ct_files import PATIENT, ct_series
from tqgd_jax.evaluation.calcium.agatston import agatston
from tqgd_jax.io.volumes import Volume, read_volume
from tqgd_jax.prediction.dicom.source import source_files
from tqgd_jax.prediction.dicom.write import write


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Case:
    return case(tmp_path_factory.mktemp("usual") / "ct")


@pytest.fixture(scope="module")
def objects(usual, tmp_path_factory) -> dict[str, Dataset]:
    return written(tmp_path_factory.mktemp("objects") / "new", usual)


def positions(points: np.ndarray, image: Dataset) -> np.ndarray:
    """LPS mm of (column, row) counted from the first pixel's centre, PS3.3 C.7.6.2.1.1."""
    along_row, along_column = np.reshape(image.ImageOrientationPatient, (2, 3))
    down, right = image.PixelSpacing
    x, y = np.transpose(points).astype(float)
    return (
        np.array(image.ImagePositionPatient, float)
        + (x * right)[:, None] * along_row[None, :].astype(float)
        + (y * down)[:, None] * along_column[None, :].astype(float)
    )


def rounded(points: np.ndarray) -> set[tuple[float, ...]]:
    return set(map(tuple, (np.round(points, 3) + 0.0).tolist()))


def voxels_of_segments(seg: Dataset) -> dict[str, set]:
    """Positions of the pixels of each segment, from the functional groups."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    labels = {s.SegmentNumber: s.SegmentLabel for s in seg.SegmentSequence}
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    result = {label: set() for label in labels.values()}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        place = Dataset()
        place.ImageOrientationPatient = shared.PlaneOrientationSequence[
            0
        ].ImageOrientationPatient
        place.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
        place.ImagePositionPatient = groups.PlanePositionSequence[
            0
        ].ImagePositionPatient
        assert frame.any()
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        result[labels[number]] |= rounded(positions(np.argwhere(frame)[:, ::-1], place))
    return result


def places(scan: Volume, at: np.ndarray) -> np.ndarray:
    """LPS mm of (z, y, x)."""
    return np.array(scan.origin) + (at * scan.spacing)[:, ::-1]


@pytest.mark.parametrize("across", ACROSS)
def test_voxels_and_boxes_lie_where_they_lay(across, tmp_path):
    of = case(tmp_path / "ct", across)
    objects = written(tmp_path / "out", of)
    segments = voxels_of_segments(objects["seg"])
    assert segments == {
        f"lesion {n}": rounded(places(of.scan, np.argwhere(of.map == n)))
        for n in (1, 2)
    }
    files = {uid: dcmread(path) for uid, path in of.files.items()}
    x0, y0, x1, y1 = of.lesions.boxes.T
    centres = np.stack([of.lesions.z, (y0 + y1) / 2 - 0.5, (x0 + x1) / 2 - 0.5], axis=1)
    expected = rounded(places(of.scan, centres))
    drawn = [
        (item.GraphicData, item.ContentSequence[0].ReferencedSOPSequence[0])
        for group in groups(objects["sr"])
        for item in group.ContentSequence
        if item.ValueType == "SCOORD"
    ]
    assert rounded(np.concatenate([centre(*one, files) for one in drawn])) == expected
    drawn = [
        (item.GraphicData, annotation.ReferencedImageSequence[0])
        for annotation in objects["gsps"].GraphicAnnotationSequence
        for item in annotation.GraphicObjectSequence
    ]
    assert rounded(np.concatenate([centre(*one, files) for one in drawn])) == expected


def centre(data, reference: Dataset, files: dict[str, Dataset]) -> np.ndarray:
    """Of a rectangle whose coordinates are of pixel edges, PS3.3 C.10.5.1.1."""
    corners = np.reshape(data, (5, 2))
    assert (corners[0] == corners[4]).all()
    image = files[reference.ReferencedSOPInstanceUID]
    assert (corners >= 0).all()
    assert (corners <= [image.Columns, image.Rows]).all()
    return positions(corners[:4].mean(axis=0)[None, :] - 0.5, image)


def groups(sr: Dataset) -> list[Dataset]:
    (measurements,) = (
        item
        for item in sr.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "126010"  # Imaging Measurements
    )
    return list(measurements.ContentSequence)


def values(group: Dataset) -> dict[str, float]:
    return {
        item.ConceptNameCodeSequence[0].CodeValue: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def texts(group: Dataset, code: str) -> list[str]:
    return [
        item.TextValue
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == code
    ]


def test_the_report_says_each_box_and_each_amount_once(objects):
    # 0.2 mm2 a pixel, 0.6 mm3 a voxel; 350 HU weigh 3, 600 HU 4; slices of 3 mm.
    certainty, area, top, mean = "111012", "112196", "112180", "112181"
    agatston, volume = "450360000", "112197"
    *boxes, whole = groups(objects["sr"])
    assert [(*texts(one, "112039"), values(one)) for one in boxes] == [
        (
            "lesion 1",
            {
                certainty: 75,
                area: 2.4,
                top: 350,
                mean: 350,
                agatston: 14.4,
                volume: 14.4,
            },
        ),
        ("lesion 1", {certainty: 50, area: 2.4, top: 350, mean: 350}),
        (
            "lesion 2",
            {certainty: 100, area: 3, top: 600, mean: 600, agatston: 12, volume: 9},
        ),
        ("lesion 3", {certainty: 93, agatston: 0, volume: 0}),
    ]
    assert values(whole) == {agatston: 26.4, volume: 23.4, "122657": 130}
    (category,) = (
        item.ConceptCodeSequence[0]
        for item in whole.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "112058"
    )
    assert (category.CodeValue, category.CodingSchemeDesignator) == (
        "11-100",
        "99TQGDJAX",
    )
    assert texts(whole, "121106") == ["AI, unverified. Not a medical device."]


def test_boxes_read_back_as_they_were_given(objects, usual):
    first = groups(objects["sr"])[0]
    (region,) = (item for item in first.ContentSequence if item.ValueType == "SCOORD")
    assert list(region.GraphicData) == [5, 5, 10, 5, 10, 9, 5, 9, 5, 5]
    reference = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == usual.scan.sop[3]


def test_the_presentation_state_draws_boxes_with_scores(objects):
    state = objects["gsps"]
    shown = [
        [text.UnformattedTextValue for text in one.TextObjectSequence]
        for one in state.GraphicAnnotationSequence
    ]
    unverified = "AI, unverified. Not a medical device."
    assert shown == [
        ["lesion 3: 93 %", f"Agatston 0.0 of 26.4. {unverified}"],
        ["lesion 1: 50 %", f"Agatston 7.2 of 26.4. {unverified}"],
        ["lesion 1: 75 %", f"Agatston 7.2 of 26.4. {unverified}"],
        ["lesion 2: 100 %", f"Agatston 12.0 of 26.4. {unverified}"],
    ]
    (window,) = state.SoftcopyVOILUTSequence
    # -200 to 500 HU, as the pages of the project draw.
    assert (window.WindowCenter, window.WindowWidth) == (150, 700)
    assert (state.RescaleSlope, state.RescaleIntercept) == (1, 0)
    assert state.RescaleType == "HU"
    assert state.BodyPartExamined == "HEART"


def test_all_objects_are_of_the_patient_and_unverified(objects, usual):
    source = dcmread(usual.files[usual.scan.sop[0]])
    assert sorted(objects) == ["gsps", "seg", "sr"]
    for kind, one in objects.items():
        assert one.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        for name in (*PATIENT, "StudyInstanceUID", "StudyID", "AccessionNumber"):
            assert one[name].value == source[name].value
        assert one.SeriesDescription.endswith("(AI, unverified)")
        assert one.SOPInstanceUID.startswith("2.25.")
        assert one.SeriesInstanceUID.startswith("2.25.")
        assert one.DeviceSerialNumber == "a" * 64
        if kind != "sr":
            assert "Not a medical device" in one.ContentDescription
    # The source is series 3.
    assert {kind: one.SeriesNumber for kind, one in objects.items()} == {
        "seg": 300,
        "sr": 301,
        "gsps": 302,
    }
    sr, seg = objects["sr"], objects["seg"]
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert (sr.PreliminaryFlag, sr.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    uids = {
        segment.SegmentLabel: segment.TrackingUID for segment in seg.SegmentSequence
    }
    for group in groups(sr)[:3]:
        (uid,) = (
            item.UID for item in group.ContentSequence if item.ValueType == "UIDREF"
        )
        assert uid == uids[texts(group, "112039")[0]]


def test_no_lesion_is_a_report_of_score_0(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    of = case(tmp_path / "ct", rows=[])
    objects = written(tmp_path / "out", of)
    (whole,) = groups(objects.pop("sr"))
    assert values(whole) == {"450360000": 0, "112197": 0, "122657": 130}
    assert objects == {}
    assert "seg.dcm is not written: no voxel counts" in caplog.text
    assert "gsps.dcm is not written: there is no box" in caplog.text


def test_mass_is_shared_in_proportion_to_hu(tmp_path, usual):
    mass = agatston(usual.scan, usual.lesions, calibration=0.001)
    sr = written(tmp_path / "out", usual._replace(score=mass), kinds=["sr"])["sr"]
    # 0.001 mg/mL per HU x 350 HU x 14.4 mm3 / 1000, and 600 HU x 9 mm3.
    masses = [values(group).get("112199") for group in groups(sr)]
    assert masses == [0.00504, None, 0.0054, 0, 0.01044]


def test_three_hundred_lesions_are_three_hundred_segments(tmp_path):
    hu = np.full((3, 62, 82), -50, np.int16)
    hu[:, 1:-1:4, 1:-1:4] = 200
    ct_series(tmp_path / "ct", hu)
    scan = read_volume(tmp_path / "ct")
    y, x = (part[:300] for part in np.nonzero(hu[1] == 200))
    rows = [
        (1, i, j, i + 1, j + 1, n, 0.5)
        for n, (j, i) in enumerate(zip(y, x, strict=True))
    ]
    lesions, lesion_map = lesions_of(rows), np.zeros(hu.shape, np.uint16)
    lesion_map[1, y, x] = np.arange(1, 301)
    score = agatston(scan, lesions, "orcascore")  # one voxel is enough
    of = Case(source_files(tmp_path / "ct"), scan, lesions, lesion_map, score)
    objects = written(tmp_path / "out", of)
    assert len(objects["seg"].SegmentSequence) == objects["seg"].NumberOfFrames == 300
    *boxes, whole = groups(objects["sr"])
    # 0.2 mm2, weight 2.
    assert [values(one)["450360000"] for one in boxes] == [0.4] * 300
    assert values(whole)["450360000"] == 120


def test_names_in_other_alphabets_and_values_that_are_not_dicom(tmp_path, caplog):
    odd = {
        "SpecificCharacterSet": "ISO_IR 144",
        "PatientName": "Иванов^Пётр",
        "PatientSex": "W",
        "PatientBirthDate": "about 50",
        "AccessionNumber": None,
        "FrameOfReferenceUID": "1.2.3",
        "BodyPartExamined": "Heart, gated",
        "SeriesNumber": None,
    }
    with pytest.warns(UserWarning, match="Invalid value"):
        of = case(tmp_path / "ct", **odd)
    objects = written(tmp_path / "out", of)
    for one in objects.values():
        assert str(one.PatientName) == "Иванов^Пётр"
        assert (one.PatientSex, one.PatientBirthDate) == ("", "")
        assert one.AccessionNumber == ""
        assert 100 <= one.SeriesNumber < 103
    assert objects["gsps"].BodyPartExamined == "CHEST"
    assert "PatientSex 'W' is not valid DICOM" in caplog.text


def test_slices_of_several_rescales_have_no_presentation_state(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    of = case(tmp_path / "ct")
    path = of.files[of.scan.sop[1]]
    image = dcmread(path)
    image.RescaleIntercept = -1
    image.save_as(path)
    assert sorted(written(tmp_path / "out", of)) == ["seg", "sr"]
    assert "gsps.dcm is not written: its slices differ in Rescale" in caplog.text


def refused(out: Path, of: Case, match: str, **more) -> None:
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(ValueError, match=match):
        write(out, of.files, of.scan, of.lesions, of.map, of.score, ALGORITHM, **more)
    assert sorted(out.parent.rglob("*")) == before


def test_what_is_not_dicom_is_refused(tmp_path, usual):
    volume = usual._replace(scan=replace(usual.scan, sop=()))
    refused(tmp_path / "out", volume, r"of 6 slices of the scan 0 are DICOM")
    refused(
        tmp_path / "out",
        usual._replace(scan=replace(usual.scan, sop=("1.2", *usual.scan.sop[1:]))),
        r"no file for SOPInstanceUID 1\.2",
    )
    refused(
        tmp_path / "out",
        usual._replace(scan=replace(usual.scan, sop=("1.2",) * 6)),
        "SOPInstanceUID of its own",
    )
    sagittal = case(tmp_path / "ct", (0, 1, 0, 0, 0, -1), rows=[])
    refused(tmp_path / "out", sagittal, "sagittal or coronal")


def test_a_source_without_a_frame_of_reference_is_refused(tmp_path):
    of = case(tmp_path / "ct", FrameOfReferenceUID=None)
    refused(tmp_path / "out", of, "FrameOfReferenceUID is missing")


def test_a_map_of_other_voxels_is_refused(tmp_path, usual):
    less = np.where(usual.map == 2, 0, usual.map).astype(np.uint16)
    refused(tmp_path / "out", usual._replace(map=less), "Agatston score of 14.4")
    more = np.where(usual.map == 2, 4, usual.map).astype(np.uint16)
    refused(
        tmp_path / "out", usual._replace(map=more), "lesion 4, of 3 there are boxes"
    )


def test_a_file_that_is_there_stays(tmp_path, usual):
    (tmp_path / "sr.dcm").write_bytes(b"mine")
    refused(tmp_path, usual, "is there already")
    assert (tmp_path / "sr.dcm").read_bytes() == b"mine"
