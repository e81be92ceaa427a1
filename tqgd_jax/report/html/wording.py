"""Words of the page for images that are no CT: they have neither slices nor calcium."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tqgd_jax.report.html.gallery import SelectedSlice

WORDS = {
    "all slices, with and without calcium": "with and without a labelled box",
    "slices without calcium": "images without a labelled box",
    "tiny calcifications": "tiny objects",
    "the clinical protocol": "the first",
    "the paper protocol": "the second",
    "clinical protocol": "all images",
    "paper protocol": "images with a box",
    "the paper's": "TQGDNet's",
    "scan, slice: boxes of slices are found; lesion: 3-d lesions are found, per scan.": "",
    "per scan (or slice)": "per image",
    "a slice": "an image",
    "a lesion": "an object",
    "slices": "images",
    "slice": "image",
    "lesions": "objects",
    "lesion": "object",
}
_WORDS = "|".join(map(re.escape, WORDS))
_FOUND = re.compile(rf"<[^>]*>|\b(?:{_WORDS})(?!\w)", re.IGNORECASE)
# Beginnings of what only scans have; keys of figures and of the glossary.
SCANS = (
    "froc.scan.",
    "froc.lesion.",
    "lesion3d",
    "artery",
    "kappa",
    "accuracy",
    "icc_",
)
SCANS += (
    "scanner",
    "bias",
    "loa",
    "log",
    "mae",
    "cut",
    "volume",
    "overlap",
    "mass",
    "size.mm2",
)
SECTIONS = {"lesions3d", "calcium", "arteries"}


def of_images(
    results: Mapping[str, Any],
    lesions: Sequence[Mapping[str, Any]],
    gallery: Sequence[SelectedSlice],
) -> bool:
    """Whether images were judged that are known to be no slices of scans."""
    window = str((results.get("inputs") or {}).get("window", ""))
    if window.startswith("HU") or "figures" in results["calcium"]:
        return False
    numbered = any(str(row["z"]) for row in lesions if "z" in row)
    numbered |= any(one.z is not None for one in gallery)
    return bool(lesions or gallery) and not numbered


def known_of_images(key: str) -> bool:
    """Whether a figure means something for images without scans."""
    return not key.startswith(SCANS) and not key.endswith("fp_per_scan")


def for_images(html: str) -> Markup:
    """A part of the page in words for images; names inside of tags stay."""

    def other(match: re.Match[str]) -> str:
        text = match.group()
        if text.startswith("<"):
            return text
        word = WORDS[text.lower()]
        return word.capitalize() if text[0].isupper() else word

    return Markup(_FOUND.sub(other, html))
