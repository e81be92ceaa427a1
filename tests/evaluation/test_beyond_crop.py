"""Labelled boxes beyond their image stay what they are: judged, counted, listed, drawn."""

import numpy as np
import pytest

from tests.report.studies import nothing, study
from tqgd_jax.evaluation import results
from tqgd_jax.evaluation.beyond_crop import section
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report import result_folder, verification
from tqgd_jax.report.text.terminal import summary
from tqgd_jax.structures.evaluation_set import checked

RULES = EvaluationSettings(bootstraps=20)
LEFT = 40  # px that the narrow crop leaves out


@pytest.fixture(scope="module")
def narrow():
    """The simulated study, its crop 40 px narrower at the left; and the whole pixels.

    Every slice with boxes has one that begins within x 4 to 20 and is 8 px wide at
    most, so outside, and one that begins within 34 to 50, so inside, cut or outside.
    """
    whole, pixels = study()
    images = []
    for image in whole.images:
        assert image.place.crop is not None
        x0, y0, x1, y1 = image.place.crop
        place = image.place._replace(crop=(x0 + LEFT, y0, x1, y1))
        moved = np.array([LEFT, 0, LEFT, 0])
        dets = np.clip(image.det_boxes - moved, 0, None)
        seen = dets[:, 2] > 0
        images.append(
            image._replace(
                place=place,
                boxes=image.boxes - moved,
                det_boxes=dets[seen],
                det_scores=image.det_scores[seen],
                det_labels=image.det_labels[seen],
            )
        )
    sizes = tuple((h, w - LEFT) for h, w in whole.sizes)
    made = checked(whole._replace(images=tuple(images), sizes=sizes))

    def beyond(k):
        pieces = []
        for x0, y0, x1, y1 in whole.images[k].boxes.astype(int).tolist():
            place = (x0 + 10, y0 + 20, x1 + 10, y1 + 20)  # the whole crop's corner
            pieces.append((place, pixels(k)[y0:y1, x0:x1, 0]))
        return pieces

    return whole, pixels, made, lambda k: pixels(k)[:, LEFT:], beyond


def by_hand(whole):
    """(cut, outside) of the boxes whose left 40 px are gone."""
    x0, x1 = np.concatenate([i.boxes for i in whole.images])[:, [0, 2]].T
    return int(((x0 < LEFT) & (x1 > LEFT)).sum()), int((x1 <= LEFT).sum())


def test_boxes_beyond_their_image_are_counted_and_listed(narrow):
    whole, _, made, *_ = narrow
    actual = section(made)
    cut, outside = by_hand(whole)
    assert outside >= 6  # one in each of 6 slices
    assert (actual["boxes"], actual["cut"], actual["outside"]) == (12, cut, outside)
    assert [row["image"] for row in actual["images"]] == [
        f"P{p}_z{z}" for p in (1, 2, 3) for z in (1, 2)
    ]
    assert sum(row["outside"] for row in actual["images"]) == outside
    assert section(whole)["images"] == []
    assert "sizes" in section(nothing())["reason"]


def test_a_box_outside_is_missed_and_keeps_its_size(narrow):
    whole, _, made, *_ = narrow
    judged = results.evaluators(made, RULES)
    actual = results.results(made, RULES, judged)
    figures = actual["protocols"]["clinical"]["figures"]
    before = results.results(whole, RULES, results.evaluators(whole, RULES))
    others = before["protocols"]["clinical"]["figures"]
    _, outside = by_hand(whole)
    missed = figures["point.centre.fn"]["value"]
    assert missed >= outside
    total = missed + figures["point.centre.tp"]["value"]
    assert total == actual["input"]["boxes"] == 12
    for name in figures:
        if name.startswith("size.") and name.endswith(".boxes"):
            assert figures[name]["value"] == others[name]["value"]
    assert f"leaves out {outside} of 12 labelled boxes: P1_z1, P1_z2" in summary(actual)


def test_the_result_lists_draws_and_verifies_them(narrow, tmp_path):
    _, _, made, pixels, beyond = narrow
    actual = result_folder.make(tmp_path, made, RULES, pixels=pixels, beyond=beyond)
    assert verification.again(tmp_path)[1] == []
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<strong>Outside of the crop.</strong>" in page
    for row in actual["beyond"]["images"]:
        assert f"<li>{row['image']}: " in page
    assert 'style="left:-' not in page  # marked at the picture's edge
    back, _ = result_folder.read(tmp_path)
    for one, other in zip(back.images, made.images, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_the_reference_score_holds_what_the_crop_leaves_out(narrow, tmp_path):
    whole, all_pixels, made, pixels, beyond = narrow
    full = result_folder.make(tmp_path / "a", whole, RULES, pixels=all_pixels)
    cropped = result_folder.make(
        tmp_path / "b", made, RULES, pixels=pixels, beyond=beyond
    )
    assert full["calcium"]["scans"] == cropped["calcium"]["scans"] == 4
    one, other = (result_folder.scores(tmp_path / name) for name in "ab")
    assert [r.reference for r in one] == [r.reference for r in other]
    assert {r.area_difference for r in one} == {r.area_difference for r in other}
    whole_scores = [r.predicted.agatston for r in one if r.predicted]
    seen = [r.predicted.agatston for r in other if r.predicted]
    assert sum(seen) < sum(whole_scores)  # a detection ends with its image


def test_a_score_that_would_lack_calcium_is_not_made(narrow, tmp_path):
    _, _, made, pixels, _ = narrow
    actual = result_folder.make(tmp_path, made, RULES, pixels=pixels)
    assert "labelled boxes of 6 images reach beyond them" in actual["calcium"]["reason"]
