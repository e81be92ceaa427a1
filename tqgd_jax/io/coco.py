"""Reader of COCO json: one file for all images, or one per split."""

import bisect
import functools
import json
import json.decoder
import json.scanner
from collections import defaultdict
from pathlib import Path
from typing import Any

from tqgd_jax.io import coco_columns
from tqgd_jax.io.coco_columns import Placed
from tqgd_jax.io.text import last_place
from tqgd_jax.structures.annotation import Annotation, Entry, Problem

CROWD = "stands for many objects (iscrowd); it is no box to learn"
RULE = "list it there"


def read_coco(file: Path) -> dict[str, Annotation]:
    """Annotations by `file_name`. Raises ValueError naming file and line."""
    _, images, categories, truth = coco_columns.ground_truth(file, _with_lines)
    keys = coco_columns.ids(images)
    image, kind = (
        coco_columns.lookup(truth, key, {v: k for k, v in enumerate(known)}, RULE)
        for key, known in (
            ("image_id", keys),
            ("category_id", coco_columns.ids(categories)),
        )
    )
    classes = coco_columns.class_names(categories, set(kind.tolist()))
    if any("id" in row for row in truth.rows):  # COCO wants one, no box needs it
        coco_columns.ids(truth)
    xywh = coco_columns.raw_boxes(truth)
    boxes, rounding = coco_columns.corners(xywh), last_place(xywh.ravel().tolist())
    crowd = coco_columns.flags(truth, "iscrowd")
    coco_columns.column(images, "file_name")
    names = coco_columns.names(images, range(len(keys)), keys)
    lines = [row.line for row in truth.rows]
    made: dict[str, Annotation] = {}
    by_image = coco_columns.by_image(image, len(keys))
    for k, (name, of) in enumerate(zip(names, by_image, strict=False)):
        own, crowds = of[~crowd[of]], of[crowd[of]]
        made[name] = Annotation(
            file,
            boxes[own],
            tuple(classes[c] for c in kind[own]),
            tuple(lines[i] for i in own),
            size=coco_columns.size(images, k),
            rounding=rounding,
            problems=tuple(Problem(file, lines[i], "crowd", CROWD) for i in crowds),
        )
    return made


def _with_lines(text: str) -> Any:
    """Parsed json whose objects know their lines."""
    breaks = [i for i, char in enumerate(text) if char == "\n"]
    decoder: Any = json.JSONDecoder()

    def parse(start: tuple[str, int], *rest: Any) -> tuple[Any, int]:
        values, end = json.decoder.JSONObject(start, *rest)  # type: ignore[attr-defined]
        placed = Placed(values)
        placed.line = bisect.bisect_left(breaks, start[1]) + 1
        return placed, end

    decoder.parse_object = parse
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder.decode(text)


@functools.lru_cache(maxsize=4)
def _cached(file: Path, _mtime: int) -> dict[str, Annotation]:
    return read_coco(file)


def annotations(file: Path) -> dict[str, Annotation]:
    """As `read_coco`, read once while the file stays as it is."""
    return _cached(file, file.stat().st_mtime_ns)


def entries(
    root: Path, files: list[Path], names: dict[Path, str]
) -> tuple[list[Entry], list[Problem]]:
    """Pairs the images a json names with the images that are there."""
    by_name, by_any_case = defaultdict(list), defaultdict(list)
    for path in names:
        by_name[path.name].append(path)
        by_any_case[path.name.casefold()].append(path)
    paired: dict[Path, Entry] = {}
    problems = []
    for file in files:
        for key in annotations(file):
            inside = Path(key.replace("\\", "/"))  # as Windows writes it
            tries = [file.parent / inside, root / inside, root / "images" / inside]
            fits = [path for path in tries if path in names]
            fits = fits or by_name[inside.name] or by_any_case[inside.name.casefold()]
            if len(fits) != 1 and not any(path in names for path in tries):
                text = f"{len(fits)} images fit {key!r}"
                problems.append(Problem(file, 0, "missing_image", text))
                continue
            path = fits[0]
            if path in paired:
                raise ValueError(
                    f"{path} is named twice: by {paired[path].label} and {file}; an "
                    "image belongs to one of them"
                )
            paired[path] = Entry(path, names[path], file, key)
    text = "is named by no json; COCO lists images without boxes too"
    problems += [
        Problem(path, 0, "not_in_split", text) for path in names if path not in paired
    ]
    return [paired[path] for path in names if path in paired], problems
