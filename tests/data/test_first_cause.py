"""When nothing is usable, the first causes stand before the advice."""

import numpy as np
import pytest

from tests import scan_files
from tests.image_sets import picture, voc
from tqgd_jax.config import Config, Crop, Data
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset

ROTATED = "<annotation><object><name>a</name><robndbox/></object></annotation>"


def message(root, **data):
    cfg = Config(data=Data(dir=str(root), crop=Crop(method="none"), **data))
    with pytest.raises(ValueError, match=root.name) as caught:
        index_dataset(cfg, discover(cfg.data))
    return str(caught.value).splitlines()


def images(root, text, count=7):
    for k in range(count):
        picture(root / f"a{k}.png", value=k + 1)
        voc(root / f"a{k}.xml", []).write_bytes(text)
    return root


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROTATED.encode(), "a rotated box (robndbox)"),
        ('<?xml version="1.0" encoding="gbk"?><a>钙</a>'.encode("gbk"), "not UTF-8 at"),
        ("<annotation>Größe</annotation>".encode("cp1252"), "not UTF-8 at byte 14"),
        (b"<!DOCTYPE a><annotation/>", "has a DOCTYPE"),
        (
            ROTATED.replace(
                "<robndbox/>",
                "<bndbox><xmin>1,5</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>",
            ).encode(),
            "xmin '1,5', ymin '2', xmax '4', ymax '6': no numbers; write them with a",
        ),
    ],
)
def test_five_of_the_files_and_why(tmp_path, text, words):
    head, *causes, advice = message(images(tmp_path, text))
    assert "7 problems (7 unreadable), the first 5:" in head
    assert len(causes) == 5
    for k, cause in enumerate(causes):
        assert f"{tmp_path / f'a{k}.xml'}:1: unreadable: " in cause
        assert words in cause
    assert advice == "so no box in it names a class; correct the files"


def test_a_folder_without_any_box_has_no_cause(tmp_path):
    (line,) = message(images(tmp_path, b"<annotation/>"))
    assert line.endswith("no box in it names a class; label some, or set data.classes")


@pytest.mark.parametrize("classes", [(), ("cac",)])
def test_a_json_that_fits_no_image(tmp_path, classes):
    picture(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(
        '{"images": [{"id": 1, "file_name": "b.png"}], "annotations": [], '
        '"categories": []}'
    )
    lines = message(tmp_path, classes=classes)
    assert "a.json: missing_image: 0 images fit 'b.png'" in lines[1]
    assert lines[-1].startswith("so no ")


def test_xml_that_no_slice_is_called(tmp_path):
    series = scan_files.series(tmp_path, scan_files.some_hu())
    voc(series / "0300.xml", [("cac", 1, 2, 3, 4)])
    _, cause, advice = message(tmp_path)
    assert "0300.xml: missing_image: no slice has this SOPInstanceUID" in cause
    assert "SOPInstanceUID.xml" in cause
    assert advice.startswith("so no box in it names a class")


def test_scans_that_cannot_be_read(tmp_path):
    for k in range(2):
        scan_files.series(tmp_path / f"p{k}", scan_files.some_hu(), PixelSpacing="0\\0")
    head, *causes, advice = message(tmp_path)
    assert "2 problems (2 unreadable):" in head
    assert all("PixelSpacing" in cause for cause in causes)
    assert advice == "so no scan can be read"


def studies(root, patients, **tags):
    """Scans of one slice thickness, each of its own study."""
    for k, patient in enumerate(patients):
        hu = np.full((3, 8, 8), 10 * k, np.int16)
        uid = {"StudyInstanceUID": f"1.{k}", "SeriesInstanceUID": f"1.{k}.1"}

        def own(z, k=k):
            return {"SOPInstanceUID": f"1.{k}.1.{z}"}

        scan_files.series(
            root / f"p{k}" / "CT", hu, own, PatientID=patient, **uid, **tags
        )
    return root


def test_five_people_under_one_patient_id_are_told_with_a_way_out_that_works(tmp_path):
    root = studies(tmp_path / "set", ["ANON"] * 5)
    (lines,) = told(root)
    assert "5 studies have the PatientID 'ANON' (p0_CT, p1_CT, p2_CT)" in lines
    assert "data.group='(.+)'" in lines
    cfg = Config(data=Data(dir=str(root), crop=Crop(method="none"), classes=("cac",)))
    with pytest.raises(ValueError, match=r"5 scans count as 1.*data\.group='\(\.\+\)'"):
        index_dataset(cfg, discover(cfg.data))
    cfg.data.group = "(.+)"
    parts = index_dataset(cfg, discover(cfg.data)).parts
    assert len({s.patient for of in parts.values() for s in of}) == 5
    # or with a table: p0 and p1 are one person
    cfg.data.group, cfg.data.split, cfg.data.folds = "", "folds", 4
    rows = "".join(f"p{k}_CT,{max(1, k)}\n" for k in range(5))
    (root / "split.csv").write_text("image,group\n" + rows)
    parts = index_dataset(cfg, discover(cfg.data)).parts
    assert {s.patient for of in parts.values() for s in of} == {*"1234"}


def told(root):
    cfg = Config(
        data=Data(
            dir=str(root),
            crop=Crop(method="none"),
            classes=("cac",),
            split="ratio",
            ratio=(1.0, 0.0, 0.0),
        )
    )
    problems = index_dataset(cfg, discover(cfg.data)).problems
    return [p.text for p in problems if p.kind == "shared_patient"]


def test_people_with_their_own_ids_are_not_asked_about(tmp_path):
    assert told(studies(tmp_path / "set", ["A", "B"])) == []


def test_a_training_part_without_a_box_is_told(tmp_path):
    for k, name in enumerate("abc"):
        picture(tmp_path / f"{name}.png", value=k + 1)
        voc(tmp_path / f"{name}.xml", [("cac", 1, 2, 5, 6)] if name == "c" else [])
    (tmp_path / "split.csv").write_text("image,split\na,train\nb,train\nc,test\n")
    cfg = Config(data=Data(dir=str(tmp_path)))
    problems = index_dataset(cfg, discover(cfg.data)).problems
    assert [p.kind for p in problems] == ["no_box_trains"]
