"""An id that is there twice is refused, and both are named."""

import json

import pytest

from tests.image_sets import picture, voc
from tqgd_jax.config import Config, Data
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset
from tqgd_jax.evaluation.inputs import detections
from tqgd_jax.io.coco import read_coco

IMAGES = [{"id": k, "file_name": f"{k}.png"} for k in (1, 2)]
KINDS = [{"id": 1, "name": "lad"}, {"id": 2, "name": "rca"}]
BOXES = [
    {"id": k, "image_id": k, "category_id": k, "bbox": [0, 0, 2, 2]} for k in (1, 2)
]


def changed(rows, **values):
    return [rows[0], rows[1] | values]


FAULTS = [
    (
        {"images": changed(IMAGES, id=1)},
        r"images\[1\].*2\.png.*images\[0\].*1\.png.*id 1",
    ),
    ({"images": changed(IMAGES, file_name="1.png")}, r"images\[1\].*image 1 .*1\.png"),
    ({"categories": changed(KINDS, id=1)}, r"categories\[1\].*categories\[0\].*id 1"),
    ({"categories": changed(KINDS, name="lad")}, r"categor.*'lad'"),
    (
        {"annotations": changed(BOXES, id=1)},
        r"annotations\[1\].*annotations\[0\].*id 1",
    ),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
@pytest.mark.parametrize(
    "read",
    [read_coco, lambda file: detections.read(file, None)],
    ids=["coco", "judged"],
)
def test_in_coco(tmp_path, read, fault, words):
    content = {"images": IMAGES, "categories": KINDS, "annotations": BOXES} | fault
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        read(file)


def test_text_is_another_id_than_a_number(tmp_path):
    content = {"images": IMAGES, "categories": KINDS}
    content["annotations"] = changed(BOXES, image_id="1")
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"image_id '1' is none.*write both without quo"
    ):
        read_coco(file)


def test_in_a_list_of_classes(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 .5 .5 .2 .2")
    (tmp_path / "classes.txt").write_text("lad\nrca\nlad\n")
    cfg = Config(data=Data(dir=str(tmp_path)))
    with pytest.raises(ValueError, match="0 and 2 are both called 'lad'"):
        index_dataset(cfg, discover(cfg.data))


def test_labels_in_another_case_pair_unless_both_are_there(tmp_path):
    picture(tmp_path / "IMG_1.png")
    voc(tmp_path / "img_1.xml", [("cac", 1, 2, 5, 6)])
    cfg = Config(data=Data(dir=str(tmp_path)))
    (entry,) = discover(cfg.data).folder.entries
    assert entry.label == tmp_path / "img_1.xml"
    picture(tmp_path / "img_1.png", value=3)
    labels = {e.name: e.label for e in discover(cfg.data).folder.entries}
    assert labels == {"IMG_1": None, "img_1": tmp_path / "img_1.xml"}
