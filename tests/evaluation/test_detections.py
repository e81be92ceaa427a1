"""COCO json to a study: what pycocotools reads is read alike, faults are named."""

import json
import time

import numpy as np
import pytest

from tests.report.coco_files import marked, twelve
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.inputs.detections import read
from tqgd_jax.report.result_files import coco_detections, coco_ground_truth, json_bytes
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image, Lesion, Place

CATEGORIES = [{"id": 7, "name": "stent"}, {"id": 3, "name": "calcium"}]


def picture(key, **more):
    return {"id": key, "file_name": f"{key}.png", "height": 60, "width": 80, **more}


def box(key, image, bbox, category=3, **more):
    return {
        "id": key,
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "iscrowd": 0,
        **more,
    }


def det(image, bbox, score, category=3):
    return {
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "score": score,
    }


def truth(images=None, annotations=None, categories=None, **more):
    return {
        "images": [picture(9), picture(2)] if images is None else images,
        "annotations": [box(1, 9, [1, 2, 3, 4])]
        if annotations is None
        else annotations,
        "categories": CATEGORIES if categories is None else categories,
        **more,
    }


@pytest.fixture
def files(tmp_path):
    """Writes both files and reads them."""

    def write_and_read(document=None, dets=(), **options):
        gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
        for path, value in (
            (gt, truth() if document is None else document),
            (dt, dets),
        ):
            text = value if isinstance(value, str) else json.dumps(value)
            path.write_text(text, "utf-8")
        return read(gt, dt, **options)

    return write_and_read


def test_boxes_become_corners_and_sparse_categories_indices_by_id(files):
    dets = [det(9, [10, 20, 0.5, 0], 0.25, 7), det(2, [0, 0, 5, 6], -3)]
    study = files(truth(annotations=[box(1, 9, [1, 2, 3, 4.5], 7)]), dets)
    assert study.classes == ("calcium", "stent")
    assert [i.name for i in study.images] == ["2.png", "9.png"]
    assert study.sizes == ((60, 80), (60, 80))
    two, nine = study.images
    assert nine.boxes.tolist() == [[1, 2, 4, 6.5]]
    assert nine.labels.tolist() == [1]
    assert nine.det_boxes.tolist() == [[10, 20, 10.5, 20]]
    assert nine.det_labels.tolist() == [1]
    assert two.boxes.shape == (0, 4)
    assert two.det_scores.tolist() == [-3]
    assert two.counting.tolist() == []
    assert study.thresholds == (None, None)
    assert study.source == "none"


def test_equal_scores_keep_the_order_of_the_file(files):
    dets = [det(9, [x, 0, 5, 5], 0.5) for x in (7, 3, 5)]
    dets.insert(1, det(2, [1, 1, 1, 1], 0.5))
    study = files(None, dets)
    assert study.images[1].det_boxes[:, 0].tolist() == [7, 3, 5]


def test_a_threshold_is_given_for_all(files):
    study = files(threshold=0.4)
    assert study.thresholds == (0.4, 0.4)
    assert study.source == "given"


def test_detections_may_be_an_object_with_annotations_or_missing(files, tmp_path):
    study = files(None, {"annotations": [det(9, [0, 0, 2, 2], 1)]})
    assert len(study.images[1].det_boxes) == 1
    assert all(len(i.det_boxes) == 0 for i in files(None, []).images)
    nothing = read(tmp_path / "gt.json", None)
    assert all(len(i.det_boxes) == 0 for i in nothing.images)


def test_a_byte_order_mark_is_no_fault(files, tmp_path):
    (tmp_path / "p.json").write_text("\ufeff" + json.dumps(truth()), "utf-8")
    assert len(read(tmp_path / "p.json", None).images) == 2


def test_places_and_lesions_are_read(files):
    where = {
        "patient": 12,
        "scan": "s",
        "scanner": "V1",
        "z": 4,
        "spacing": [3, 0.5, 0.5],
        "crop": [0, 10, 80, 70],
        "fold": 2,
    }
    document = truth(
        images=[picture(1, **where), picture(2, scan="t", z=None)],
        annotations=[
            box(1, 1, [1, 2, 3, 4], artery="LAD", lesion=2, hu_max=400, area_px=9),
            box(2, 2, [1, 2, 3, 4], area_mm2=2.25),
        ],
    )
    one, two = files(document).images
    spacing, crop = (3.0, 0.5, 0.5), (0, 10, 80, 70)
    assert one.place == Place("12", "s", 4, spacing, crop, "V1", "2")
    assert two.place == Place("t", "t")  # its scan stands for the patient
    assert one.lesions == (Lesion("LAD", 2, 400, 9, 0.0),)
    assert two.lesions == (Lesion(area_mm2=2.25),)
    assert files().images[1].lesions == ()


def test_crowds_and_ignored_boxes_do_not_count_and_need_no_area(files):
    document = truth(
        annotations=[
            box(1, 9, [0, 0, 50, 50], iscrowd=1),
            box(2, 9, [1, 2, 0, 4], ignore=1),
            box(3, 9, [1, 2, 3, 4], ignore=0),
        ]
    )
    study = files(document)
    assert study.images[1].counting.tolist() == [False, False, True]
    assert study.images[1].crowd.tolist() == [True, False, False]
    assert "1 annotations have 'ignore' without 'iscrowd'" in study.note


def test_an_area_is_that_of_the_file_or_width_times_height(files):
    areas = [{"area": 80}, {}, {"area": None}, {"area": 0}, {"area": 1e14}]
    rows = [box(k, 9, [1, 2, 3, 4.5], **area) for k, area in enumerate(areas, 1)]
    study = files(truth(annotations=rows))
    assert study.images[1].coco_area.tolist() == [80, 13.5, 13.5, 0, 1e14]
    assert "area" not in study.note


def test_the_note_says_what_pycocotools_reads_otherwise(files):
    assert "id 0" in files(truth(annotations=[box(0, 9, [1, 2, 10, 10])])).note
    assert "pycocotools" not in files().note


def test_the_note_says_when_boxes_look_like_another_format(files):
    corners = [det(9, [70, 50, 78, 58], 0.5), det(9, [1, 1, 3, 3], 0.5)]
    assert "1 of 2 detections reach beyond" in files(None, corners).note
    rounded = [det(9, [70, 50, 10.9, 10.9], 0.5)]
    assert "beyond" not in files(None, rounded).note
    fractions = [det(9, [0.1, 0.2, 0.3, 0.1], 0.5)]
    assert "no fraction" in files(None, fractions).note


def test_images_without_patient_are_counted_in_the_note(files):
    document = truth(images=[picture(1), picture(9, patient="a")])
    assert "1 of 2 images name no patient" in files(document).note
    document = truth(images=[picture(1, scan="b"), picture(9, patient="a")])
    assert "patient" not in files(document).note


def test_a_stamp_travels_with_the_ground_truth(files):
    info = {"stamp": "leaky", "part": "fold 1 of 5", "positive_only": True}
    study = files(truth(info=info))
    assert (study.stamp, study.part) == ("leaky", "fold 1 of 5")
    assert study.positive_only
    assert not files(truth(info="text")).positive_only


def test_patients_and_thresholds_come_from_a_csv(files, tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("image,patient,threshold\n9,a,0.5\n2.png,b,0.25\n")
    study = files(patients=table)
    assert [i.patient for i in study.images] == ["b", "a"]
    assert study.thresholds == (0.25, 0.5)
    assert study.source == "given"
    with pytest.raises(ValueError, match=r"p.csv: has thresholds, and 0.3 is given"):
        files(patients=table, threshold=0.3)


SLICE = {"scan": "s", "z": 3}
FAULTS = {
    "truncated": (
        json.dumps(truth())[:40],
        [],
        r"gt.json:1:\d+: not json.*the file ends",
    ),
    "not json": ("images: []", [], r"gt.json:1:1: not json: Expecting value"),
    "swapped": ([], [], "this is a list; are ground truth and detections swapped"),
    "no images": ({"annotations": []}, [], "no 'images'.*has 'annotations'"),
    "images is no list": (truth(images={}), [], "'images' must be a list.*got {}"),
    "zero images": (truth(images=[]), [], "images is empty"),
    "no categories": (truth(categories=[]), [], "categories is empty"),
    "image without id": (truth([{"file_name": "a"}]), [], r"images\[0\]: no 'id'"),
    "image is no object": (truth([3]), [], r"images\[0\]: must be an object"),
    "id is a number with point": (truth([{"id": 1.5}]), [], "whole number or a text"),
    "ids of two kinds": (truth([picture(1), picture("b")]), [], "another kind than 1"),
    "image twice": (
        truth([picture(9), picture(2), picture(9)]),
        [],
        r"images\[2\] \(id 9\): entry 0 has the id 9 already",
    ),
    "file name twice": (
        truth([picture(9), picture(2, file_name="9.png")]),
        [],
        r"image 2 has the file_name '9.png' too",
    ),
    "slice twice": (
        truth([picture(9, **SLICE), picture(2, **SLICE)]),
        [],
        "2.png and 9.png are both slice 3 of the scan 's'",
    ),
    "size": (truth([picture(9, width=-4)]), [], "positive whole numbers.*60 and -4"),
    "z": (truth([picture(9, z="top")]), [], "z must be a whole number, got 'top'"),
    "spacing": (truth([picture(9, spacing=[3, 0])]), [], r"three positive.*\[3, 0\]"),
    "crop": (truth([picture(9, crop=[5, 5, 5, 9])]), [], "x0 < x1"),
    "patient": (truth([picture(9, patient=["a"])]), [], "patient must be a text"),
    "class twice": (
        truth(categories=[{"id": 3, "name": "a"}, {"id": 4, "name": "a"}]),
        [],
        "two are called 'a'",
    ),
    "annotation of no image": (
        truth(annotations=[box(5, 4, [0, 0, 1, 1])]),
        [],
        r"annotations\[0\] \(id 5\): image_id 4 is none.*which are 2, 9",
    ),
    "annotation twice": (
        truth(annotations=[box(5, 9, [0, 0, 1, 1]), box(5, 9, [0, 0, 2, 1])]),
        [],
        "entry 0 has the id 5 already",
    ),
    "annotation without box": (
        truth(annotations=[{"id": 1, "image_id": 9, "category_id": 3}]),
        [],
        r"annotations\[0\] \(id 1\): no 'bbox'; it has 'id'",
    ),
    "box without area": (
        truth(annotations=[box(5, 9, [4, 4, 0, 3])]),
        [],
        r"\(id 5\): bbox \[4, 4, 0, 3\] has no area.*\"iscrowd\": 1",
    ),
    "hu": (
        truth(annotations=[box(5, 9, [0, 0, 1, 1], hu_max="x")]),
        [],
        "hu_max must be a whole number, got 'x'",
    ),
    "iscrowd": (
        truth(annotations=[box(5, 9, [0, 0, 1, 1], iscrowd="no")]),
        [],
        r"\(id 5\): iscrowd must be 0 or 1, got 'no'",
    ),
    "ignore": (
        truth(annotations=[box(5, 9, [0, 0, 1, 1], ignore=2)]),
        [],
        r"\(id 5\): ignore must be 0 or 1, got 2",
    ),
    **{
        f"area {area!r:.9}": (
            truth(
                annotations=[
                    box(4, 9, [0, 0, 1, 1]),
                    box(5, 9, [0, 0, 1, 1], area=area),
                ]
            ),
            [],
            r"annotations\[1\] \(id 5\): area .* from 0 to 1e\+14; leave it out",
        )
        for area in (-1, "12", True, [4], float("nan"), float("inf"), 2e14, 10**400)
    },
    "detections as object": (None, {"images": []}, "dt.json: detections are a list"),
    "detection of no image": (
        None,
        [det(9, [0, 0, 1, 1], 1), det(5, [0, 0, 1, 1], 1)],
        r"dt.json: \[1\]: image_id 5 is none of the ground truth's",
    ),
    "detection of no category": (
        None,
        [det(9, [0, 0, 1, 1], 1, category=0)],
        "category_id 0 is none of the ground truth's, which are 3, 7",
    ),
    "unhashable image": (None, [det([9], [0, 0, 1, 1], 1)], r"image_id \[9\] is none"),
    "no score": (
        None,
        [{"image_id": 9, "category_id": 3, "bbox": [0, 0, 1, 1]}],
        r"\[0\]: no 'score'",
    ),
    "score as text": (None, [det(9, [0, 0, 1, 1], "0.5")], "finite number, got '0.5'"),
    "score NaN": (
        None,
        [det(9, [0, 0, 1, 1], 0.5), det(9, [0, 0, 1, 1], float("nan"))],
        r"\[1\]: score must be a finite number, got nan",
    ),
    "box infinite": (None, [det(9, [0, 0, 1e999, 1], 1)], "got .*inf"),
    "box beyond float": (None, [det(9, [0, 0, 10**400, 1], 1)], "four numbers"),
    "box too far": (None, [det(9, [0, 1e308, 1, 1], 1)], "no place in an image.*1e.07"),
    "z too large": (truth([picture(9, z=10**30)]), [], "z must be a whole number"),
    "box of three": (
        None,
        [det(9, [0, 0, 1, 1], 1), det(9, [0, 0, 1], 1)],
        r"\[1\]: bbox must be four numbers .*got \[0, 0, 1\]",
    ),
    "all boxes of five": (None, [det(9, [0, 0, 1, 1, 1], 1)], "must be four numbers"),
    "box of text": (None, [det(9, ["0", "0", "1", "1"], 1)], "must be four numbers"),
    "box null": (None, [det(9, None, 1)], "got None"),
    "negative width": (None, [det(9, [5, 5, -1, 2], 1)], "negative width or height"),
    "detection is no object": (None, [[9, 3]], r"dt.json: \[0\]: must be an object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_in_one_line(files, fault):
    document, dets, words = FAULTS[fault]
    with pytest.raises(ValueError, match=words) as error:
        files(document, dets)
    assert "\n" not in str(error.value)
    assert ".json" in str(error.value)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone.json: cannot be read: No such file"):
        read(tmp_path / "gone.json", None)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=r"b.json: not UTF-8 at byte 0"):
        read(tmp_path / "b.json", None)
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"deep.json: nested too deeply"):
        read(tmp_path / "deep.json", None)


@pytest.mark.parametrize("seed", range(5))
def test_the_twelve_figures_of_pycocotools_come_from_the_same_files(files, seed):
    # Sparse ids in no order.
    keys = np.random.default_rng(seed).permutation(np.arange(100, 190, 3)).tolist()
    document, dets = marked(seed, keys)
    study = files(document, dets)
    ours = Evaluator(study.images, study.classes, None).coco()
    for name, figure in twelve(document, dets).items():
        assert figure is not None
        assert ours[name] == pytest.approx(figure, abs=1e-6), name


def test_sides_of_decimals_reach_sizes_and_ious_as_in_pycocotools(files):
    # Half of the boxes have exactly 32^2 px, which is small and medium; of the others
    # some have exactly the IoU of a threshold.
    rng = np.random.default_rng(0)
    annotations, dets = [], []
    for key in rng.choice([2, 9], 200).tolist():
        made = rng.uniform((0, 0, 2, 2), (900, 900, 6, 6)).round(1)
        made[2:] = made[2:] if rng.random() < 0.5 else 32
        annotations.append(box(len(annotations) + 1, key, made.tolist()))
        for _ in range(2):
            moved = (made + rng.choice([0, 0.1, 0.5, 1], 4)).round(1)
            moved[2:] = moved[2:] if rng.random() < 0.5 else 32
            dets.append(det(key, moved.tolist(), rng.random()))
    document = truth(annotations=annotations)
    ours = Evaluator(files(document, dets).images, "ab", None).coco()
    expected = {k: v for k, v in twelve(document, dets).items() if v is not None}
    assert len(expected) == 10  # all but those of large boxes
    assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_what_our_own_evaluation_writes_is_read_back(tmp_path):
    spacing, crop = (3.0, 0.5, 0.25), (4, 5, 90, 99)
    boxes = np.array([[1, 2, 30.5, 9], [0, 0, 50, 50]], np.float32).astype(np.float64)
    one = Image(
        "p_z003",
        boxes,
        np.array([1, 0]),
        boxes[:1] + 0.25,
        np.array([0.3]),
        np.array([1]),
        ignore=np.array([False, True]),
        place=Place("p", "s", 3, spacing, crop, "V1", "2"),
        lesions=(Lesion("LAD", 2, 412, 9, 2.25), Lesion()),
        iscrowd=np.array([True, False]),
        area=np.array([150.25, 2500]),
    )
    none, no = np.zeros((0, 4)), np.zeros(0, int)
    two = Image("b", none, no, none, np.zeros(0), no, place=Place("q"))
    written = EvaluationSet(
        images=(one, two),
        classes=("calcium", "stent"),
        thresholds=(0.5, 0.5),
        sizes=((94, 86), (60, 80)),
        stamp="leaky",
        part="fold 2 of 5",
        positive_only=True,
    )
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    gt.write_bytes(json_bytes(coco_ground_truth(written)))
    dt.write_bytes(json_bytes(coco_detections(written)))
    again = read(gt, dt, threshold=0.5)
    assert "1 annotations have 'ignore' without 'iscrowd'" in again.note
    other = {"images": (), "title": "", "source": "none", "note": ""}
    assert again._replace(**other) == written._replace(images=())
    for ours, theirs in zip(again.images, written.images, strict=True):
        assert (ours.name, ours.place) == (theirs.name, theirs.place)
        assert ours.lesions == theirs.lesions
        assert ours.counting.tolist() == theirs.counting.tolist()
        assert ours.crowd.tolist() == theirs.crowd.tolist()
        assert ours.coco_area.tolist() == theirs.coco_area.tolist()
        for name in ("boxes", "labels", "det_boxes", "det_scores", "det_labels"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_sixty_thousand_detections_take_no_time(tmp_path):
    # A tenth of the largest set we promise; 600,000 took 4.7 s and 0.4 GiB.
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    gt.write_text(json.dumps(truth()))
    dt.write_text(json.dumps([det(9, [1.5, 2.5, 3.5, 4.5], 0.123)] * 60_000))
    start = time.process_time()
    study = read(gt, dt)
    assert time.process_time() - start < 4
    assert len(study.images[1].det_boxes) == 60_000
