"""Slices with their boxes as PNG: a contact sheet, and one of each slice with a finding."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from tqgd_jax.prediction.document import DISCLAIMER
from tqgd_jax.prediction.reading import Reading
from tqgd_jax.report.html.pixels import windowed

COLOUR = (46, 230, 168)
DARK, WHITE, SOFT = (22, 24, 27), (255, 255, 255), (185, 190, 196)
SIDE = 1024  # px: of a slice alone, about
PANEL = 420  # px: of a slice on the sheet
ABREAST = 4
SHOWN = 24  # slices on the sheet
GAP = 4  # px that outlines stand off, so that a lesion of a few px stays visible


def sheet(path: Path, reading: Reading, title: str) -> None:
    """The slices with the most confident boxes, in their order, cropped as looked at."""
    with_boxes, shown = best(reading)
    what = "slices" if reading.scan else "images"
    count = f"{len(reading.names)} {what}, {len(with_boxes)} with a finding"
    if len(with_boxes) > len(shown):
        count += f", the {len(shown)} most confident shown"
    tiles = [
        slice_picture(reading, k, PANEL, reading.lesions.windows[k].tolist())
        for k in shown
    ]
    size = (PANEL, PANEL + 24)
    columns = max(1, min(ABREAST, len(tiles)))
    rows = -(-len(tiles) // columns)
    width, top = max(columns * (size[0] + 8) + 8, 900), 84
    whole = Image.new("RGB", (width, top + max(1, rows) * (size[1] + 8)), DARK)
    draw = ImageDraw.Draw(whole)
    draw.text((12, 10), _fitting(title, width - 24, 22), WHITE, _font(22))
    draw.text((12, 40), f"{count}. {_window(reading)}", SOFT, _font(16))
    draw.text((12, 60), DISCLAIMER, WHITE, _font(16))
    if not tiles:
        draw.text((width // 2, top + 150), "nothing found", WHITE, _font(26), "mm")
    for i, tile in enumerate(tiles):
        x, y = i % columns * (size[0] + 8) + 8, top + i // columns * (size[1] + 8)
        whole.paste(tile, (x, y))
    whole.save(path, compress_level=3)


def best(reading: Reading) -> tuple[list[int], list[int]]:
    """All slices with a box, and those of the most confident ones, in their order."""
    top = np.zeros(len(reading.names))
    np.maximum.at(top, reading.lesions.z, reading.lesions.scores)
    order = np.argsort(-top, kind="stable")[: min(SHOWN, int((top > 0).sum()))]
    return np.flatnonzero(top > 0).tolist(), np.sort(order).tolist()


def alone(path: Path, reading: Reading, index: int, title: str) -> None:
    """One whole slice with its boxes and scores."""
    height, width = reading.sizes[index].tolist()
    picture = slice_picture(reading, index, SIDE, [0, 0, width, height])
    whole = Image.new("RGB", (picture.width, picture.height + 28), DARK)
    whole.paste(picture, (0, 28))
    draw = ImageDraw.Draw(whole)
    text = _fitting(f"{DISCLAIMER} {title}, {_window(reading)}", picture.width - 16, 15)
    draw.text((8, 5), text, SOFT, _font(15))
    whole.save(path, compress_level=3)


def slice_picture(
    reading: Reading, index: int, side: int, crop: Sequence[int]
) -> Image.Image:
    """A slice with a line above it, its long side `side` px."""
    x0, y0, x1, y1 = crop
    pixels = _grey(reading, index)[y0:y1, x0:x1]
    dy, dx = reading.scan.spacing[1:] if reading.scan else (1.0, 1.0)
    scale = side / max((x1 - x0) * dx, (y1 - y0) * dy)
    fx, fy = scale * dx, scale * dy
    size = max(1, round((x1 - x0) * fx)), max(1, round((y1 - y0) * fy))
    picture = (
        Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.NEAREST)
    )
    whole = Image.new("RGB", (side, size[1] + 24), DARK)
    whole.paste(picture, (0, 24))
    draw = ImageDraw.Draw(whole)
    draw.text((4, 3), _fitting(name(reading, index), side - 8, 16), WHITE, _font(16))
    mine = reading.lesions.z == index
    boxes: Float[np.ndarray, "n 4"] = reading.lesions.boxes[mine]
    scores = reading.lesions.scores[mine]
    for (left, up, right, down), score in zip(boxes.tolist(), scores, strict=True):
        a, b = (left - x0) * fx - GAP, (up - y0) * fy - GAP + 24
        c, d = (right - x0) * fx + GAP, (down - y0) * fy + GAP + 24
        draw.rectangle((a, b, c, d), outline=COLOUR, width=2)
        text = f"{score:.2f}"
        wide = draw.textlength(text, _font(15))
        x = c + 4 if c + 4 + wide < size[0] else a - 4 - wide
        draw.text((x, b - 4), text, COLOUR, _font(15), stroke_width=2, stroke_fill=DARK)
    return whole


def name(reading: Reading, index: int) -> str:
    """What a slice is called on a picture."""
    scan = reading.scan
    if scan is None:
        return reading.names[index]
    mm = scan.origin[2] + index * scan.spacing[0]
    return f"slice {index} of 0 to {len(scan.hu) - 1}, z {mm:.1f} mm"


def _grey(reading: Reading, index: int) -> UInt8[np.ndarray, "..."]:
    pixels = reading.pixels(index)
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3):
        pixels = pixels[:, :, pixels.shape[2] // 2]
    return np.round(windowed(pixels, reading.window) * 255).astype(np.uint8)


def _window(reading: Reading) -> str:
    low, high = reading.window
    unit = "HU" if reading.scan else "values"
    return f"{unit} {low:g} to {high:g} from black to white"


def _fitting(text: str, width: float, size: int) -> str:
    """The text, cut where it is wider than `width` px."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    return font
