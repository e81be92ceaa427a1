"""A result as a folder: complete, read back, made again, pooled."""

import contextlib
import csv
import json
import shutil

import numpy as np
import pytest

from tests.report.coco_files import marked, twelve
from tests.report.studies import nothing, study
from tqgd_jax.evaluation.inputs import detections
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder, verification
from tqgd_jax.report.comparison import pooling
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


@contextlib.contextmanager
def undrawn():
    """Results without page and pictures, which take seconds, where none is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_folder.page, "render", lambda *_: "")
        patch.setattr(result_folder, "_pictures", lambda *_: None)
        yield


def rows(folder, name):
    with (folder / name).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def written(folder):
    names = ("ground_truth.json", "detections.json")
    return [json.loads((folder / name).read_text("utf-8")) for name in names]


def test_a_result_holds_every_file_and_nothing_half_written(made):
    folder, _, actual = made
    assert {f.name for f in folder.iterdir()} == FILES
    assert json.loads((folder / "results.json").read_text("utf-8")) == actual


def test_what_is_read_back_is_what_was_judged(made):
    folder, judged, _ = made
    again, _ = result_folder.read(folder)
    for name in ("classes", "thresholds", "sizes", "title", "source", "part"):
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


def test_areas_ignored_boxes_and_crowds_come_through_folders_and_pools(tmp_path):
    truth, dets = marked(1, range(60))
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, first in zip(folders, (0, 30), strict=True):
        part = range(first, first + 30)
        mine = truth | {
            "images": [row for row in truth["images"] if row["id"] in part],
            "annotations": [r for r in truth["annotations"] if r["image_id"] in part],
        }
        results = [row for row in dets if row["image_id"] in part]
        gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
        gt.write_text(json.dumps(mine), "utf-8")
        dt.write_text(json.dumps(results), "utf-8")
        with undrawn():
            actual = result_folder.make(folder, detections.read(gt, dt), FEW)
        assert actual["coco"] == pytest.approx(twelve(mine, results), abs=1e-6)
        assert actual["coco"] == pytest.approx(twelve(*written(folder)), abs=1e-6)
    folder, expected = tmp_path / "pooled", twelve(truth, dets)
    actual = result_folder.make(folder, pooling.pool(folders).eval_set, FEW)
    assert actual["coco"] == pytest.approx(expected, abs=1e-6)
    figure = actual["protocols"]["clinical"]["figures"]["ap.coco.0.5:0.95"]
    assert figure["value"] == pytest.approx(expected["AP"], abs=1e-6)
    assert verification.again(folder)[1] == []
    # an area that was changed moves boxes into another range
    table = (folder / "lesions.csv").read_text("utf-8")
    assert ",0,0,2000.0," in table
    other = table.replace(",0,0,2000.0,", ",0,0,20.0,")
    (folder / "lesions.csv").write_text(other, "utf-8")
    _, wrong = verification.again(folder)
    assert any("coco/APm" in line for line in wrong)


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


def test_a_single_fold_is_no_headline_and_pooled_folds_are(tmp_path):
    for k in "123":
        judged, pixels = study(fold=k, seed=int(k), part=f"fold {k} of 3")
        with undrawn():
            actual = result_folder.make(tmp_path / k, judged, FEW, pixels=pixels)
        assert actual["headline"]["keys"] == []
        assert "one fold is no result" in actual["headline"]["reason"]
        assert "NO HEADLINE" in summary(actual)
    pooled = pooling.pool([tmp_path / k for k in "123"])
    actual = result_folder.make(
        tmp_path / "all", pooled.eval_set, FEW, scores=pooled.scores
    )
    assert actual["headline"]["keys"]
    protocol = actual["protocols"]["clinical"]
    assert [f["fold"] for f in protocol["folds"]] == ["1", "2", "3"]
    assert protocol["patients"] == 12
    each = []
    for k in "123":
        single = json.loads((tmp_path / k / "results.json").read_text("utf-8"))
        each.append(single["protocols"]["clinical"]["figures"]["ap.yolo.0.5"]["value"])
    assert [f["figures"]["ap.yolo.0.5"] for f in protocol["folds"]] == pytest.approx(
        each
    )
    spread = protocol["spread"]["ap.yolo.0.5"]
    assert spread["mean"] == pytest.approx(np.mean(each))
    assert spread["sd"] == pytest.approx(np.std(each, ddof=1))
    assert actual["calcium"]["patients"] == 12
    assert verification.again(tmp_path / "all")[1] == []
    two = pooling.pool([tmp_path / "1", tmp_path / "2"])
    assert "2 of 3 folds" in two.eval_set.note
    with pytest.raises(ValueError, match="pool each fold once"):
        pooling.pool([tmp_path / "1", tmp_path / "1"])


def test_pooled_thresholds_of_several_kinds_are_named(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, threshold in zip(folders, (0.4, None), strict=True):
        judged, _ = study(2, 2, threshold, fold=folder.name)
        with undrawn():
            result_folder.make(folder, judged, FEW)
    pooled = pooling.pool(folders).eval_set
    a, b = folders
    assert pooled.note == f"thresholds are chosen on validation ({a}), missing ({b})"
    with undrawn():
        text = summary(result_folder.make(tmp_path / "all", pooled, FEW))
    assert "not all chosen in one way, as the note says: a 0.400" in text


def test_one_pooled_fold_stays_a_fold(tmp_path):
    judged, pixels = study(fold="2", part="fold 2 of 5")
    with undrawn():
        result_folder.make(tmp_path / "a", judged, FEW, pixels=pixels)
    alone = pooling.pool([tmp_path / "a"])
    assert alone.eval_set.part == "fold 2 of 5"


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("results.json", lambda text: text[:100], "not json"),
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
