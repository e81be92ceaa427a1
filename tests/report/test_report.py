"""Files, pictures and the screen of an evaluation."""

import contextlib
import csv
import io
import json

import matplotlib.image
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tqgd_jax.data.items import SliceInfo
from tqgd_jax.metrics.evaluate import Image, evaluate
from tqgd_jax.report.overlays import choose, overlay_page, windowed
from tqgd_jax.report.plots import precision_recall
from tqgd_jax.report.results import write
from tqgd_jax.report.terminal import summary


def image(name, boxes, dets, scores):
    return Image(
        name,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(len(boxes), int),
        np.array(dets, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.zeros(len(dets), int),
    )


A, B, FAR = (0, 0, 10, 10), (20, 20, 30.5, 30), (50, 50, 60, 60)
SET = [
    image("hit, and a comma", [A, B], [FAR, A], [0.4, 0.9]),
    image("empty", [], [A], [0.6]),
    image("blank", [B], [], []),
]


def test_files_hold_what_was_evaluated(tmp_path):
    results = evaluate(SET, 1, threshold=0.5)
    sizes = [(64, 64), (64, 80), (64, 64)]
    files = write(tmp_path / "new", results, SET, ["calcium"], sizes)
    assert sorted(f.name for f in files) == sorted(
        f.name for f in (tmp_path / "new").iterdir()
    )  # nothing temporary is left
    assert json.loads((tmp_path / "new" / "results.json").read_text()) == results
    truth = json.loads((tmp_path / "new" / "ground_truth.json").read_text())
    assert truth["images"][1] == {
        "id": 1,
        "file_name": "empty",
        "height": 64,
        "width": 80,
    }
    assert truth["annotations"][1]["bbox"] == [20, 20, 10.5, 10]
    assert truth["annotations"][1]["area"] == 105
    assert [a["id"] for a in truth["annotations"]] == [1, 2, 3]


def test_detections_csv_tells_each_outcome(tmp_path):
    write(tmp_path, evaluate(SET, 1, threshold=0.5), SET, ["calcium"])
    with (tmp_path / "detections.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    outcomes = [(r["image"], r["outcome"], r["above_threshold"]) for r in rows]
    assert outcomes == [
        ("hit, and a comma", "TP", "1"),
        ("hit, and a comma", "FP", "0"),
        ("empty", "FP", "1"),
    ]
    assert [float(rows[1][k]) for k in ("x0", "y0", "x1", "y1")] == [50, 50, 60, 60]
    assert float(rows[0]["score"]) == np.float32(0.9)
    assert rows[0]["class"] == "calcium"
    write(tmp_path, evaluate(SET, 1, threshold=None), SET, ["calcium"])
    with (tmp_path / "detections.csv").open(newline="") as lines:
        assert {r["above_threshold"] for r in csv.DictReader(lines)} == {""}


def test_detections_of_ct_are_told_in_the_whole_slice_too(tmp_path):
    places = [
        SliceInfo("scan", "V1", 7 + i, (3.0, 0.5, 0.5), (100, 200, 164, 264))
        for i in range(len(SET))
    ]
    results = evaluate(SET, 1, threshold=0.5)
    write(tmp_path, results, SET, ["calcium"], [(64, 64)] * 3, places)
    with (tmp_path / "detections.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(r["scan"], r["z"]) for r in rows] == [
        ("scan", "7"),
        ("scan", "7"),
        ("scan", "8"),
    ]
    corners = ("x0", "y0", "x1", "y1")
    assert [float(rows[1][f"slice_{k}"]) for k in corners] == [150, 250, 160, 260]
    truth = json.loads((tmp_path / "ground_truth.json").read_text())
    assert truth["images"][2]["z"] == 9
    assert truth["images"][2]["crop"] == [100, 200, 164, 264]


def test_pycocotools_reads_the_pair_and_agrees(tmp_path):
    rng = np.random.default_rng(0)
    images = []
    for i in range(20):
        n = int(rng.integers(0, 6))
        corner = rng.uniform(0, 200, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 60, (n, 2))], 1)
        dets = np.concatenate([boxes + rng.normal(0, 2, (n, 4)), boxes[:1] + 30])
        images.append(image(f"{i}", boxes, dets, rng.random(len(dets))))
    results = evaluate(images, 1, threshold=0.5)
    write(tmp_path, results, images, ["calcium"])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "ground_truth.json"))
        dets = truth.loadRes(str(tmp_path / "detections.json"))
        judge = COCOeval(truth, dets, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert 0.1 < judge.stats[0] < 0.9
    for value, figure in zip(results["coco"].values(), judge.stats, strict=True):
        assert (-1 if value is None else value) == pytest.approx(figure, abs=1e-6)


def test_numbers_that_json_has_not_are_refused_and_the_old_file_stays(tmp_path):
    results = evaluate(SET, 1, threshold=0.5)
    write(tmp_path, results, SET, ["calcium"])
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path, results | {"AP50": float("nan")}, SET, ["calcium"])
    assert (tmp_path / "results.json").read_bytes() == before


def near(picture, colour):
    """Pixels of a picture that have a colour, within a little."""
    return int((np.abs(picture[..., :3] - np.array(colour)).max(axis=-1) < 0.05).sum())


GREEN, ORANGE, PINK = (
    np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    for c in ("#2EE6A8", "#FFA01E", "#FF4FD8")
)


@pytest.mark.parametrize(
    ("case", "green", "orange", "pink"),
    [
        (image("hit", [A], [A], [0.9]), True, False, False),
        (image("alarm", [], [A], [0.9]), False, True, False),
        (image("missed", [A], [], []), False, False, True),
        (image("below", [A], [A], [0.4]), False, False, True),
        (image("clean", [], [], []), False, False, False),
    ],
)
def test_overlays_draw_each_outcome_in_its_colour(tmp_path, case, green, orange, pink):
    blank = np.zeros((64, 64), np.uint8)
    drawn = []
    for item in (case, image("nothing", [], [], [])):
        overlay_page(tmp_path / "p.png", [(blank, item)], ["calcium"], 0.5, "t")
        drawn.append(matplotlib.image.imread(tmp_path / "p.png"))
    for colour, there in ((GREEN, green), (ORANGE, orange), (PINK, pink)):
        legend = near(drawn[1], colour)
        assert legend > 20
        assert (near(drawn[0], colour) > legend + 100) == there


def test_a_tiny_lesion_stays_uncovered(tmp_path):
    pixels = np.zeros((256, 256), np.int16)
    pixels[100:103, 80:83] = 400
    box = (80, 100, 83, 103)
    item = image("3 px", [box], [box], [0.9])
    page = tmp_path / "p.png"
    overlay_page(page, [(pixels, item)], ["calcium"], 0.5, "", window=(0, 1000))
    shown = matplotlib.image.imread(page)[..., :3]
    # 3 px enlarged 700 / 256 times: 8 x 8, all of one grey
    assert near(shown, (0.4, 0.4, 0.4)) >= 8 * 8 - 16


def test_a_page_of_many_images_and_one_of_none(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    items = [(pixels, SET[i % 3]) for i in range(20)]
    page = tmp_path / "p.png"
    overlay_page(page, items, ["calcium"], None, "twelve of twenty")
    assert matplotlib.image.imread(page).shape[1] == 4 * 700
    overlay_page(page, [], ["calcium"], 0.5, "none")
    assert matplotlib.image.imread(page).shape[1] == 700


def test_half_of_the_page_is_the_worst_the_other_half_is_spread():
    wrong = [
        image(str(i), [], [A] * (i % 10), np.linspace(0.5, 1, i % 10))
        for i in range(40)
    ]
    chosen = choose(wrong, 0.5, 8)
    assert len(set(chosen)) == 8
    assert [i % 10 for i in chosen[:4]] == [9] * 4
    assert [i % 10 for i in chosen[4:]] == [8, 5, 3, 0]
    assert sorted(choose(wrong, 0.5, 40)) == list(range(40))


@pytest.mark.parametrize(
    ("pixels", "window", "expected"),
    [
        (np.array([[0, 255]], np.uint8), None, [[0, 1]]),
        (np.array([[0, 65535]], np.uint16), None, [[0, 1]]),
        (np.array([[0.0, 0.5]], np.float32), None, [[0, 0.5]]),
        (np.array([[-200, 0]], np.int16), None, [[0, 1]]),
        (np.array([[-1300, 300, 2000]], np.int16), (-1200, 1800), [[0, 0.5, 1]]),
        (np.array([[7, 7]], np.int16), None, [[0, 0]]),
    ],
)
def test_window(pixels, window, expected):
    np.testing.assert_allclose(windowed(pixels[..., None], window), expected)


@pytest.mark.parametrize(
    ("images", "classes"),
    [
        (SET, ["calcium"]),
        (SET, ["LAD", "RCA"]),
        ([image("x", [A], [], [])], ["a"]),
        ([], ["a"]),
    ],
)
def test_precision_recall_picture_is_drawn_for_every_set(tmp_path, images, classes):
    precision_recall(tmp_path / "pr.png", images, classes, 0.5)
    first = matplotlib.image.imread(tmp_path / "pr.png")
    assert first.shape[:2] == (900, 1050)
    assert first[..., :3].std() > 0.02
    precision_recall(tmp_path / "pr.png", images, classes, None)
    same = np.array_equal(first, matplotlib.image.imread(tmp_path / "pr.png"))
    assert same == (images is not SET)  # the operating point is gone


def test_summary_names_rule_iou_and_threshold_of_each_figure():
    text = summary(evaluate(SET, 1, threshold=0.5))
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 88
    assert lines[0] == "3 images, 3 boxes, 3 detections"
    frozen = next(line for line in lines if "chosen on validation" in line)
    assert frozen.split()[-4:] == ["0.500", "0.500", "0.333", "0.400"]
    own = next(line for line in lines if "chosen on these images" in line)
    assert "OPTIMISTIC" in own
    assert sum("YOLOv5 v7.0 rule, IoU 0.5" in line for line in lines) == 2
    assert sum("COCO rule, IoU 0.5" in line for line in lines) == 2
    assert "1 found, 2 missed, 1 false alarms" in text


def test_summary_of_an_empty_set_tells_why():
    text = summary(evaluate([], 5, threshold=None))
    assert "Note: no ground-truth boxes" in text
    assert "and 2 more in results.json" in text
    assert len(text.splitlines()) <= 24


def test_summary_says_what_a_leak_or_a_protocol_takes_from_the_figures():
    results = evaluate(SET, 1, threshold=0.5)
    plain = summary(results)
    assert "NOT A RESULT" not in plain
    assert "Protocol" not in plain
    told = summary(results | {"stamp": "patients leak", "protocol": "positive only"})
    assert "NOT A RESULT: patients leak" in told
    assert "Protocol: positive only" in told
