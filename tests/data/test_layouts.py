"""Folders as other programs leave them: read, or refused by name with what converts."""

import json
import plistlib

import numpy as np
import pytest

from tests import scan_files
from tests.ct_sets import LAD, config, scan, write
from tests.image_sets import picture
from tqgd_jax.config import Config, Data
from tqgd_jax.data.discover import scan_folder
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset


def index(root, **data):
    cfg = Config(data=Data(dir=str(root), split="ratio", ratio=(1.0, 0.0, 0.0), **data))
    return index_dataset(cfg, discover(cfg.data))


def boxes(root, **data):
    """Boxes by the stem of the image."""
    samples = index(root, **data).parts["train"]
    return {s.path.stem: s.boxes.tolist() for s in samples}


def of_scans(root, **data):
    """Name of the scan, slice and boxes, of slices that have some."""
    cfg = config(root, split="ratio", ratio=(1.0, 0.0, 0.0), **data)
    samples = index_dataset(cfg, discover(cfg.data)).parts["train"]
    return {
        (s.slice.scan, s.slice.z): s.boxes.tolist() for s in samples if len(s.labels)
    }


LAYOUTS = {
    "3D Slicer": ("{}/CT.nrrd", "{}/Segmentation.seg.nrrd"),
    "3D Slicer, again": ("{}/2 Gated.nrrd", "{}/Segmentation_1.seg.nrrd"),
    "TotalSegmentator": ("{}/ct.nii.gz", "{}/segmentations/coronary_arteries.nii.gz"),
    "nnU-Net": ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"),
    "one name each": ("{}/scan.nii.gz", "{}/masks/scan.nii.gz"),
}


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("patients", [1, 2])
def test_scans_and_masks_pair(tmp_path, names, patients):
    hu, mask = scan([LAD])
    for k in range(patients):
        for name, array in zip(names, (hu + k, mask), strict=True):
            write(tmp_path / "set" / name.format(f"p{k}"), array)
    read = of_scans(tmp_path / "set")
    # LAD of ct_sets: slices 1 and 2, rows 10 to 14, columns 20 to 25
    assert [*read.values()] == [[[20, 10, 25, 14]]] * 2 * patients
    assert len({scan for scan, _ in read}) == patients


def test_a_mask_for_each_organ_is_refused_and_the_patterns_named_work(tmp_path):
    hu, mask = scan([LAD])
    for k in range(2):
        write(tmp_path / "set" / f"s{k}" / "ct.nii.gz", hu + k)
        for organ, array in (("heart", mask), ("aorta", 0 * mask)):
            path = tmp_path / "set" / f"s{k}" / "segmentations" / f"{organ}.nii.gz"
            write(path, array)
    with pytest.raises(ValueError, match=r"TotalSegmentator .*'\(\)heart'") as caught:
        of_scans(tmp_path / "set")
    assert "data.scan_pattern='()ct'" in str(caught.value)
    read = of_scans(tmp_path / "set", scan_pattern="()ct", mask_pattern="()heart")
    assert len(read) == 4


def test_scans_of_one_name_in_two_folders_are_not_mixed_up(tmp_path):
    hu, _ = scan([LAD])
    for name in ("a/b", "a_b"):
        write(tmp_path / "set" / name / "ct.nii.gz", hu)
    with pytest.raises(ValueError, match=r"two scans would be called 'A_B': .*b.*a_b"):
        of_scans(tmp_path / "set", boxes="b.csv")


ROI = ["(10.0, 11.0)", "(13.5, 11.0)", "(13.5, 14.25)"]


def test_scans_without_masks_keep_their_names(tmp_path):
    hu, _ = scan([LAD])
    names = {"one": ("a", "b"), "each": ("p1/a", "p2/b"), "two": ("p/a", "p/b")}
    for folder, files in names.items():
        root = tmp_path / folder
        for k, name in enumerate(files):
            write(root / f"{name}.nii.gz", hu + k)
        (root / "b.csv").write_text("scan,z,x0,y0,x1,y1\na,1,3,4,9,8\nb,2,5,6,9,8\n")
        read = of_scans(root, boxes="b.csv", classes=("cac",))
        assert read == {("a", 1): [[3, 4, 9, 8]], ("b", 2): [[5, 6, 9, 8]]}


def test_folders_name_scans_without_masks_only_where_they_tell_them_apart(tmp_path):
    hu, _ = scan([LAD])
    for name in ("p1/ct", "p2/ct"):
        write(tmp_path / f"{name}.nii.gz", hu)
    found = scan_folder.find(config(tmp_path).data, masks=False)
    assert found is not None
    assert [s.name for s in found.scans] == ["P1", "P2"]
    write(tmp_path / "p1" / "other.nii.gz", hu)
    with pytest.raises(ValueError, match=r"two scans of 'CT': .*p1.*p2"):
        scan_folder.find(config(tmp_path).data, masks=False)


def coca(root, images, name="0"):
    """Five slices of one patient and a property list, as Stanford's COCA has them."""
    series = root / "patient" / "0" / "Pro_Gated"
    scan_files.series(series, np.full((5, 32, 32), 40, np.int16), PatientID="")
    file = root / "calcium_xml" / f"{name}.xml"
    file.parent.mkdir()
    file.write_bytes(plistlib.dumps({"Images": images}))
    return root


def roi(index, name="Left Anterior Descending Artery", points=ROI):
    return {"ImageIndex": index, "ROIs": [{"Name": name, "Point_px": points}]}


def test_coca_counts_slices_from_the_head(tmp_path):
    root = coca(tmp_path / "set", [roi(0), roi(3, points=[])])
    # slice 0 of ours is the lowest of five
    assert of_scans(root) == {("patient_0_Pro_Gated", 4): [[10, 11, 13.5, 14.25]]}


def coca_series(folder, uid):
    hu = np.full((5, 32, 32), int(uid), np.int16)
    tags = {"SeriesInstanceUID": uid, "StudyInstanceUID": f"{uid}.1", "PatientID": ""}
    of_slice = lambda k: {"SOPInstanceUID": f"{uid}.2.{k}"}  # noqa: E731
    return scan_files.series(folder, hu, of_slice, **tags)


@pytest.mark.parametrize("home", ["set", "0/set"])
def test_coca_labels_go_to_the_folder_below_patient_alone(tmp_path, home):
    root = coca(tmp_path / home, [roi(0)])
    coca_series(root / "patient" / "7" / "0", "20")
    coca_series(root / "deidentified_nongated" / "0", "30")
    assert [*of_scans(root)] == [("patient_0_Pro_Gated", 4)]


def test_two_series_of_one_coca_file_are_refused(tmp_path):
    root = coca(tmp_path / "set", [roi(0)])
    coca_series(root / "patient" / "0" / "Thin", "20")
    with pytest.raises(
        ValueError, match=r"0\.xml: two series .*patient/0.*Pro_Gated .*Thin \(20\)"
    ):
        of_scans(root)


def test_coca_knows_one_class_or_its_own_names(tmp_path):
    rca = "Right Coronary Artery"
    root = coca(tmp_path / "set", [roi(1), roi(2, rca)])
    names = ("Left Anterior Descending Artery", rca)
    cfg = config(root, split="ratio", ratio=(1.0, 0.0, 0.0))
    for classes, wanted in (((), {0}), (("cac",), {0}), (names, {0, 1})):
        cfg.data.classes = classes
        (samples,) = index_dataset(cfg, discover(cfg.data)).parts.values()
        assert {k for s in samples for k in s.labels.tolist()} == wanted


@pytest.mark.parametrize(
    ("images", "name", "words"),
    [
        ([roi(5)], "0", "ImageIndex 5, and the scan has 5 slices"),
        ([roi(0)], "7", "no series lies below patient/7"),
        ([roi(0, points=["(1, x)"])], "0", r"Point_px '\(1, x\)'"),
        ([{"ImageIndex": 0}], "0", "KeyError: 'ROIs'"),
    ],
)
def test_a_coca_file_that_does_not_fit_says_why(tmp_path, images, name, words):
    root = coca(tmp_path / "set", images, name)
    with pytest.raises(ValueError, match=words):
        of_scans(root)
    cfg = config(root, split="ratio", ratio=(1.0, 0.0, 0.0), classes=("cac",))
    if "ImageIndex" not in words:  # else no scan is left
        problems = index_dataset(cfg, discover(cfg.data)).problems
        assert any(words.replace("\\", "") in p.text for p in problems)


def yolo(root, lists, names=("a", "b")):
    for k, name in enumerate(names):
        picture(root / "train" / "images" / f"{name}.png", value=k + 1)
        label = root / "train" / "labels" / f"{name}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text(f"{k} 0.5 0.5 0.2 0.2\n")
    for file, text in lists.items():
        (root / file).write_text(text, "utf-8")
    return root


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "train: ../train/images\nnc: 2\nnames: ['lad', 'rca']\n"),
        ("data.yaml", "path: .\nnames:\n  0: lad\n  1: rca\n"),
        ("obj.names", "lad\nrca\n"),
        ("Classes.TXT", "\ufefflad\nrca\n"),
    ],
)
def test_class_names_of_yolo(tmp_path, file, text):
    assert index(yolo(tmp_path, {file: text})).classes == ("lad", "rca")


def test_two_lists_must_say_one_thing(tmp_path):
    lists = {"classes.txt": "lad\nrca\n", "data.yaml": "names: [lad, rca]"}
    assert index(yolo(tmp_path, lists)).classes == ("lad", "rca")
    (tmp_path / "data.yaml").write_text("names: [rca, lad]")
    with pytest.raises(ValueError, match=r"classes\.txt and .*data\.yaml; keep one"):
        index(tmp_path)


@pytest.mark.parametrize("text", ["names: {1: a}", "nc: 2", "names: [a", "3"])
def test_a_data_yaml_without_names_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"data\.yaml: (names must be|no YAML)"):
        index(yolo(tmp_path, {"data.yaml": text}))


def test_roboflow_writes_a_group_above_its_classes(tmp_path):
    picture(tmp_path / "train" / "a.png")
    kinds = [
        {"id": 0, "name": "cac", "supercategory": "none"},
        {"id": 1, "name": "cac", "supercategory": "cac"},
    ]
    content = {
        "images": [{"id": 0, "file_name": "a.png", "height": 20, "width": 30}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}
        ],
        "categories": kinds,
    }
    (tmp_path / "train" / "_annotations.coco.json").write_text(json.dumps(content))
    assert boxes(tmp_path) == {"a": [[1, 2, 4, 6]]}


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("a.json", '{"version": "5", "shapes": []}', "LabelMe .*--export_dir DIR"),
        (
            "annotations.xml",
            '<annotations><image name="a.png"/></annotations>',
            "CVAT .*datum convert -if cvat .* --save-media",
        ),
        ("a.xml", '<annotations><image name="a.png"/></annotations>', "CVAT"),
        ("a.xml", "<!DOCTYPE plist><plist/>", "COCA.*data.format=dicom"),
    ],
)
def test_others_are_refused_by_name_with_what_converts(tmp_path, file, text, words):
    picture(tmp_path / "a.png")
    (tmp_path / file).write_text(text, "utf-8")
    with pytest.raises(ValueError, match=words):
        index(tmp_path)


def test_difficult_objects_of_voc_are_boxes(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(
        "<annotation><object><name>cac</name><difficult>1</difficult><bndbox><xmin>1</xmin>"
        "<ymin>2</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></object></annotation>"
    )
    assert boxes(tmp_path) == {"a": [[1, 2, 4, 6]]}
