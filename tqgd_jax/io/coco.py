"""Reader of COCO json: one file for all images, or one per split."""

import bisect
import functools
import json
import json.decoder
import json.scanner
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.io.voc_yolo import nothing, too_large
from tqgd_jax.structures.annotation import Annotation, Entry, Problem

MAX_BYTES = 2**30  # COCO's own largest is 448 MB


def read_coco(file: Path) -> dict[str, Annotation]:
    """Annotations by `file_name`. Raises ValueError naming file and line."""
    if why := too_large(file, MAX_BYTES):
        raise ValueError(f"{file}: {why}")
    text = file.read_text("utf-8-sig")
    breaks = [i for i, char in enumerate(text) if char == "\n"]

    def line(thing: dict[str, Any]) -> int:
        return bisect.bisect_left(breaks, thing["@"]) + 1

    try:
        said = _with_places(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: not json: {error.msg}") from error
    thing: dict[str, Any] = said
    try:
        classes = {}
        for thing in said["categories"]:
            classes[thing["id"]] = str(thing["name"])
        boxes = defaultdict(list)
        known = {thing["id"] for thing in said["images"]}
        for thing in said["annotations"]:
            x, y, w, h = (float(v) for v in thing["bbox"])
            if thing["image_id"] not in known:
                raise ValueError(f"no image has the id {thing['image_id']}")
            name = classes[thing["category_id"]]
            crowd = bool(thing.get("iscrowd", 0))
            boxes[thing["image_id"]].append(
                ([x, y, x + w, y + h], name, line(thing), crowd)
            )
        found: dict[str, Annotation] = {}
        for thing in said["images"]:
            rows = boxes[thing["id"]]
            name = thing["file_name"]
            if name in found:
                raise ValueError(f"two images have the file_name {name!r}")
            size = (int(thing["height"]), int(thing["width"]))
            found[name] = _annotation(file, rows, size)
    except KeyError as error:
        raise ValueError(
            f"{file}:{line(thing)}: COCO needs {error.args[0]!r} here"
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}:{line(thing)}: {error}") from error
    return found


def _annotation(file: Path, rows: list[Any], size: tuple[int, int]) -> Annotation:
    text = "stands for many objects (iscrowd); it is no box to learn"
    crowds = [Problem(file, at, "crowd", text) for _, _, at, crowd in rows if crowd]
    rows = [row for row in rows if not row[3]]
    return Annotation(
        file,
        np.array([row[0] for row in rows], np.float64).reshape(-1, 4),
        tuple(row[1] for row in rows),
        tuple(row[2] for row in rows),
        size=size,
        problems=tuple(crowds),
    )


def _with_places(text: str) -> dict[str, Any]:
    """Parsed json whose objects carry their offset in `text` as "@"."""
    decoder: Any = json.JSONDecoder()

    def parse(start: tuple[str, int], *rest: Any) -> tuple[Any, int]:
        found, end = json.decoder.JSONObject(start, *rest)  # type: ignore[attr-defined]
        found["@"] = start[1]
        return found, end

    decoder.parse_object = parse
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder.decode(text)


@functools.lru_cache(maxsize=4)
def cached(file: Path, _mtime: int) -> dict[str, Annotation]:
    return read_coco(file)


def annotation(entry: Entry) -> Annotation:
    """The annotation of an entry that `entries` made."""
    if entry.label is None:
        return nothing(entry.path)
    return cached(entry.label, entry.label.stat().st_mtime_ns)[entry.key]


def entries(
    root: Path, files: list[Path], names: dict[Path, str]
) -> tuple[list[Entry], list[Problem]]:
    """Pairs the images a json names with the images that are there."""
    by_name = defaultdict(list)
    for path in names:
        by_name[path.name].append(path)
    found: dict[Path, Entry] = {}
    problems = []
    for file in files:
        for key in cached(file, file.stat().st_mtime_ns):
            tries = [file.parent / key, root / key, root / "images" / key]
            fits = [path for path in tries if path in names]
            fits = fits or by_name[Path(key).name]
            if len(fits) != 1 and not any(path in names for path in tries):
                text = f"{len(fits)} images fit {key!r}"
                problems.append(Problem(file, 0, "missing_image", text))
                continue
            path = fits[0]
            if path in found:
                raise ValueError(
                    f"{path} is named twice: by {found[path].label} and {file}; an "
                    "image belongs to one of them"
                )
            found[path] = Entry(path, names[path], file, key)
    text = "is named by no json; COCO lists images without boxes too"
    problems += [
        Problem(path, 0, "not_in_split", text) for path in names if path not in found
    ]
    return [found[path] for path in names if path in found], problems
