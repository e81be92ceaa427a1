"""Hounsfield units as 8-bit codes that a browser can window, and their size as PNG.

A page of 200 slices at full depth is larger than a mail takes, most of it noise. The
codes are fine where windows of soft tissue need it, coarse in lung and bone, and one in
air; 130 HU is an edge in every table, so a pixel that counts as calcium is seen to.
docs/design/0034-predict.md has the measured sizes.
"""

import base64
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int16, UInt8
from PIL import Image

BUDGET = 26_000_000  # characters of base64 in one page
PROBED = 12  # slices from which the size of all is foreseen
MARGIN = 1.05  # of that
# From, to and step, HU: above air, fat and soft tissue, calcium, bone and metal.
TABLE = ((-958, -206, 16), (-206, 130, 4), (130, 400, 5), (400, 1501, 25))
# Factor of the steps, and pixels a side that become one: tried in this order.
LADDER = ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (4, 4), (4, 8))


class Encoded(NamedTuple):
    """Slices as a page holds them.

    Attributes:
      png: base64 of an 8-bit PNG for each slice.
      edges: HU from which the next code begins; code 0 is below the first.
      binned: pixels a side that one pixel of the PNG stands for.
      text: how it was stored, for a reader.
    """

    png: tuple[str, ...]
    edges: tuple[int, ...]
    binned: int
    text: str


def edges(factor: int) -> Int[np.ndarray, "e"]:
    """Where codes begin, HU, with all steps `factor` times as large; 130 stays one."""
    return np.concatenate([np.arange(a, b, step * factor) for a, b, step in TABLE])


def encoded(
    hu: Callable[[int], Int16[np.ndarray, "h w"]], count: int, budget: int = BUDGET
) -> Encoded:
    """Slices in the finest codes that the budget holds.

    Args:
      hu: the values of a slice.
      count: of the slices.
      budget: characters in all; the coarsest codes are taken where none fits.
    """
    probe = np.unique(np.linspace(0, count - 1, min(count, PROBED)).round().astype(int))
    for factor, binned in LADDER:
        last = (factor, binned) == LADDER[-1]
        table = _table(edges(factor))
        foreseen = sum(len(_png(hu(int(k)), table, binned)) for k in probe)
        if foreseen * count / len(probe) * MARGIN > budget and not last:
            continue
        png, total = [], 0
        for k in range(count):
            png.append(_png(hu(k), table, binned))
            total += len(png[-1])
            if total > budget and not last:
                break
        else:
            return Encoded(
                tuple(png),
                tuple(edges(factor).tolist()),
                binned,
                _text(factor, binned),
            )
    raise AssertionError("the last rung takes everything")


def _table(levels: Int[np.ndarray, "e"]) -> UInt8[np.ndarray, "65536"]:
    """Code of every int16, from the least."""
    every = np.arange(-(2**15), 2**15)
    return np.searchsorted(levels, every, side="right").astype(np.uint8)


def _png(
    hu: Int16[np.ndarray, "h w"], table: UInt8[np.ndarray, "65536"], binned: int
) -> str:
    values = hu.astype(np.int32) if binned == 1 else _means(hu, binned)
    return picture(table[values + 2**15])


def picture(pixels: UInt8[np.ndarray, "..."]) -> str:
    """Base64 of a PNG."""
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG", compress_level=6)
    return base64.b64encode(held.getvalue()).decode()


def _means(hu: Int16[np.ndarray, "h w"], n: int) -> Int[np.ndarray, "_ _"]:
    """Means of squares of n x n pixels; the last ones repeat the border."""
    height, width = hu.shape
    padded = np.pad(hu, ((0, -height % n), (0, -width % n)), "edge")
    blocks: Float[np.ndarray, "_ _ _ _"] = padded.reshape(
        padded.shape[0] // n, n, padded.shape[1] // n, n
    ).astype(np.float64)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.int32)


def _text(factor: int, binned: int) -> str:
    steps = [step * factor for _, _, step in TABLE]
    text = (
        f"Grey levels of this page are rounded: steps of {steps[1]} HU in soft tissue, "
        f"{steps[2]} from 130 to 400 HU, {steps[3]} above, {steps[0]} in lung; air below "
        f"{TABLE[0][0]} HU is one level."
    )
    if binned > 1:
        text += f" {binned} x {binned} pixels are shown as one, their mean."
    return f"{text} Boxes, lesions and scores are of the exact values."
