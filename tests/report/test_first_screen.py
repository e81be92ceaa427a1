"""What a newcomer sees first: pictures, three plain numbers, then what they do not say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report import made_up
from tests.report.browser import visit
from tqgd_jax.report.html import page, wording
from tqgd_jax.report.html.gallery import SelectedSlice
from tqgd_jax.report.html.numbers import verify
from tqgd_jax.report.html.page_reader import read
from tqgd_jax.report.html.strip import glimpses

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
REASON = "fold 1 of 5: one fold is no result; pool with `tqgd evaluate --pool A B`"


def one_fold() -> dict[str, Any]:
    results = made_up.results(folds=0)
    results["headline"] |= {"keys": [], "reason": REASON}
    figures = results["protocols"]["clinical"]["figures"]
    figures["point.iou0.5.tp"] = made_up.figure(37.0)
    figures["point.iou0.5.fp"] = made_up.figure(13.0)
    figures["point.iou0.5.fp_per_scan"] = made_up.figure(0.325)
    return results


def of_images() -> tuple[dict[str, Any], list[dict[str, Any]], list[SelectedSlice]]:
    """The same of photographs: no z, no calcium."""
    results = one_fold()
    results["headline"]["reason"] = ""
    results["headline"]["keys"] = ["ap.yolo.0.5"]
    results["calcium"] = {"reason": "no calcium of scans"}
    results["inputs"] = {"window": "values 0 to 255 from black to white"}
    results["input"]["classes"] = ["nucleus"]
    results["title"] = "nuclei"
    lesions = [row | {"z": "", "scan": "", "artery": ""} for row in made_up.lesions()]
    slices = [s._replace(z=None, scan="") for s in made_up.selected_slices()]
    return results, lesions, slices


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first") / "ct.html"
    tables = made_up.lesions(), made_up.patients(), made_up.selected_slices()
    text = page.render(one_fold(), *tables)
    assert verify(read(text), one_fold()) == []
    path.write_text(text, "utf-8")
    return path


def test_pictures_then_three_numbers_then_the_caveat_fit_the_first_screen(
    chromium: Any, report: Path
):
    with visit(chromium, report, viewport=DESK) as seen:
        places = [
            seen.locator(part).bounding_box()
            for part in ("h1", ".strip", ".plain", ".caveat")
        ]
        tops = [place["y"] for place in places]
        assert tops == sorted(tops)
        assert places[-1]["y"] + places[-1]["height"] < DESK["height"]
        said = seen.locator(".plain li").all_inner_texts()
        assert [text.replace("\n", " ") for text in said] == [
            "37 of 163 labelled lesions were found",
            "13 false alarms: marked, but not labelled; 0.325 per scan",
            "40 patients, 480 slices: all slices, also those without a label",
        ]
        caveat = seen.inner_text(".caveat")
        assert "fold 1 of 5: one fold is no result" in caveat
        assert "Not a medical device." in caveat
        assert seen.inner_text(".caveat code") == "tqgd evaluate --pool A B"
        assert seen.locator(".card").count() == 0


def test_the_strip_shows_each_kind_and_leads_to_the_whole_slice(
    chromium: Any, report: Path
):
    with visit(chromium, report, viewport=DESK) as seen:
        kinds = [t.strip() for t in seen.locator(".strip .what").all_inner_texts()]
        # Of made_up.SLICES, each slice once: a1 has a hit, a2 a miss, b1 and b2 alarms.
        assert kinds == ["found", "missed", "false alarm", "false alarm"]
        seen.select_option("#by-patient", "A")
        seen.locator(".strip a").last.click()
        assert seen.is_visible("#slice-4")


def test_the_contents_stand_beside_the_page_and_on_top_of_a_phone(
    chromium: Any, report: Path
):
    with visit(chromium, report, viewport=DESK) as seen:
        seen.evaluate("window.scrollTo(0, 3000)")
        nav, main = (
            seen.locator("nav").bounding_box(),
            seen.locator("main").bounding_box(),
        )
        assert nav["x"] + nav["width"] <= main["x"]
        assert nav["y"] == 0
        seen.wait_for_selector("nav a[data-here]")
        seen.click("nav >> text=Calcium score")
        seen.wait_for_selector("nav a[data-here] >> text=Calcium score")
        assert seen.evaluate("document.documentElement.scrollWidth") == DESK["width"]
    with visit(chromium, report, viewport=PHONE) as seen:
        seen.evaluate("window.scrollTo(0, 3000)")
        nav = seen.locator("nav").bounding_box()
        assert nav["y"] == 0
        assert nav["height"] < 60
        assert seen.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_page_of_images_speaks_of_neither_calcium_nor_slices(
    chromium: Any, tmp_path: Path
):
    results, lesions, slices = of_images()
    path = tmp_path / "images.html"
    path.write_text(text := page.render(results, lesions, (), slices), "utf-8")
    assert verify(read(text), results) == []
    with visit(chromium, path, viewport=DESK) as seen:
        said = seen.inner_text("body").lower().replace("lesions.csv", "")
        for word in ("calcium", "calcif", "slice", "lesion", "per scan", "artery"):
            assert word not in said, said[said.index(word) - 80 :][:160]
        assert "37 of 163\nlabelled objects were found" in said
        assert seen.locator("#calcium, #lesions3d, #arteries").count() == 0
        assert seen.inner_text("#gallery h2") == "Images"
        assert seen.inner_text("#shown") == "6 of these 6 images"


def test_what_names_of_users_and_addresses_hold_is_not_reworded():
    html = (
        '<a href="#slice-1" data-at="/protocols/clinical/slices">Slices</a> of a slice'
    )
    assert wording.for_images(html) == (
        '<a href="#slice-1" data-at="/protocols/clinical/slices">Images</a> of an image'
    )


def test_without_a_threshold_a_cut_out_has_labels_and_as_many_detections():
    row = dict.fromkeys(made_up.lesions()[0], "")
    boxes = [(100, 100, 110, 110), (120, 100, 130, 110)]
    rows = [
        row
        | {"kind": "box", "image": "i"}
        | dict(zip(("x0", "y0", "x1", "y1"), b, strict=True))
        for b in boxes
    ]
    for score in (0.1, 0.9, 0.3):
        rows.append(rows[0] | {"kind": "detection", "score": score})
    pixels = np.zeros((300, 400))
    one = SelectedSlice("i", "P", "", None, "", pixels, range(len(rows)))
    (glimpse,) = glimpses([one], rows, (10, 100, 200), None)
    assert (glimpse.picture.width, glimpse.picture.height, glimpse.words) == (
        96,
        96,
        "labelled",
    )
    assert [mark.label for mark in glimpse.picture.marks] == ["", "", "0.90", "0.30"]
    # The middle of the first box, (105, 105), is the middle of the cut-out: 43 to 53 px.
    assert glimpse.picture.marks[0].left == pytest.approx(100 * 43 / 96, abs=1e-3)
