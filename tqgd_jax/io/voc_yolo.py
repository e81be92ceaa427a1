"""Readers of one image's boxes: LabelImg / Pascal VOC XML and YOLO text.

A reader never raises on what a file says: what is wrong is a `Problem`, a value that
carries file and line. `data.read.validation.check` judges the boxes, `coco.py` reads COCO.
"""

from pathlib import Path
from xml.parsers import expat

import numpy as np

from tqgd_jax.structures.annotation import Annotation, Problem

MAX_BYTES = 64 * 2**20  # of one XML or text file: a million boxes


def nothing(file: Path, *problems: Problem) -> Annotation:
    """An image without boxes."""
    return Annotation(file, np.zeros((0, 4)), (), (), problems=problems)


def unreadable(file: Path, line: int, text: str) -> Annotation:
    return nothing(file, Problem(file, line, "unreadable", text))


def too_large(file: Path, most: int) -> str:
    """Why `file` is refused unread, or nothing."""
    size = file.stat().st_size
    return f"{size} bytes, at most {most} are read" if size > most else ""


def read_voc(file: Path) -> Annotation:
    """Pascal VOC XML as LabelImg writes it: tags in any case, float coordinates.

    The image is found by the name of the file; what `folder`, `filename` and `path` say
    is often wrong and not read. DOCTYPE is refused, so entities cannot expand.
    """
    if why := too_large(file, MAX_BYTES):
        return unreadable(file, 0, why)
    parser = expat.ParserCreate()
    stack: list[str] = []
    text: list[str] = []
    objects: list[dict[str, str]] = []
    lines: list[int] = []
    size: dict[str, str] = {}

    def start(tag: str, _: dict[str, str]) -> None:
        stack.append(tag.lower())
        text.clear()
        if stack == ["annotation", "object"]:
            objects.append({})
            lines.append(parser.CurrentLineNumber)
        if stack == ["annotation", "object", "bndbox"]:
            lines[-1] = parser.CurrentLineNumber

    def end(_: str) -> None:
        value = "".join(text).strip()
        if stack[:2] == ["annotation", "object"] and (
            stack[2:] == ["name"] or (len(stack) == 4 and stack[2] == "bndbox")
        ):
            objects[-1][stack[-1]] = value
        if stack[:2] == ["annotation", "size"] and len(stack) == 3:
            size[stack[-1]] = value
        if len(stack) == 1 and stack != ["annotation"]:
            raise ValueError(f"the root is <{stack[0]}>, VOC has <annotation>")
        stack.pop()
        text.clear()

    def doctype(*_: object) -> None:
        raise ValueError("has a DOCTYPE, which could expand entities; remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        return unreadable(file, error.lineno, f"not XML: {error}")
    except ValueError as error:
        return unreadable(file, parser.CurrentLineNumber, str(error))
    boxes = []
    for item, line in zip(objects, lines, strict=True):
        try:
            boxes.append([float(item[k]) for k in ("xmin", "ymin", "xmax", "ymax")])
            item["name"]
        except KeyError as error:
            return unreadable(file, line, f"an object without <{error.args[0]}>")
        except ValueError as error:
            return unreadable(file, line, str(error))
    return Annotation(
        file,
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(item["name"] for item in objects),
        tuple(lines),
        size=_claimed(size),
    )


def _claimed(size: dict[str, str]) -> tuple[int, int] | None:
    h, w = size.get("height", ""), size.get("width", "")
    # LabelImg writes 0 where it does not know
    return (
        (int(h), int(w))
        if h.isdecimal() and w.isdecimal() and int(h) and int(w)
        else None
    )


def read_yolo(file: Path, names: tuple[str, ...] = ()) -> Annotation:
    """YOLO text: class index, centre, width and height as fractions of the image.

    `names` are the class names by index; without one the index is the name.
    """
    if why := too_large(file, MAX_BYTES):
        return unreadable(file, 0, why)
    try:
        rows = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        return unreadable(file, 0, f"not text: {error}")
    boxes, classes, lines = [], [], []
    for line, row in enumerate(rows, 1):
        words = row.split()
        if not words:
            continue
        if len(words) != 5:
            why = (
                f"{len(words)} values {row[:60]!r}; a box is: class cx cy width height"
            )
            return unreadable(file, line, why)
        try:
            k = int(words[0])
            cx, cy, w, h = (float(word) for word in words[1:])
        except ValueError as error:
            return unreadable(file, line, str(error))
        boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        classes.append(names[k] if 0 <= k < len(names) else str(k))
        lines.append(line)
    return Annotation(
        file,
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(classes),
        tuple(lines),
        relative=True,
    )
