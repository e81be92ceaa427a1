"""A result as a folder: complete, read back, made again."""

import csv
import json
import shutil

import numpy as np
import pytest

from tests.report.coco_files import twelve, written
from tests.report.studies import nothing, study, undrawn
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder, verification
from tqgd_jax.report.html.page_sections import drawn_from
from tqgd_jax.report.text.terminal import summary
from tqgd_jax.structures.image import Lesion

FEW = EvaluationSettings(bootstraps=50)
FILES = {
    *("results.json", "report.html", "lesions.csv", "slices.csv", "patients.csv"),
    *("ground_truth.json", "detections.json", "precision_recall.png", "overlays.png"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    judged, pixels = study()
    results = result_folder.make(folder, judged, FEW, pixels=pixels, window=(-200, 500))
    return folder, judged, results


def rows(folder, name):
    with (folder / name).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_a_result_holds_every_file_and_nothing_half_written(made):
    folder, _, actual = made
    assert {f.name for f in folder.iterdir()} == FILES
    assert json.loads((folder / "results.json").read_text("utf-8")) == actual


def test_what_is_read_back_is_what_was_judged(made):
    folder, judged, _ = made
    again, _ = result_folder.read(folder)
    for name in ("classes", "thresholds", "sizes", "title", "source", "one_fold"):
        assert getattr(again, name) == getattr(judged, name)
    for a, b in zip(again.images, judged.images, strict=True):
        assert (a.name, a.place, a.lesions) == (b.name, b.place, b.lesions)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        order = np.argsort(-b.det_scores, kind="stable")
        np.testing.assert_array_equal(a.det_boxes, b.det_boxes[order])
        np.testing.assert_array_equal(a.det_scores, b.det_scores[order])


def test_every_number_is_made_again_from_the_tables(made):
    count, wrong = verification.again(made[0])
    assert wrong == []
    assert count > 1000


def test_lesions_of_which_only_the_area_is_known_come_back(tmp_path):
    judged, _ = study(patients=2, slices=2)
    images = tuple(
        i._replace(lesions=tuple(Lesion(area_px=les.area_px) for les in i.lesions))
        for i in judged.images
    )
    result_folder.make(tmp_path, judged._replace(images=images), FEW)
    again, _ = result_folder.read(tmp_path)
    assert [i.lesions for i in again.images] == [i.lesions for i in images]
    assert verification.again(tmp_path)[1] == []


@pytest.mark.parametrize(
    ("name", "old", "new", "times", "message"),
    [
        ("slices.csv", ",0.4,", ",0.9,", -1, "point.iou0.5"),
        ("lesions.csv", ",LAD,", ",RCA,", 1, "artery.RCA"),
        ("patients.csv", "orcascore,standard,", "orcascore,standard,9", 4, "calcium"),
        ("results.json", '"AP50": 0.', '"AP50": 1.', 1, "AP50"),
        ("report.html", 'data-value="0.', 'data-value="1.', 1, "report.html"),
        ("report.html", "<td>missed</td>", "<td>found</td>", 1, "table of boxes"),
        ("report.html", ">P1</th><td", ">P9</th><td", 1, "table of"),
        ("report.html", " missed,", " missed, 7 more,", -1, "slice P"),
        ("lesions.csv", ",missed,", ",found,", 1, "outcome"),
        ("slices.csv", ",0.4,2,", ",0.4,3,", 1, "slices.csv: row"),
        ("patients.csv", ",0,0,", ",1,0,", 1, "patients.csv: row"),
    ],
)
def test_a_changed_number_is_found(made, tmp_path, name, old, new, times, message):
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    text = (folder / name).read_text("utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, times), "utf-8")
    _, wrong = verification.again(folder)
    assert any(message in line for line in wrong)


def test_nothing_of_an_earlier_result_stays_beside_a_new_one(made, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    result_folder.make(folder, nothing(), FEW)  # without pixels: no overlays
    assert {f.name for f in folder.iterdir()} == FILES - {"overlays.png"}
    assert "overlays.png" not in (folder / "report.html").read_text("utf-8")


def test_lesions_csv_tells_boxes_detections_and_what_became_of_them(made):
    folder, judged, actual = made
    table = rows(folder, "lesions.csv")
    boxes = [r for r in table if r["kind"] == "box"]
    dets = [r for r in table if r["kind"] == "detection"]
    assert len(boxes) == actual["input"]["boxes"] == 3 * 2 * 2
    assert len(dets) == sum(len(i.det_boxes) for i in judged.images)
    assert {r["outcome"] for r in boxes} <= {"found", "missed"}
    figures = actual["protocols"]["clinical"]["figures"]
    counts = {
        "hit": figures["point.iou0.5.tp"]["value"],
        "false alarm": figures["point.iou0.5.fp"]["value"],
    }
    for outcome, count in counts.items():
        assert sum(r["outcome"] == outcome for r in dets) == count
    missed = sum(r["outcome"] == "missed" for r in boxes)
    assert missed == figures["point.iou0.5.fn"]["value"]
    for r in dets:
        assert (float(r["score"]) >= 0.4) == (r["above"] == "1")
        if r["outcome"] == "hit":
            assert table[int(r["matched"])]["image"] == r["image"]
    # The crop begins at (10, 20) of the slice.
    assert float(boxes[0]["slice_x0"]) == float(boxes[0]["x0"]) + 10
    assert float(boxes[0]["slice_y1"]) == float(boxes[0]["y1"]) + 20
    # The far corner of every slice is noise below 121 HU.
    assert max(int(r["hu_max"]) for r in dets if float(r["x0"]) == 60.5) <= 120


def test_a_labelled_box_alone_gives_its_patients_reference_score(made):
    folder, judged, _ = made
    table = rows(folder, "patients.csv")
    inplane = [r for r in table if r["convention"] == "inplane8"]
    assert [r["patient"] for r in inplane] == ["P0", "P1", "P2", "P3"]
    for r in inplane:
        # By hand: 0.25 mm2 a pixel, weight by the lesion's one value, at least 4 px.
        expected = sum(
            lesion.area_mm2 * (1 + sum(lesion.hu_max >= t for t in (200, 300, 400)))
            for image in judged.images
            for lesion in image.lesions
            if image.patient == r["patient"] and lesion.area_px >= 4
        )
        assert float(r["reference_agatston"]) == pytest.approx(expected)
        assert r["area_difference_px"] == "0"
    assert float(inplane[0]["reference_agatston"]) == 0


def test_both_protocols_stand_side_by_side(made):
    actual = made[2]
    clinical, paper = (actual["protocols"][p] for p in ("clinical", "paper"))
    assert (clinical["images"], paper["images"]) == (12, 6)
    assert (clinical["patients"], paper["patients"]) == (4, 3)
    key = "point.iou0.5.precision"
    assert clinical["figures"][key]["value"] < paper["figures"][key]["value"]
    assert actual["headline"]["protocol"] == "clinical"
    text = summary(actual)
    assert len(text.splitlines()) <= 28
    assert max(map(len, text.splitlines())) <= 88
    assert "clinical: all slices" in text
    assert "threshold 0.400, frozen, chosen on validation" in text


def test_pycocotools_agrees_on_the_written_pair(made):
    folder, _, actual = made
    assert actual["coco"] == pytest.approx(twelve(*written(folder)), abs=1e-6)


def test_an_empty_set_has_a_reason_for_every_missing_number(tmp_path):
    actual = result_folder.make(tmp_path, nothing(), FEW)
    figures = actual["protocols"]["clinical"]["figures"]
    assert figures["ap.yolo.0.5"]["value"] is None
    for figure in figures.values():
        assert figure["value"] is not None or figure["reason"]
    assert actual["protocols"]["paper"] == {"reason": "no image has a labelled box"}
    assert "reason" in actual["calcium"]
    assert verification.again(tmp_path)[1] == []
    assert "OPTIMISTIC" in summary(actual)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("results.json", lambda text: text[:100], "not json"),
        ("results.json", lambda _: "[" * 200_000, "results.json: nested too deeply"),
        ("results.json", lambda text: text.replace("results/1", "results/0"), "schema"),
        ("results.json", None, "no results.json"),
        ("lesions.csv", lambda text: text[: len(text) - 30], r"csv:\d+: not"),
        ("lesions.csv", lambda text: text.replace("kind", "kinds", 1), "columns"),
        ("slices.csv", None, "slices.csv"),
    ],
)
def test_a_spoilt_result_is_refused_with_the_way_out(
    made, tmp_path, name, spoil, message
):
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    if spoil is None:
        (folder / name).unlink()
    else:
        text = (folder / name).read_text("utf-8")
        (folder / name).write_text(spoil(text), "utf-8")
    with pytest.raises(ValueError, match=message):
        result_folder.read(folder)


def test_segmentations_are_judged_at_two_probabilities(tmp_path):
    judged, _ = study(threshold=0.0)
    # The operating point has the first detection of every image alone.
    point = tuple(
        i._replace(
            det_boxes=i.det_boxes[:1],
            det_scores=i.det_scores[:1],
            det_labels=i.det_labels[:1],
        )
        for i in judged.images
    )
    judged = judged._replace(point=point, source="given")
    actual = result_folder.make(tmp_path, judged, FEW)
    figures = actual["protocols"]["clinical"]["figures"]
    counted = figures["point.iou0.5.tp"]["value"] + figures["point.iou0.5.fp"]["value"]
    assert counted == 12
    assert actual["input"]["detections"] > 12
    with undrawn():
        whole = result_folder.make(tmp_path / "b", judged._replace(point=()), FEW)
    same = whole["protocols"]["clinical"]["figures"]
    assert figures["ap.yolo.0.5"] == same["ap.yolo.0.5"]
    assert same["point.iou0.5.tp"]["value"] > figures["point.iou0.5.tp"]["value"]
    assert verification.again(tmp_path)[1] == []
    assert drawn_from(actual) == (0.0, "components of p >= 0.5 are drawn.")
