"""Pictures of the gallery: grey levels, what is drawn, and how much fits."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as Picture

from tests.report import made_up, studies
from tqgd_jax.report.html import page
from tqgd_jax.report.html.gallery import SelectedSlice, drawn, gallery_images, stratum
from tqgd_jax.report.html.slice_selection import select_slices

EDGES = (10, 100, 200)


def test_pixels_become_eight_bit_grey_levels():
    pixels = np.array([[0.0, 0.5, 1.0], [-1.0, 2.0, np.nan]])
    (shown,) = gallery_images(
        [SelectedSlice("x", "", "", None, "", pixels, ())], [], EDGES, None
    )
    levels = np.asarray(Picture.open(io.BytesIO(base64.b64decode(shown.png))))
    np.testing.assert_array_equal(levels, [[0, 128, 255], [0, 255, 0]])
    assert (shown.width, shown.height, shown.tokens) == (3, 2, "")


def test_a_slide_counts_and_names_what_is_on_it():
    # b1: a small box missed, a large one found by a hit, a false alarm of 10 x 15.
    shown = gallery_images(made_up.selected_slices(), made_up.lesions(), EDGES, None)[3]
    assert shown.caption == "1 hit, 1 missed, 1 false alarm"
    assert set(shown.tokens.split()) == {"missed:0", "hit:3", "false-alarm:2"}
    kinds = [mark.kind.split()[0] for mark in shown.marks]
    assert kinds == ["found", "hit", "false-alarm", "missed"]  # errors on top
    hit = shown.marks[1]
    assert (hit.left, hit.top) == (100 * 30 / 64, 100 * 30 / 64)
    assert (hit.width, hit.height) == (100 * 15 / 64, 100 * 14 / 64)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        *[((3, 3), 0), ((2, 5), 0), ((1, 11), 1), ((10, 20), 2), ((201, 1), 3)],
        ((100 / 3, 0.3), 0),  # the product has a last bit above 10
    ],
)
def test_a_stratum_holds_its_upper_edge(size: tuple[int, int], expected: int):
    row = {"width": str(size[0]), "height": str(size[1])}
    assert stratum(row, EDGES) == expected


def test_detections_that_do_not_count_are_not_drawn():
    det = {"kind": "detection", "score": "0.4"}
    assert drawn({"kind": "box", "above": ""}, 0.9)
    assert drawn(det | {"above": "1"}, 0.9)
    assert not drawn(det | {"above": "0"}, None)
    assert drawn(det | {"above": ""}, 0.4)
    assert not drawn(det | {"above": ""}, 0.41)
    assert not drawn(det | {"above": "1", "use": "curve"}, 0.1)


def test_without_a_threshold_boxes_and_detections_are_drawn_as_not_judged():
    rows = [row | {"outcome": "", "above": ""} for row in made_up.lesions()]
    shown = gallery_images(made_up.selected_slices(), rows, EDGES, 0.7)[3]
    assert shown.caption == "not judged: 2 box, 1 detection"
    kinds = [mark.kind.split()[0] for mark in shown.marks]
    assert kinds == ["found", "found", "detected"]
    assert shown.marks[2].label == "0.80"
    assert shown.tokens == ""


def test_a_gallery_keeps_to_its_budget():
    slices = made_up.selected_slices()
    one = len(gallery_images(slices[:1], made_up.lesions(), EDGES, None)[0].png)
    shown = gallery_images(
        slices, made_up.lesions(), EDGES, None, budget=int(2.7 * one)
    )
    assert [shown.selected.image for shown in shown] == ["a1", "a2"]


def row(image, kind, outcome, **more):
    above = "" if kind == "box" else int(outcome not in ("", "below threshold"))
    cells = {"image": image.name, "kind": kind, "outcome": outcome, "above": above}
    return cells | {"score": 0.9, "use": ""} | more


def test_slices_with_most_errors_come_first_then_labelled_then_empty_ones():
    study, pixels = studies.study()
    images = study.images
    # Patient 0 and the first slice of every other one are empty.
    missed, labelled = images[4], [images[k] for k in (4, 5, 7, 8, 10, 11)]
    rows = [
        *(row(image, "box", "found") for image in labelled),
        row(missed, "box", "missed"),
        row(missed, "detection", "below threshold"),
        row(images[5], "detection", "hit"),
        row(images[5], "detection", "false alarm", use="curve"),
        row(images[6], "detection", "false alarm"),
        row(images[2], "detection", "false alarm"),
        row(images[2], "detection", "false alarm"),
    ]
    order = [2, 4, 6, 5, 7, 8, 10, 11, 0, 1, 3, 9]
    chosen = select_slices(study, rows, pixels, (-200, 500), 60)
    assert [one.image for one in chosen] == [images[k].name for k in order]
    assert chosen[1].rows == [0, 6, 7]
    assert select_slices(study, rows, pixels, None, 0) == []
    assert select_slices(study, rows, None, None, 60) == []

    def some(k):
        return None if k in (4, 5) else pixels(k)

    chosen = select_slices(study, rows, some, (-200, 500), 4)
    assert [one.image for one in chosen] == [images[k].name for k in (2, 6, 7, 8)]


def test_without_a_threshold_labelled_slices_come_first():
    study, pixels = studies.study(patients=2)
    study = study._replace(thresholds=(None,) * 6, source="none")
    rows = [row(image, "detection", "") for image in study.images]
    chosen = select_slices(study, rows, pixels, None, 3)
    assert [one.image for one in chosen] == ["P1_z1", "P1_z2", "P0_z0"]


@pytest.mark.parametrize(
    ("source", "known"),
    [
        ("validation", "those with errors (missed boxes, false"),
        ("none", "those with l"),
    ],
)
def test_the_page_says_of_how_many_slices_which_are_shown(source, known):
    results = made_up.results() | {"inputs": {"window": "HU -150 to 750"}}
    results["settings"]["threshold_source"] = source
    text = page.render(results, made_up.lesions(), (), made_up.selected_slices())
    begin = text.index('<p id="order">')
    sentence = " ".join(text[begin : text.index("</p>", begin)].split())
    assert sentence.startswith('<p id="order">6 of <span')
    assert '">480</span> judged slices' in sentence
    assert f"known: {known}" in sentence
    assert sentence.endswith("Window: HU -150 to 750.")
