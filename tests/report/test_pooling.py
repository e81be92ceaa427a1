"""Folds pooled: what a fold alone may not say, and what goes through folders and pools."""

import json

import numpy as np
import pytest

from tests.report.coco_files import marked, twelve, written
from tests.report.studies import study, undrawn
from tqgd_jax.evaluation.inputs import detections
from tqgd_jax.evaluation.inputs.probability_maps import at_point, from_maps
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder, verification
from tqgd_jax.report.comparison import pooling
from tqgd_jax.report.text.terminal import summary

FEW = EvaluationSettings(bootstraps=50)
TRUE = "trained with masks: true"


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


def test_a_single_fold_is_no_headline_and_pooled_folds_are(tmp_path):
    for k in "123":
        judged, pixels = study(fold=k, seed=int(k), one_fold=f"fold {k} of 3")
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
    judged, pixels = study(fold="2", one_fold="fold 2 of 5")
    with undrawn():
        result_folder.make(tmp_path / "a", judged, FEW, pixels=pixels)
    alone = pooling.pool([tmp_path / "a"])
    assert alone.eval_set.one_fold == "fold 2 of 5"


def test_folds_of_probability_maps_are_pooled_as_all_maps_in_one_folder(tmp_path):
    maps, rng = tmp_path / "maps", np.random.default_rng(0)
    maps.mkdir()
    folders, every, of_fold = [], [], {}
    for k in "12":
        judged, pixels = study(fold=k, seed=int(k), one_fold=f"fold {k} of 2")
        for i, image in enumerate(judged.images):
            # some calcium is missed, and some is likely only; noise in between
            p = np.where(pixels(i)[..., 0] > 130, rng.choice([0.01, 0.3, 0.9]), 0.02)
            p[2:5, 2:6] = rng.choice([0.02, 0.2, 0.7])
            np.save(maps / f"{image.name}.npy", p)
            every.append(pixels(i))
        of_fold[k] = from_maps(judged, maps, "mean")._replace(note=f"{k}; {TRUE}")
        of_fold[k] = at_point(of_fold[k], of_fold[k].point, "mean")
        folders.append(tmp_path / k)
        with undrawn():
            result_folder.make(folders[-1], of_fold[k], FEW)
    pooled = pooling.pool(folders).eval_set
    one, two = (of_fold[k] for k in "12")
    whole = one._replace(
        images=one.images + two.images,
        thresholds=one.thresholds + two.thresholds,
        sizes=one.sizes + two.sizes,
        note=f"1; {TRUE}; 2; {TRUE}",
        one_fold="",
    )
    whole = from_maps(whole, maps, "mean")
    assert pooled.note == whole.note
    with undrawn():
        actual, expected = (
            result_folder.make(tmp_path / name, of, FEW)
            for name, of in (("pooled", pooled), ("whole", whole))
        )
    assert 0 < expected["yolo"]["precision"] < 1
    for key in ("yolo", "coco", "protocols"):
        assert actual[key] == expected[key]
    with undrawn():
        result_folder.make(folders[1], study(fold="2")[0], FEW)
    with pytest.raises(ValueError, match="one has detections, the other maps"):
        pooling.pool(folders)
