"""Labels of scans: masks, a csv or XML; what does not fit is named."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.ct_sets import LAD, RCA, orcascore, patient, scan, write
from tests.data.test_scans import train
from tests.image_sets import voc
from tests.scan_files import series, some_hu


def test_arteries_as_classes(tmp_path):
    data = train(orcascore(tmp_path / "set", 2), classes=("LAD", "LCX", "RCA"))
    assert data.classes == ("LAD", "LCX", "RCA")
    assert [k.tolist() for k in data.labels[:6]] == [[], [0], [0], [], [2], []]


def test_dim_voxels_of_a_mask_are_no_lesion(tmp_path, caplog):
    root = tmp_path / "set"
    patient(root, "TRV1P1", [((1, 2, 3, 6, 3, 6), 130, 1), LAD])
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        data = train(root)
    assert "9 mask voxels at or below 130 HU" in caplog.text
    assert [len(b) for b in data.boxes] == [0, 1, 1, 0, 0, 0]
    assert [len(b) for b in train(root, lesion_hu=129.0).boxes] == [0, 2, 1, 0, 0, 0]


def test_a_mask_of_another_size_stops_it_by_name(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    _, mask = scan([], shape=(5, 40, 48))
    path = root / "Training Set" / "Reference standard" / "TRV1P1R.mhd"
    write(path, mask)
    with pytest.raises(ValueError, match=r"TRV1P1R\.mhd") as caught:
        train(root)
    assert "TRV1P1CTI.mhd: unreadable" in str(caught.value)


def test_boxes_of_a_csv_instead_of_masks(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    (root / "h.csv").write_text("scan,z,x0,y0,x1,y1\nTRV1P1CTI,2,3,4,30.5,20\n")
    data = train(root, boxes="h.csv", classes=("heart",))
    assert data.classes == ("heart",)
    assert [len(b) for b in data.boxes[:4]] == [0, 0, 1, 0]
    assert data.boxes[2].tolist() == [[3, 4, 30.5, 20]]
    with pytest.raises(ValueError, match="no column 'class'"):
        train(root, boxes="h.csv")
    (root / "h.csv").write_text("scan,z,x0,y0,x1,y1\nTRV1P1CTI,9,3,4,30.5,20\n")
    with pytest.raises(
        ValueError, match=r"h\.csv:2: slice 9 has a box, the scan has the slices 0 to 5"
    ):
        train(root, boxes="h.csv", classes=("heart",))
    (root / "h.csv").write_text("scan,z,x0,y0,x1,y1\nNONE,1,3,4,30.5,20\n")
    with pytest.raises(ValueError, match=r"h\.csv:2: no scan is called 'NONE'"):
        train(root, boxes="h.csv", classes=("heart",))


def dicom(root: Path, **tags: object) -> Path:
    """A DICOM series of 5 slices of 6x7 px and one XML: a box in the slice of UID 3."""
    series(root / "one", some_hu(), **tags)
    voc(root / "labels" / "1.2.3.4.5.3.xml", [("nodule", 1, 2, 4, 5)], h=6, w=7)
    return root


@pytest.mark.parametrize(
    ("across", "box", "stored"),
    [
        ("1\\0\\0\\0\\1\\0", [1, 2, 4, 5], lambda hu: hu),
        # rows and columns run to the right and to the front (prone): turned by 180
        # degrees in 7x6 px, x 7-4..7-1, y 6-5..6-2
        ("-1\\0\\0\\0\\-1\\0", [3, 1, 6, 4], lambda hu: hu[::-1, ::-1]),
        ("0\\1\\0\\1\\0\\0", [2, 1, 5, 4], lambda hu: hu.T),  # rows are columns
    ],
)
def test_dicom_boxes_by_sop_instance_uid_turn_with_the_scan(
    tmp_path, across, box, stored
):
    data = train(dicom(tmp_path / "set", ImageOrientationPatient=across))
    assert data.classes == ("nodule",)
    assert [len(b) for b in data.boxes] == [0, 0, 1, 0, 0]
    assert data.boxes[2].tolist() == [box]
    np.testing.assert_array_equal(data.image(2)[:, :, 0], stored(some_hu()[2]))


def test_a_series_twice_and_two_annotations_of_a_slice_are_refused(tmp_path):
    root = dicom(tmp_path / "set")
    xml = root / "labels" / "1.2.3.4.5.3.xml"
    (root / "again").mkdir()
    shutil.copy(xml, root / "again" / xml.name)
    with pytest.raises(ValueError, match=r"two annotations of one slice: .*again"):
        train(root)
    shutil.rmtree(root / "again")
    shutil.copytree(root / "one", root / "two")
    with pytest.raises(ValueError, match=r"one and .*two hold the same slice"):
        train(root)


def test_boxes_of_a_csv_take_the_place_of_xml(tmp_path):
    root = dicom(tmp_path / "set")
    (root / "b.csv").write_text("scan,z,x0,y0,x1,y1\none,0,1,1,3,3\n")
    data = train(root, boxes="b.csv", classes=("heart",))
    assert [len(b) for b in data.boxes] == [1, 0, 0, 0, 0]


def test_a_label_that_is_no_artery_is_a_fault(tmp_path):
    root = tmp_path / "set"
    patient(root, "TRV1P1", [(LAD[0], 300, 7), RCA])
    with pytest.raises(ValueError, match=r"2 unknown_class.*\n.*TRV1P1R\.mhd.*'7'"):
        train(root)
    assert sum(len(b) for b in train(root, bad_labels="drop").boxes) == 1


def test_one_artery_as_the_class_takes_no_other(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    with pytest.raises(ValueError, match=r"unknown_class.*\n.*'RCA'"):
        train(root, classes=("LAD",))
    data = train(root, classes=("LAD",), bad_labels="drop")
    assert [len(b) for b in data.boxes[:6]] == [0, 1, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="knows LAD, LCX and RCA"):
        train(root, classes=("a", "b"))


@pytest.mark.parametrize("box", ["nan,1,3,3", "inf,1,3,3", "5,1,3,3", "90,90,99,99"])
@pytest.mark.parametrize("method", ["anatomical", "none"])
def test_bad_boxes_of_a_csv_are_named_by_line_and_can_be_dropped(tmp_path, box, method):
    root = orcascore(tmp_path / "set", 2)
    rows = f"TRV1P1CTI,2,{box}\nTRV1P1CTI,3,1,1,3,3\n"
    (root / "b.csv").write_text("scan,z,x0,y0,x1,y1\n" + rows)
    by_csv = {"boxes": "b.csv", "classes": ("heart",)}
    with pytest.raises(ValueError, match=r"b\.csv:2: (degenerate|out_of_image)"):
        train(root, method, **by_csv)
    data = train(root, method, bad_labels="drop", **by_csv)
    assert [len(b) for b in data.boxes[:4]] == [0, 0, 0, 1]
