"""The slice viewer in a real headless browser, from a file."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.prediction.readings import NOTHING, detectors, reading
from tests.report.browser import CONTRAST, visit
from tqgd_jax.prediction import viewer
from tqgd_jax.prediction.document import document

SIZE = {"viewport": {"width": 1300, "height": 1000}}


def written(path: Path, *args) -> Path:
    of = reading(*args)
    path.write_text(viewer.render(of, document(of, detectors())), "utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("viewer") / "report.html")


def at(seen: Any, slice_: int) -> None:
    """Waits until the slice is on the screen."""
    seen.locator(f"#stage[data-drawn='{slice_}']").wait_for()


def shown(seen: Any) -> Image.Image:
    """The stage, after what was asked is drawn."""
    seen.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))"
    )
    return Image.open(io.BytesIO(seen.locator("#stage").screenshot()))


def middle(seen: Any) -> list[int]:
    """Red, green and blue in the middle of the stage."""
    picture = shown(seen).convert("RGB")
    pixel: Any = picture.getpixel((picture.width // 2, picture.height // 2))
    return list(pixel)


def test_slices_scroll_by_wheel_keys_slider_and_dragging(chromium: Any, page: Path):
    with visit(chromium, page, **SIZE) as seen:
        at(seen, 4)  # that of the surest box
        assert "slice 4 of 0 to 5, z 112.0 mm: 2 boxes" in seen.inner_text("#where")
        seen.hover("#stage")
        seen.mouse.wheel(0, 100)
        at(seen, 3)
        assert "no boxes" in seen.inner_text("#where")
        seen.keyboard.press("ArrowUp")
        at(seen, 4)
        seen.keyboard.press("Home")
        at(seen, 0)
        seen.keyboard.press("PageUp")
        at(seen, 5)  # the last: there are no ten more
        seen.fill("#slice", "2")
        at(seen, 2)
        box = seen.locator("#stage").bounding_box()
        seen.mouse.move(box["x"] + 200, box["y"] + 200)
        seen.mouse.down()
        seen.mouse.move(
            box["x"] + 200, box["y"] + 188
        )  # 6 px a slice, towards the head
        seen.mouse.up()
        at(seen, 4)


def test_findings_are_gone_to(chromium: Any, page: Path):
    with visit(chromium, page, **SIZE) as seen:
        at(seen, 4)
        seen.keyboard.press("p")
        at(seen, 2)
        seen.click("[data-do=previous]")
        at(seen, 1)
        seen.keyboard.press("n")
        at(seen, 2)
        seen.click("#lesion-table [data-lesion='2']")
        at(seen, 4)
        assert seen.get_attribute("#stage", "data-zoom") == "3"
        assert seen.locator("tr[aria-current=true]").get_attribute("data-lesion") == "2"
        seen.keyboard.press("0")
        assert seen.get_attribute("#stage", "data-zoom") == "1"


def test_windows_turn_hounsfield_units_into_greys(chromium: Any, page: Path):
    with visit(chromium, page, **SIZE) as seen:
        at(seen, 4)
        seen.click(
            "#lesion-table [data-lesion='1']"
        )  # 140 HU, in the middle of the view
        at(seen, 2)
        seen.uncheck("#boxes")
        seen.uncheck("#lesions")
        # 140 lies in the code of 140 to 144, whose middle is 142; white is 255
        for k, low, high in (
            (0, -160, 240),
            (1, -100, 700),
            (2, -1350, 150),
            (3, -500, 1500),
        ):
            seen.click(f"[data-preset='{k}']")
            grey = round(255 * min(1, (142 - low) / (high - low)))
            assert max(abs(value - grey) for value in middle(seen)) <= 1
        seen.fill("#low", "142")
        seen.fill("#high", "143")
        seen.keyboard.press("Enter")
        assert middle(seen) == [0, 0, 0]
        box = seen.locator("#stage").bounding_box()
        seen.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        seen.locator("#where", has_text="140 to 144 HU").wait_for()


def test_boxes_and_lesions_are_shown_or_not(chromium: Any, page: Path):
    with visit(chromium, page, **SIZE) as seen:
        at(seen, 4)
        seen.click("#lesion-table [data-lesion='1']")
        at(seen, 2)
        red, green, blue = middle(seen)
        assert max(red, green, blue) - min(red, green, blue) > 30  # the lesion's colour
        seen.keyboard.press("l")
        red, green, blue = middle(seen)
        assert red == green == blue
        with_boxes = seen.evaluate("document.getElementById('canvas').toDataURL()")
        seen.keyboard.press("b")
        middle(seen)
        assert with_boxes != seen.evaluate(
            "document.getElementById('canvas').toDataURL()"
        )


def test_the_page_says_what_was_found_and_is_harmless(chromium: Any, page: Path):
    with visit(chromium, page, **SIZE, color_scheme="dark") as seen:
        at(seen, 4)
        assert seen.inner_text("#agatston") == "48.0"
        assert "Not a medical device" in seen.inner_text("header")
        assert "<b>careful</b>" in seen.inner_text("[data-code=kvp]")
        assert "</script><script>alert(1)" in seen.inner_text(".facts")
        assert seen.inner_text("#lesion-table tbody tr:nth-child(3)").split("\t")[
            3:
        ] == [
            "below 130",
            "0.0",
            "0.0",
        ]
        assert seen.locator("#conventions tbody tr").count() == 5
        assert seen.evaluate(CONTRAST) == []


def test_a_scan_without_findings_is_still_shown(chromium: Any, tmp_path: Path):
    with visit(chromium, written(tmp_path / "r.html", NOTHING), **SIZE) as seen:
        at(seen, 2)
        assert "Nothing was found." in seen.inner_text("main")
        seen.keyboard.press("n")
        seen.keyboard.press("ArrowDown")
        at(seen, 1)
