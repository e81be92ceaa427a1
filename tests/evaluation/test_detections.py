"""COCO json to an evaluation set: what pycocotools reads is read alike."""

import json
import time

import numpy as np
import pytest

from tests.evaluation.coco_objects import box, det, picture, reader, truth
from tests.report.coco_files import marked, twelve
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.inputs.detections import read
from tqgd_jax.report.result_files import coco_detections, coco_ground_truth, json_bytes
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image, Lesion, Place


@pytest.fixture
def files(tmp_path):
    return reader(tmp_path)


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
    assert (study.disclaimer, study.one_fold) == ("leaky", "fold 1 of 5")
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
        disclaimer="leaky",
        one_fold="fold 2 of 5",
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
