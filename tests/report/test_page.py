"""The report page in a real headless browser."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.report import made_up
from tests.report.browser import CONTRAST, visit
from tqgd_jax.report.html import html_tables, page
from tqgd_jax.report.html.numbers import verify
from tqgd_jax.report.html.page_reader import read
from tqgd_jax.report.html.page_sections import CONTENTS

OUTCOMES = ("hit", "missed", "false-alarm", "nothing")
VILE = "$\\x$\"><script>alert(1)</script>' &amp; </script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    tables = made_up.lesions(), made_up.patients()
    slices = made_up.selected_slices()
    text = page.render(made_up.results(), *tables, slices, ["results.json"])
    path.write_text(text, "utf-8")
    return path


def names(seen: Any) -> list[str]:
    """Images whose figures are visible."""
    buttons = seen.locator(".slide:visible .open").all()
    return [b.get_attribute("aria-label").removeprefix("Enlarge ") for b in buttons]


def only(seen: Any, *wanted: str) -> None:
    for outcome in OUTCOMES:
        seen.set_checked(f"[name=outcome][value={outcome}]", outcome in wanted)


def first_column(seen: Any, column: int) -> list[str]:
    cells = seen.locator(f"#lesion-table tbody tr:visible :nth-child({column})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_slices_are_filtered_by_patient_outcome_and_size(chromium: Any, report: Path):
    # Counted by hand in made_up.SLICES.
    with visit(chromium, report) as seen:
        assert names(seen) == ["a1", "a2", "a3", "b1", "b2", "c1"]
        for outcome, expected in (
            ("hit", ["a1", "b1"]),
            ("missed", ["a2", "b1"]),
            ("false-alarm", ["b1", "b2"]),
            ("nothing", ["a3", "c1"]),
        ):
            only(seen, outcome)
            assert names(seen) == expected
            assert seen.inner_text("#shown") == "2 of these 6 slices"
        only(seen, *OUTCOMES)
        for size, expected in (
            ("0-10 px", ["a1", "b1", "b2"]),
            ("10-100 px", ["a2"]),
            ("100-200 px", ["b1"]),
            (">200 px", ["b1"]),
        ):
            seen.select_option("#by-size", label=size)
            assert names(seen) == expected
        # The hit of b1 is large and its small box is missed: no small hit.
        seen.select_option("#by-size", label="0-10 px")
        only(seen, "hit")
        assert names(seen) == ["a1"]
        seen.select_option("#by-patient", "B")
        assert names(seen) == []
        assert seen.is_visible("text=No slice matches these filters.")
        seen.click("#all-slices")
        assert len(names(seen)) == 6
        assert seen.is_hidden("#no-slices")
        seen.select_option("#by-patient", "B")
        assert names(seen) == ["b1", "b2"]


def test_outlines_lie_on_their_boxes_and_can_be_taken_away(chromium: Any, report: Path):
    with visit(chromium, report) as seen:
        picture = seen.locator(".slide .picture").nth(3)
        frame = picture.bounding_box()
        kinds = {
            "hit": (30, 30, 45, 44),
            "found": (30, 30, 45, 45),
            "missed": (5, 5, 8, 8),
            "false-alarm": (50, 5, 60, 20),
        }
        scale = frame["width"] / 64
        for kind, (x0, y0, x1, y1) in kinds.items():
            box = picture.locator(f"i.{kind}").bounding_box()
            assert (box["x"] - frame["x"]) / scale == pytest.approx(x0, abs=0.1)
            assert (box["y"] - frame["y"]) / scale == pytest.approx(y0, abs=0.1)
            assert box["width"] / scale == pytest.approx(x1 - x0, abs=0.1)
            assert box["height"] / scale == pytest.approx(y1 - y0, abs=0.1)
        assert picture.locator("i.hit b").inner_text() == "0.80"
        styles = [
            picture.locator(f"i.{k}").evaluate("e => getComputedStyle(e).outlineStyle")
            for k in ("hit", "false-alarm", "missed")
        ]
        assert styles == ["solid", "dashed", "dotted"]  # told apart without colour
        seen.uncheck("#overlay")
        assert seen.locator(".slide .picture i:visible").count() == 0
        seen.check("#overlay")
        assert seen.locator(".slide .picture i:visible").count() == 8


def test_a_slice_is_enlarged_by_keyboard(chromium: Any, report: Path):
    with visit(chromium, report) as seen:
        seen.select_option("#by-patient", "B")
        seen.focus(".slide:visible .open")
        small = seen.locator(".slide:visible .picture").first.bounding_box()["width"]
        seen.keyboard.press("Enter")
        title = "B, slice 7: 1 hit, 1 missed, 1 false alarm"
        assert seen.inner_text("#large-title") == title
        large = seen.locator("dialog .picture").bounding_box()["width"]
        assert large > 1.5 * small
        seen.keyboard.press("+")
        assert seen.locator("dialog .picture").bounding_box()["width"] > 1.5 * large
        seen.keyboard.press("ArrowRight")
        assert seen.inner_text("#large-title").startswith("B, slice 8")
        seen.keyboard.press("ArrowRight")  # the last one of the filtered
        assert seen.inner_text("#large-title").startswith("B, slice 8")
        seen.keyboard.press("Escape")
        assert seen.is_hidden("dialog")
        focused = seen.evaluate("document.activeElement.getAttribute('aria-label')")
        assert focused == "Enlarge b2"


def test_the_table_of_boxes_sorts_filters_and_leads_to_slices(
    chromium: Any, report: Path
):
    with visit(chromium, report) as seen:
        heads = seen.locator("#lesion-table thead th").all_inner_texts()
        score = heads.index("Score") + 1
        # Four boxes without a score, four detections that count; one does not.
        before = first_column(seen, score)
        assert before == ["", "", "", "", "0.900", "0.800", "0.600", "0.550"]
        button = seen.locator("#lesion-table thead button", has_text="Score")
        button.click()
        rising = ["0.550", "0.600", "0.800", "0.900", "", "", "", ""]
        assert first_column(seen, score) == rising
        button.click()
        assert first_column(seen, score)[:4] == rising[3::-1]
        head = seen.locator("#lesion-table thead th").nth(score - 1)
        assert head.get_attribute("aria-sort") == "descending"
        seen.locator("#lesion-table thead button", has_text="Size").click()
        sizes = first_column(seen, heads.index("Size, px") + 1)
        # By area, 6 to 225, not by letters.
        assert sizes[0] == "3 x 2"
        assert sizes[-1] == "15 x 15"
        seen.fill("#find", "found 15")
        assert first_column(seen, heads.index("Slice") + 1) == ["7"]
        assert seen.inner_text("#found") == "1 of 8 rows"
        seen.fill("#find", "nobody")
        assert seen.inner_text("#found") == "no row matches"
        seen.fill("#find", "found 15")
        seen.select_option("#by-patient", "A")
        assert seen.is_hidden("#slice-3")
        seen.locator("#lesion-table tbody tr:visible a").click()
        assert seen.is_visible("#slice-3")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_can_be_read_and_switched(chromium: Any, report: Path, scheme: str):
    with visit(chromium, report, color_scheme=scheme) as seen:
        ground = "getComputedStyle(document.body).backgroundColor"
        assert seen.evaluate(CONTRAST) == []
        before = seen.evaluate(ground)
        assert (before == "rgb(255, 255, 255)") == (scheme == "light")
        seen.click("#theme")
        assert seen.evaluate(CONTRAST) == []
        after = seen.evaluate(ground)
        assert (after == "rgb(255, 255, 255)") == (scheme == "dark")
        ink = "getComputedStyle(document.querySelector('svg.chart text')).fill"
        assert seen.evaluate(ink) == seen.evaluate(
            "getComputedStyle(document.body).color"
        )


def test_print_is_light_and_whole(chromium: Any, report: Path):
    with visit(chromium, report, color_scheme="dark") as seen:
        seen.click("#theme")
        seen.click("#theme")  # dark by choice too
        seen.emulate_media(media="print")
        paper = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        titles = seen.locator("section h2").all_inner_texts()
        names = [
            name for key, name in CONTENTS.items() if key not in ("classes", "further")
        ]
        assert titles == names
        assert seen.locator("section:visible").count() == len(names)
        assert seen.locator("form:visible, nav:visible, #theme:visible").count() == 0
        # Nothing is behind a scroll bar.
        tall = "all => all.every(e => e.scrollHeight <= e.clientHeight + 1)"
        assert seen.locator(".tall").count() == 2
        assert seen.eval_on_selector_all(".tall", tall)


def test_the_page_fits_a_phone(chromium: Any, report: Path):
    with visit(chromium, report, viewport={"width": 360, "height": 700}) as seen:
        assert seen.evaluate("document.documentElement.scrollWidth") == 360


def test_numbers_need_no_script(chromium: Any, report: Path):
    with visit(chromium, report, java_script_enabled=False) as seen:
        assert seen.locator("form:visible").count() == 0
        assert seen.locator(".card .big").first.inner_text() == "0.600 (0.520 to 0.640)"
        assert seen.locator(".slide:visible").count() == 6


def test_names_are_text_whatever_they_hold(chromium: Any, tmp_path: Path):
    results, lesions = made_up.results(folds=0), made_up.lesions()
    results["title"] = results["note"] = results["stamp"] = VILE
    figures = results["protocols"]["clinical"]["figures"]
    figures[f"artery.{VILE}.recall"] = made_up.figure(0.5)
    figures[f"artery.{VILE}.boxes"] = made_up.figure(None, reason=VILE)
    for row in lesions:
        row["patient"] = VILE
    slices = [
        one._replace(patient=VILE, image=VILE + one.image)
        for one in made_up.selected_slices()
    ]
    path = tmp_path / "report.html"
    text = page.render(results, lesions, [{"patient": VILE, "note": VILE}], slices)
    path.write_text(text, "utf-8")
    assert verify(read(text), results) == []
    with visit(chromium, path) as seen:
        assert seen.locator("script").count() == 2
        assert seen.inner_text("h1") == VILE
        assert seen.title() == VILE
        # a bar's label is cut to 40 letters
        assert seen.locator("svg text", has_text=VILE[:37] + "...").count() == 1
        assert seen.locator("#patient-table tbody th").inner_text() == VILE
        seen.select_option("#by-patient", label=VILE)
        assert seen.locator(".slide:visible").count() == 6
        embedded = json.loads(seen.locator("#results").text_content())
        assert embedded["title"] == VILE


def test_one_fold_without_anything_has_no_headline_and_says_why(
    chromium: Any, tmp_path: Path
):
    path = tmp_path / "report.html"
    path.write_text(text := page.render(made_up.nothing()), "utf-8")
    assert verify(read(text), made_up.nothing()) == []
    with visit(chromium, path) as seen:
        assert seen.locator(".card").count() == 0
        assert "fold 1 of 5: one fold is no result" in seen.inner_text("#headline")
        assert "NOT A RESULT: the labels are invented" in seen.inner_text("header")
        assert "no image has a labelled box" in seen.inner_text("#points .why-list")
        assert "no image has a labelled box" in seen.inner_text("#points .paper")
        assert "no scan has pixels to score" in seen.inner_text("#calcium")
        assert seen.is_visible("text=No slices to show")
        assert seen.is_visible("text=neither a labelled box nor a detection")


def test_the_page_asks_for_nothing_and_shows_all_figures(report: Path):
    text = report.read_text("utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert len(text) < 10_000_000
    results = made_up.results()
    for protocol in ("clinical", "paper"):
        for key in results["protocols"][protocol]["figures"]:
            at = key.replace("~", "~0").replace("/", "~1").replace(">", "&gt;")
            assert f'data-at="/protocols/{protocol}/figures/{at}/value"' in text, key
    for key in results["calcium"]["figures"]:
        assert f'data-at="/calcium/figures/{key}/value"' in text, key


def test_a_page_holds_so_many_rows_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(html_tables, "LIMIT", 5)
    table = html_tables.lesion_table(made_up.lesions(), 9, [], ["calcium"])
    # The four boxes first, then the most confident detection.
    assert [cell[0] for cell in table.rows[-1].cells][:2] == ["A", "1"]
    assert [line.cells[2][0] for line in table.rows] == ["box"] * 4 + ["detection"]
    assert table.summary.startswith("5 of 9 rows (the page holds no more than 5)")
