"""A lesion of one pixel survives the decimals that each tool writes."""

import numpy as np
import pytest

from tqgd_jax.data.discover.scan_folder import ScanFiles, ScanFolder
from tqgd_jax.data.read.scan_labels import _boxes
from tqgd_jax.data.read.validation import check
from tqgd_jax.io.coco import read_coco
from tqgd_jax.io.voc_yolo import read_voc, read_yolo
from tqgd_jax.structures.annotation import Annotation

SIDE = 512
KINDS = {"cac": 0}


def yolo(folder, x, y, decimals, side=1):
    """LabelImg, CVAT and Ultralytics write 6 decimals, Roboflow more."""
    numbers = [(x + side / 2) / SIDE, (y + side / 2) / SIDE, side / SIDE, side / SIDE]
    file = folder / "a.txt"
    file.write_text("0 " + " ".join(f"{v:.{decimals}f}" for v in numbers))
    return read_yolo(file, ("cac",))


def voc(folder, x, y, decimals, side=1):
    """LabelImg writes whole numbers, CVAT 2 decimals."""
    corners = {"xmin": x, "ymin": y, "xmax": x + side, "ymax": y + side}
    tags = "".join(f"<{k}>{v:.{decimals}f}</{k}>" for k, v in corners.items())
    file = folder / "a.xml"
    file.write_text(
        f"<annotation><object><name>cac</name><bndbox>{tags}</bndbox></object></annotation>"
    )
    return read_voc(file)


def in_coco(folder, x, y, decimals, side=1):
    """CVAT writes 2 decimals, Roboflow 3, Label Studio all it has."""
    box = ", ".join(f"{v:.{decimals}f}" for v in (x, y, side, side))
    file = folder / "a.json"
    file.write_text(
        '{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": '
        '"cac"}], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": '
        f"[{box}]}}]}}"
    )
    return read_coco(file)["a.png"]


def csv(folder, x, y, decimals, side=1):
    corners = ",".join(f"{v:.{decimals}f}" for v in (x, y, x + side, y + side))
    file = folder / "a.csv"
    file.write_text(f"scan,z,x0,y0,x1,y1\np,0,{corners}\n")
    scans = (ScanFiles("p", "p", folder),)
    (label,) = _boxes(
        file, ScanFolder(folder, "masks", scans, (), ()), ("cac",)
    ).values()
    return label


@pytest.mark.parametrize(
    ("write", "decimals"),
    [
        *((yolo, decimals) for decimals in (4, 6, 16)),
        *((voc, decimals) for decimals in (0, 2)),
        *((in_coco, decimals) for decimals in (2, 3, 15)),
        *((csv, decimals) for decimals in (2, 3)),
    ],
)
def test_a_box_of_one_pixel_is_kept_wherever_it_lies(tmp_path, write, decimals):
    rng = np.random.default_rng(decimals)
    for x, y in [(0, 0), (SIDE - 1, SIDE - 1), *rng.integers(1, SIDE - 1, (40, 2))]:
        label = write(tmp_path, int(x), int(y), decimals)
        kept = check(label, (SIDE, SIDE), KINDS, "error")
        assert kept.problems == []
        # a unit of the last decimal of a fraction of 512 px
        apart = SIDE * 10.0**-decimals if write is yolo else 1e-9
        np.testing.assert_allclose(
            kept.boxes, [[x, y, x + 1, y + 1]], atol=apart + 1e-4
        )


@pytest.mark.parametrize(
    ("write", "decimals"), [(yolo, 6), (voc, 2), (in_coco, 2), (csv, 2)]
)
def test_a_box_that_is_smaller_is_a_problem_still(tmp_path, write, decimals):
    label = write(tmp_path, 10, 20, decimals, side=0.9)
    kinds = [p.kind for p in check(label, (SIDE, SIDE), KINDS, "error").problems]
    assert kinds == ["sub_pixel"]


def test_corners_between_pixels_lose_no_side_to_their_decimals(tmp_path):
    # 10.335 and 11.335 with two decimals: 10.34 and 11.33
    label = Annotation(
        tmp_path,
        np.array([[10.34, 20.0, 11.33, 22.0]]),
        ("cac",),
        (1,),
        rounding=0.01,
    )
    assert check(label, (SIDE, SIDE), KINDS, "error").problems == []
    exact = Annotation(label.file, label.boxes, label.names, label.lines)
    assert len(check(exact, (SIDE, SIDE), KINDS, "error").problems) == 1
