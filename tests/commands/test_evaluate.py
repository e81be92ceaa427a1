"""`tqgd evaluate` as a stranger's detector meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from tqgd_jax.commands.evaluate import main

ROOT = Path(__file__).parents[2]

# Spec D.3: eight detections, five boxes, hits 1 1 0 1 0 1 0 0.
SCORES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
HITS = (1, 1, 0, 1, 0, 1, 0, 0)


def write(path, value):
    path.write_text(json.dumps(value), "utf-8")
    return str(path)


def golden(folder, suffix=".png"):
    """The detections of D.3 on two images of 100 x 100."""
    folder.mkdir(exist_ok=True)
    boxes = [[10 * k, 0, 8, 8] for k in range(5)]
    places = iter(range(5))
    dets = [
        {
            "image_id": 7,
            "category_id": 3,
            "bbox": boxes[next(places)] if hit else [80, 10 * k, 5, 5],
            "score": score,
        }
        for k, (score, hit) in enumerate(zip(SCORES, HITS, strict=True))
    ]
    size = {"width": 100, "height": 100}
    truth = {
        "images": [
            {"id": 7, "file_name": f"a{suffix}", **size},
            {"id": 9, "file_name": f"b{suffix}", **size},
        ],
        "categories": [{"id": 3, "name": "calcium"}],
        "annotations": [
            {"id": k, "image_id": 7, "category_id": 3, "bbox": box, "iscrowd": 0}
            for k, box in enumerate(boxes, 1)
        ],
    }
    return (
        write(folder / "gt.json", truth),
        write(folder / "dt.json", dets),
    )


@pytest.fixture
def words(tmp_path):
    """To evaluate the golden case."""
    gt, dt = golden(tmp_path)
    return ["--ground_truth", gt, "--detections", dt, "--out", str(tmp_path / "out")]


def evaluate(*words):
    return main([*map(str, words), "--bootstraps", "20"])


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_the_golden_case_by_yolov5s_rule(tmp_path, words, capsys):
    out = tmp_path / "out"
    assert evaluate(*words) == 0
    yolo = results(out)["yolo"]
    assert yolo["threshold_source"] == "optimistic"
    golden_figures = {"precision": 0.649983, "recall": 0.8, "f1": 0.717231}
    for name, value in golden_figures.items():
        assert yolo[name] == pytest.approx(value, abs=1e-6)
    assert yolo["AP50"] == pytest.approx(0.730833, abs=1e-6)
    assert "OPTIMISTIC" in capsys.readouterr().out
    assert main(["--verify", str(out)]) == 0
    assert "within 1e-9" in capsys.readouterr().out


def test_a_given_threshold_counts_exactly(tmp_path, words):
    assert evaluate(*words, "--threshold", 0.6) == 0
    yolo = results(tmp_path / "out")["yolo"]
    # Five detections, three of them hits, five boxes.
    assert (yolo["precision"], yolo["recall"]) == (3 / 5, 3 / 5)
    assert yolo["threshold"] == 0.6


def test_a_threshold_is_chosen_on_validation_files(tmp_path, words):
    val_gt, val_dt = golden(tmp_path / "val", suffix=".jpg")
    held = ["--validation_ground_truth", val_gt, "--validation_detections", val_dt]
    assert evaluate(*words, *held) == 0
    actual = results(tmp_path / "out")
    assert actual["settings"]["threshold_source"] == "validation"
    # D.3's best point has precision .65 and recall .8: between .5 and .4
    assert 0.4 < actual["yolo"]["threshold"] <= 0.5


def test_a_threshold_is_never_chosen_on_what_is_judged(words, capsys):
    held = ["--validation_ground_truth", words[1], "--validation_detections", words[3]]
    assert evaluate(*words, *held) == 1
    assert "image 'a.png' is in the validation files" in capsys.readouterr().err


def test_what_was_given_is_never_overwritten(tmp_path, words, capsys):
    before = Path(words[1]).read_bytes()
    assert evaluate(*words, "--out", tmp_path) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert Path(words[1]).read_bytes() == before
    evaluate(*words, "--out", tmp_path / "a")
    assert evaluate("--pool", tmp_path / "a", "--out", tmp_path / "a") == 1
    assert "would be overwritten" in capsys.readouterr().err


def test_images_without_boxes_are_not_positive_only(words, capsys):
    assert evaluate(*words, "--positive_only") == 1
    assert "1 of the 2 images have no box" in capsys.readouterr().err


def test_a_changed_result_does_not_verify(tmp_path, words, capsys):
    out = tmp_path / "out"
    evaluate(*words)
    actual = results(out)
    actual["coco"]["AP50"] += 1e-6
    write(out / "results.json", actual)
    assert main(["--verify", str(out)]) == 1
    output = capsys.readouterr().err
    assert "/coco/AP50" in output
    assert "numbers differ" in output


def test_probability_maps_take_the_place_of_detections(tmp_path):
    gt, _ = golden(tmp_path)
    maps = tmp_path / "maps"
    maps.mkdir()
    p = np.zeros((100, 100), np.float32)
    p[0:8, 0:8] = 0.9  # the first box, found at both probabilities
    p[0:8, 10:18] = 0.3  # the second, for the curve alone
    p[60:64, 60:64] = 0.7  # a false alarm
    np.save(maps / "a.npy", p)
    Picture.fromarray(np.zeros((100, 100), np.uint8)).save(maps / "b.png")
    out = tmp_path / "out"
    assert evaluate("--ground_truth", gt, "--probabilities", maps, "--out", out) == 0
    actual = results(out)
    assert actual["input"]["detections"] == 3
    assert actual["yolo"]["precision"] == 1 / 2
    assert actual["yolo"]["recall"] == 1 / 5
    # COCO: precision 1 up to recall .2, then 2/3 up to .4
    expected = (21 * 1 + 20 * 2 / 3) / 101
    assert actual["coco"]["AP50"] == pytest.approx(expected)
    assert main(["--verify", str(out)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detections", "dt.json"], "give --ground_truth"),
        (["--ground_truth", "gt.json"], "one of --detections"),
        (["--ground_truth", "none.json", "--detections", "dt.json"], "none.json"),
        (["--verify", "nowhere"], "nowhere: no results.json"),
        (["--pool", "nowhere"], "nowhere: no results.json"),
    ],
)
def test_what_cannot_be_judged_ends_in_one_line(
    tmp_path, monkeypatch, capsys, words, message
):
    golden(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    output = capsys.readouterr().err
    assert message in output
    assert len(output.strip().splitlines()) == 1
    assert not (tmp_path / "evaluation").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (["--level", "95"], "level must be inside"),
        (["--bootstraps", "0"], "bootstraps must be 20 or more"),
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--window", "500", "100"], "must rise"),
        (["--gallery", "-1"], "--gallery must be 0 or more"),
        (["--size_px", "100", "10"], "must rise"),
        (["--convention", "agatstn"], "there are: orcascore"),
        (["--scheme", "five"], "there are: standard"),
        (["--threshold", "nan"], "threshold"),
    ],
)
def test_a_wrong_rule_is_refused_before_anything_is_written(
    tmp_path, words, capsys, setting, message
):
    assert main([*words, *setting]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--pool", "a", "b", "--threshold", "0.3"],
        ["--pool", "a", "b", "--ground_truth", "gt.json"],
        ["--verify", "a", "--detections", "dt.json"],
    ],
)
def test_an_option_that_would_not_be_looked_at_is_refused(capsys, words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert f"is not for {words[0]}" in capsys.readouterr().err


def test_one_fold_named_in_the_table_of_patients_is_no_headline(
    tmp_path, words, capsys
):
    table = tmp_path / "p.csv"
    table.write_text("image,patient,fold\na.png,A,1\nb.png,B,1\n", "utf-8")
    out = tmp_path / "out"
    assert evaluate(*words, "--patients", table) == 0
    assert "NO HEADLINE: fold 1" in capsys.readouterr().out
    assert results(out)["headline"]["keys"] == []
    assert '<div class="card">' not in (out / "report.html").read_text("utf-8")
    # A single result that is pooled is one fold too.
    assert evaluate("--pool", out, "--out", tmp_path / "pooled") == 0
    assert results(tmp_path / "pooled")["headline"]["keys"] == []


def test_what_judges_loads_no_framework(tmp_path):
    gt, dt = golden(tmp_path)
    code = f"""
import sys
from tqgd_jax.commands import compare, evaluate, score
from tqgd_jax.evaluation.calcium import convention_agreement
files = ["--ground_truth", {gt!r}, "--detections", {dt!r}, "--bootstraps", "20"]
for out in "ab":
    assert evaluate.main([*files, "--out", out]) == 0
assert compare.main(["a", "b", "--bootstraps=20", "--repeats=9"]) == 0
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    # What is being done is said while it is done, beside the outcome.
    assert "matching the detections of 2 images" in done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "scipy" in loaded
    assert not {"jax", "flax", "tensorflow", "SimpleITK", "torch"} & loaded
