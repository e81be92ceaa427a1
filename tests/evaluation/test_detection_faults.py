"""What is wrong with COCO json is named in one line, with file and entry."""

import json

import pytest

from tests.evaluation.coco_objects import box, det, picture, reader, truth
from tqgd_jax.evaluation.inputs.detections import read


@pytest.fixture
def files(tmp_path):
    return reader(tmp_path)


SLICE = {"scan": "s", "z": 3}


def unit(**more):
    """Ground truth of one box with further keys."""
    return truth(annotations=[box(5, 9, [0, 0, 1, 1], **more)])


TRUTH_FAULTS = {
    "truncated": (json.dumps(truth())[:40], r"gt.json:1:\d+: not json.*the file ends"),
    "not json": ("images: []", r"gt.json:1:1: not json: Expecting value"),
    "swapped": ([], "this is a list; are ground truth and detections swapped"),
    "no images": ({"annotations": []}, "no 'images'.*has 'annotations'"),
    "images is no list": (truth(images={}), "'images' must be a list.*got {}"),
    "zero images": (truth(images=[]), "images is empty"),
    "no categories": (truth(categories=[]), "categories is empty"),
    "image without id": (truth([{"file_name": "a"}]), r"images\[0\]: no 'id'"),
    "image is no object": (truth([3]), r"images\[0\]: must be an object"),
    "id is a number with point": (truth([{"id": 1.5}]), "whole number or a text"),
    "ids of two kinds": (truth([picture(1), picture("b")]), "another kind than 1"),
    "image twice": (
        truth([picture(9), picture(2), picture(9)]),
        r"images\[2\] \(id 9\) .9\.png.: images\[0\] .9\.png. has the id 9 already",
    ),
    "file name twice": (
        truth([picture(9), picture(2, file_name="9.png")]),
        r"image 2 has the file_name '9.png' too",
    ),
    "slice twice": (
        truth([picture(9, **SLICE), picture(2, **SLICE)]),
        "2.png and 9.png are both slice 3 of the scan 's'",
    ),
    "size": (truth([picture(9, width=-4)]), "positive whole numbers.*60 and -4"),
    "z": (truth([picture(9, z="top")]), "z must be a whole number, got 'top'"),
    "z too large": (truth([picture(9, z=10**30)]), "z must be a whole number"),
    "spacing": (truth([picture(9, spacing=[3, 0])]), r"three positive.*\[3, 0\]"),
    "crop": (truth([picture(9, crop=[5, 5, 5, 9])]), "x0 < x1"),
    "patient": (truth([picture(9, patient=["a"])]), "patient must be a text"),
    "class twice": (
        truth(categories=[{"id": 3, "name": "a"}, {"id": 4, "name": "a"}]),
        "two are called 'a'",
    ),
    "annotation of no image": (
        truth(annotations=[box(5, 4, [0, 0, 1, 1])]),
        r"annotations\[0\] \(id 5\): image_id 4 is none.*which are 2, 9",
    ),
    "annotation twice": (
        truth(annotations=[box(5, 9, [0, 0, 1, 1]), box(5, 9, [0, 0, 2, 1])]),
        r"annotations\[0\] has the id 5 already",
    ),
    "annotation without box": (
        truth(annotations=[{"id": 1, "image_id": 9, "category_id": 3}]),
        r"annotations\[0\] \(id 1\): no 'bbox'; it has 'id'",
    ),
    "box without area": (
        truth(annotations=[box(5, 9, [4, 4, 0, 3])]),
        r"\(id 5\): bbox \[4, 4, 0, 3\] has no area.*\"iscrowd\": 1",
    ),
    "hu": (unit(hu_max="x"), "hu_max must be a whole number, got 'x'"),
    "iscrowd": (unit(iscrowd="no"), r"\(id 5\): iscrowd must be 0 or 1, got 'no'"),
    "ignore": (unit(ignore=2), r"\(id 5\): ignore must be 0 or 1, got 2"),
    **{
        f"area {area!r:.9}": (
            truth(
                annotations=[
                    box(4, 9, [0, 0, 1, 1]),
                    box(5, 9, [0, 0, 1, 1], area=area),
                ]
            ),
            r"annotations\[1\] \(id 5\): area .* from 0 to 1e\+14; leave it out",
        )
        for area in (-1, "12", True, [4], float("nan"), float("inf"), 2e14, 10**400)
    },
}
FINE = det(9, [0, 0, 1, 1], 0.5)
DETECTION_FAULTS = {
    "detections as object": ({"images": []}, "dt.json: detections are a list"),
    "detection of no image": (
        [FINE, FINE | {"image_id": 5}],
        r"dt.json: \[1\]: image_id 5 is none of the ground truth's",
    ),
    "detection of no category": (
        [FINE | {"category_id": 0}],
        "category_id 0 is none of the ground truth's, which are 3, 7",
    ),
    "unhashable image": ([FINE | {"image_id": [9]}], r"image_id \[9\] is none"),
    "no score": (
        [{"image_id": 9, "category_id": 3, "bbox": [0, 0, 1, 1]}],
        r"\[0\]: no 'score'",
    ),
    "score as text": ([FINE | {"score": "0.5"}], "finite number, got '0.5'"),
    "score NaN": (
        [FINE, FINE | {"score": float("nan")}],
        r"\[1\]: score must be a finite number, got nan",
    ),
    "box infinite": ([FINE | {"bbox": [0, 0, 1e999, 1]}], "got .*inf"),
    "box beyond float": ([FINE | {"bbox": [0, 0, 10**400, 1]}], "four numbers"),
    "box too far": (
        [FINE | {"bbox": [0, 1e308, 1, 1]}],
        "no place in an image.*1e.07",
    ),
    "box of three": (
        [FINE, FINE | {"bbox": [0, 0, 1]}],
        r"\[1\]: bbox must be four numbers .*got \[0, 0, 1\]",
    ),
    "all boxes of five": ([FINE | {"bbox": [0, 0, 1, 1, 1]}], "must be four numbers"),
    "box of text": ([FINE | {"bbox": ["0", "0", "1", "1"]}], "must be four numbers"),
    "box null": ([FINE | {"bbox": None}], "got None"),
    "negative width": ([FINE | {"bbox": [5, 5, -1, 2]}], "negative width or height"),
    "detection is no object": ([[9, 3]], r"dt.json: \[0\]: must be an object"),
}


@pytest.mark.parametrize("fault", [*TRUTH_FAULTS, *DETECTION_FAULTS])
def test_a_fault_is_named_in_one_line(files, fault):
    if fault in TRUTH_FAULTS:
        (document, words), dets = TRUTH_FAULTS[fault], []
    else:
        document, (dets, words) = None, DETECTION_FAULTS[fault]
    with pytest.raises(ValueError, match=words) as error:
        files(document, dets)
    assert "\n" not in str(error.value)
    assert ".json" in str(error.value)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone.json: cannot be read \(No such file"):
        read(tmp_path / "gone.json", None)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=r"b.json: not UTF-8 but UTF-16"):
        read(tmp_path / "b.json", None)
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"deep.json: nested too deeply"):
        read(tmp_path / "deep.json", None)
    (tmp_path / "long.json").write_text("9" * 5000)
    with pytest.raises(ValueError, match=r"long.json: .*digits"):
        read(tmp_path / "long.json", None)
