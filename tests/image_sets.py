"""Tiny data sets on disk. Every pixel and box is chosen by hand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tqgd_jax.config import Config, Data

Box = tuple[str, float, float, float, float]


def picture(path: Path, h: int = 20, w: int = 30, value: int = 7) -> Path:
    """A grey PNG of one value with one pixel of 200 at row 1, column 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((h, w), value, np.uint8)
    pixels[1, 2] = 200
    Image.fromarray(pixels).save(path)
    return path


def voc(path: Path, boxes: Iterable[Box], h: int = 20, w: int = 30) -> Path:
    """A LabelImg file: the size on line 2, box k on line 3 + k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in boxes
    ]
    size = f"<size><width>{w}</width><height>{h}</height></size>"
    path.write_text("\n".join(["<annotation>", size, *rows, "</annotation>"]))
    return path


def table(root: Path, rows: Sequence[str], head: str = "image,split") -> Path:
    path = root / "split.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def voc_set(root: Path, boxes: dict[str, Sequence[Box]], **size: int) -> Path:
    for value, (name, of) in enumerate(boxes.items(), 1):
        picture(root / "images" / f"{name}.png", value=value, **size)
        voc(root / "annotations" / f"{name}.xml", of, **size)
    return root


def small(root: Path) -> Path:
    """Five training images (c has no boxes), one of them larger, and two for test."""
    one = ("cac", 1.0, 2.0, 5.0, 9.0)
    voc_set(
        root,
        {
            "a": [one],
            "b": [one, ("cac", 10.0, 3.0, 20.5, 8.25)],
            "c": [],
            "d": [("other", 0.0, 0.0, 30.0, 20.0)],
            "t1": [one],
            "t2": [],
        },
    )
    picture(root / "images" / "e.png", h=24, w=26, value=9)
    voc(root / "annotations" / "e.xml", [one], h=24, w=26)
    table(root, [*(f"{n},train" for n in "abcde"), "t1.png,test", "t2,test"])
    return root


def config(root: Path, cache: Path | None = None, **data: object) -> Config:
    """Prepared sets go beside the folder."""
    prepared = str(cache or root.parent / "cache")
    return Config(data=Data(dir=str(root), prepared_dir=prepared, **data))  # type: ignore[arg-type]
