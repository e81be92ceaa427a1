"""Pictures of an evaluation."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from tqgd_jax.evaluation import results as assemble
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import lesion_rows, pictures
from tqgd_jax.report.html.gallery import gallery_images
from tqgd_jax.report.html.pixels import windowed
from tqgd_jax.report.html.slice_selection import select_slices
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image


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


def evaluated(images, threshold=0.5, classes=("calcium",)):
    source = "none" if threshold is None else "validation"
    limits = (threshold,) * len(images)
    study = EvaluationSet(tuple(images), classes, limits, source=source)
    evaluators = assemble.evaluators(study, rules := EvaluationSettings(bootstraps=20))
    return study, evaluators, assemble.results(study, rules, evaluators)


def overlays(path, images, pixels, threshold=0.5, *, heading="t", window=None, most=12):
    """The picture of `images`, drawn from the rows of lesions.csv."""
    study, evaluators, results = evaluated(images, threshold)
    rows = list(lesion_rows.rows(study, evaluators, None))
    chosen = select_slices(study, rows, lambda _: pixels, window, most)
    shown = gallery_images(chosen, rows, (10, 100), threshold)
    pictures.overlays(path, shown, results, heading)
    return matplotlib.image.imread(path)


def near(picture, colour):
    """Pixels of a picture that have a colour, within a little."""
    return int((np.abs(picture[..., :3] - np.array(colour)).max(axis=-1) < 0.05).sum())


GREEN, ORANGE, PINK = (
    np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    for c in ("#2EE6A8", "#FFA01E", "#FF4FD8")
)
BLANK = np.zeros((64, 64), np.uint8)


@pytest.mark.parametrize(
    ("case", "green", "orange", "pink"),
    [
        (image("hit", [A], [A], [0.9]), True, False, False),
        (image("alarm", [], [A], [0.9]), False, True, False),
        (image("missed", [A], [], []), False, False, True),
        (image("below", [A], [A], [0.4]), False, False, True),
        (image("clean", [], [], []), False, False, False),
        (
            image("crowd", [A], [A], [0.9])._replace(ignore=np.ones(1, bool)),
            *(False, False, False),
        ),
    ],
)
def test_overlays_draw_each_outcome_in_its_colour(tmp_path, case, green, orange, pink):
    drawn, legend = (
        overlays(tmp_path / "p.png", [item], BLANK)
        for item in (case, image("nothing", [], [], []))
    )
    for colour, present in ((GREEN, green), (ORANGE, orange), (PINK, pink)):
        assert near(legend, colour) > 20
        assert (near(drawn, colour) > near(legend, colour) + 100) == present


@pytest.mark.parametrize(
    ("threshold", "most", "rule", "order"),
    [
        (0.5, 12, "score >= 0.500; detections below", "3 of 3 images, most errors"),
        (0.5, 2, "score >= 0.500; detections below", "2 of 3 images, most errors"),
        (None, 12, "(optimistic)", "3 of 3 images, labelled boxes first"),
    ],
)
def test_the_heading_says_which_images_and_detections_are_drawn(
    tmp_path, monkeypatch, threshold, most, rule, order
):
    headings = []
    monkeypatch.setattr(
        Figure, "suptitle", lambda self, text, **_: headings.append(text)
    )
    overlays(
        tmp_path / "p.png", SET, BLANK, threshold, heading="NOT A RESULT", most=most
    )
    first, second, third = headings[0].splitlines()
    assert first == "NOT A RESULT"
    assert second.startswith("IoU 0.5; ")
    assert rule in second
    assert third.startswith(order)


def test_a_tiny_lesion_stays_uncovered(tmp_path):
    pixels = np.zeros((256, 256), np.int16)
    pixels[100:103, 80:83] = 400
    box = (80, 100, 83, 103)
    item = image("3 px", [box], [box], [0.9])
    shown = overlays(tmp_path / "p.png", [item], pixels, window=(0, 1000))[..., :3]
    # 3 px enlarged 700 / 256 times: 8 x 8, all of one grey
    assert near(shown, (0.4, 0.4, 0.4)) >= 8 * 8 - 16


def test_a_page_of_many_images_and_of_one_with_odd_names(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    odd = image("$\\nothing$", [A], [A], [0.9])
    shown = overlays(tmp_path / "odd.png", [odd], pixels, heading="a $\\title$")
    assert shown.shape[1] == 700
    many = [SET[i % 3]._replace(name=str(i)) for i in range(20)]
    assert overlays(tmp_path / "p.png", many, pixels, None).shape[1] == 4 * 700


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
        (SET, ("calcium",)),
        (SET, ("LAD", "RCA")),
        ([image("x", [A], [], [])], ("a",)),
        ([image("x", [A], [A], [0.9])], ("no $\\maths$",)),
        ([], ("a",)),
    ],
)
def test_precision_recall_picture_is_drawn_for_every_set(tmp_path, images, classes):
    path, drawn = tmp_path / "pr.png", []
    for threshold in (0.5, None):
        _, _, results = evaluated(images, threshold, classes)
        pictures.precision_recall(path, results, "a $\\heading$")
        drawn.append(matplotlib.image.imread(path))
    assert drawn[0].shape[:2] == (900, 1050)
    assert drawn[0][..., :3].std() > 0.02
    detected = any(len(i.det_boxes) for i in images)
    assert np.array_equal(*drawn) == (not detected)  # the operating point is gone
