"""A real browser without a window, and a page in it that tells what went wrong."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The sandbox needs rights that a container has not; the rest keeps the browser from
# calling its maker while we watch for requests.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)

# Lightness of each text against what lies behind it, by WCAG 2.1.
CONTRAST = """() => {
  const canvas = document.createElement("canvas")
    .getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgba(colour).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
  };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.closest(".picture, script, svg, [hidden], dialog")) continue;
    const both = [light(getComputedStyle(e).color), light(behind(e))];
    const [a, b] = both.sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(e.outerHTML.slice(0, 80));
  }
  return low;
}"""


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; skips the test, saying what is missing, where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed: no browser to test in")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed (requirements-dev.txt)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@contextmanager
def visit(opened: Any, path: Path, **context: Any) -> Iterator[Any]:
    """A page of its own; at the end there were no errors and no request but for it."""
    events: list[str] = []
    place = opened.new_context(**context)
    place.set_default_timeout(60_000)  # on a busy machine
    page = place.new_page()
    page.on("console", lambda m: events.append(f"console {m.type}: {m.text}"))
    page.on("pageerror", lambda error: events.append(f"error: {error}"))
    page.on("request", lambda request: events.append(f"request: {request.url}"))
    page.goto(path.as_uri())
    yield page
    place.close()
    asked = [line for line in events if not line.startswith("request: data:")]
    assert asked == [f"request: {path.as_uri()}"]
