"""Pictures of an evaluation."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from tqgd_jax.evaluation.evaluate import Image
from tqgd_jax.report.overlays import choose, overlay_page, windowed
from tqgd_jax.report.plots import precision_recall


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
        (
            image("crowd", [A], [A], [0.9])._replace(ignore=np.ones(1, bool)),
            *(False, False, False),
        ),
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


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (None, "3 images, those with most errors first"),
        (3, "3 images, those with most errors first"),
        (80, "3 of 80 images, half of them those with most errors"),
    ],
)
def test_the_heading_says_from_how_many_images_were_chosen(
    tmp_path, monkeypatch, of, told
):
    headings = []
    monkeypatch.setattr(
        Figure, "suptitle", lambda self, text, **_: headings.append(text)
    )
    items = [(np.zeros((64, 64), np.uint8), item) for item in SET]
    overlay_page(tmp_path / "p.png", items, ["calcium"], 0.5, "t", of=of)
    assert headings[0].splitlines()[-1] == told


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
    odd = image("$\\nothing$", [A], [A], [0.9])
    overlay_page(tmp_path / "odd.png", [(pixels, odd)], ["a"], 0.5, "a $\\title$")
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
        ([image("x", [A], [A], [0.9])], ["no $\\maths$"]),
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
    found = any(len(i.det_boxes) for i in images)
    assert same == (not found)  # the operating point is gone
