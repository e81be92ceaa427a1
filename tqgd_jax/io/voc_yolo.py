"""Readers of one image's boxes: LabelImg / Pascal VOC XML and YOLO text.

A reader never raises on what a file says: what is wrong is a `Problem`, a value that
carries file and line. `data.read.validation.check` judges the boxes, `coco.py` reads COCO.
"""

from pathlib import Path
from xml.parsers import expat

import numpy as np

from tqgd_jax.io.layouts import recognised
from tqgd_jax.io.text import (
    MAX_BYTES,
    is_number,
    last_place,
    not_utf8,
    read_text,
    too_large,
)
from tqgd_jax.structures.annotation import Annotation, Problem

POINT = "write them with a decimal point"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def nothing(file: Path, *problems: Problem) -> Annotation:
    """An image without boxes."""
    return Annotation(file, np.zeros((0, 4)), (), (), problems=problems)


def unreadable(file: Path, line: int, text: str) -> Annotation:
    return nothing(file, Problem(file, line, "unreadable", text))


def read_voc(file: Path) -> Annotation:
    """Pascal VOC XML as LabelImg writes it: tags in any case, float coordinates.

    The image is found by the name of the file; what `folder`, `filename` and `path` say
    is often wrong and not read. DOCTYPE is refused, so entities cannot expand. An object
    that is `difficult` or `truncated` is a box like any other: COCO and YOLO do not know
    the words, and a lesion that is hard to see is a lesion.
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
        if stack == ["annotation", "object", "robndbox"]:
            raise ValueError(
                "a rotated box (robndbox); boxes are upright: draw it as a rectangle"
            )

    def end(_: str) -> None:
        value = "".join(text).strip()
        if stack[:2] == ["annotation", "object"] and (
            stack[2:] == ["name"] or (len(stack) == 4 and stack[2] == "bndbox")
        ):
            objects[-1][stack[-1]] = value
        if stack[:2] == ["annotation", "size"] and len(stack) == 3:
            size[stack[-1]] = value
        if len(stack) == 1 and stack != ["annotation"]:
            other = recognised(file) or "VOC has <annotation>"
            raise ValueError(f"the root is <{stack[0]}>: {other}")
        stack.pop()
        text.clear()

    def doctype(*_: object) -> None:
        raise ValueError(
            recognised(file) or "has a DOCTYPE, which could expand entities; remove it"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = doctype
    content = file.read_bytes()
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        # without a declaration XML is UTF-8, and expat knows few others
        why = not_utf8(content)
        return unreadable(
            file, error.lineno, f"not XML: {error}" + f"; {why}" * bool(why)
        )
    except ValueError as error:
        why = [str(error), not_utf8(content)]
        return unreadable(file, parser.CurrentLineNumber, "; ".join(filter(None, why)))
    boxes = []
    for item, line in zip(objects, lines, strict=True):
        try:
            boxes.append([float(item[k]) for k in CORNERS])
            item["name"]
        except KeyError as error:
            return unreadable(file, line, f"an object without <{error.args[0]}>")
        except ValueError:
            corners = ", ".join(f"{k} {item[k]!r}" for k in CORNERS)
            return unreadable(file, line, f"{corners}: no numbers; {POINT}")
    return Annotation(
        file,
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(item["name"] for item in objects),
        tuple(lines),
        size=_claimed(size),
        rounding=last_place(item[k] for item in objects for k in CORNERS),
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

    An index may be written 0 or 0.0, as NumPy does. `names` are the class names by
    index; without one the index is the name.
    """
    try:
        rows = read_text(file, MAX_BYTES).splitlines()
    except ValueError as error:
        return unreadable(file, 0, str(error).removeprefix(f"{file}: "))
    boxes, classes, lines = [], [], []
    numbers: list[str] = []
    for line, row in enumerate(rows, 1):
        words = row.split()
        if not words:
            continue
        if len(words) != 5:
            why = (
                f"{len(words)} values {row[:60]!r}; a box is: class cx cy width height"
                + ". Polygons and rotated boxes are not read" * (len(words) > 6)
            )
            return unreadable(file, line, why)
        if wrong := [word for word in words if not is_number(word)]:
            return unreadable(file, line, f"{wrong[0]!r} is no number; {POINT}")
        index, cx, cy, w, h = map(float, words)
        if index < 0 or index % 1:
            why = f"class {words[0]!r}; it is an index: 0, 1, ..."
            return unreadable(file, line, why)
        k = int(index)
        numbers += words[1:]
        boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        classes.append(names[k] if k < len(names) else str(k))
        lines.append(line)
    return Annotation(
        file,
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(classes),
        tuple(lines),
        relative=True,
        rounding=last_place(numbers),
    )
