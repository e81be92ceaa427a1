"""COCO json files as checked columns: what pycocotools would read, or what is wrong.

Checks run over whole columns, so 600,000 detections take seconds; only when one fails
is the faulty entry looked for and named.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tqgd_jax.io.json_text import is_number, is_whole, load, short

MAX_PX = 1e7  # of a coordinate: areas stay exact

TEXT_AND_NUMBERS = (
    "text (in quotes) is another id than a number: write both without quotes"
)
Key = int | str
Entry = dict[str, Any]


class Placed(dict):
    """An object of a json file that knows its line."""

    line: int


class Entries(NamedTuple):
    """A list in a json file.

    Attributes:
      path: the file.
      name: of the list, as messages call it.
      rows: objects, as far as `column` has looked at them.
    """

    path: Path
    name: str
    rows: Sequence[Any]

    def at(self, k: int) -> str:
        """How a message names entry `k`: with its line and its id when it has them."""
        row = self.rows[k]
        line = f":{row.line}" if isinstance(row, Placed) else ""
        known = isinstance(row, dict) and isinstance(row.get("id"), Key)
        end = f" (id {row['id']!r})" if known else ""
        return f"{self.path}{line}: {self.name}[{k}]{end}"


def ground_truth(
    path: Path, parse: Callable[[str], Any] = json.loads
) -> tuple[Entry, Entries, Entries, Entries]:
    """The object in a file, and its images, categories and annotations."""
    whole = load(path, parse)
    if not isinstance(whole, dict):
        raise ValueError(
            f"{path}: ground truth is an object with 'images', 'annotations' and "
            f"'categories', this is a {type(whole).__name__}; are ground truth and "
            "detections swapped?"
        )
    lists = []
    for name in ("images", "categories", "annotations"):
        if name not in whole:
            raise ValueError(
                f"{path}: no {name!r}; ground truth has 'images', 'annotations' and "
                f"'categories', this file has "
                f"{', '.join(map(repr, list(whole)[:6])) or '{}'}"
            )
        if not isinstance(whole[name], list):
            raise ValueError(
                f"{path}: {name!r} must be a list of objects, got {short(whole[name])}"
            )
        lists.append(Entries(path, name, whole[name]))
    return whole, *lists


def column(of: Entries, key: str) -> list[Any]:
    """The value of `key` in every entry."""
    try:
        return [row[key] for row in of.rows]
    except (KeyError, TypeError, IndexError):
        for k, row in enumerate(of.rows):
            if not isinstance(row, dict):
                raise ValueError(
                    f"{of.at(k)}: must be an object with {key!r}, got {short(row)}"
                ) from None
            if key not in row:
                raise ValueError(
                    f"{of.at(k)}: no {key!r}; it has "
                    f"{', '.join(map(repr, list(row)[:8])) or 'no key at all'}"
                ) from None
        raise


def ids(of: Entries) -> list[Key]:
    """The ids of all entries: whole numbers or texts, of one kind, none twice."""
    keys = column(of, "id")
    seen: dict[Key, int] = {}
    for k, value in enumerate(keys):
        if isinstance(value, bool) or not isinstance(value, Key):
            raise ValueError(
                f"{of.at(k)}: id must be a whole number or a text, got {short(value)}"
            )
        if type(value) is not type(keys[0]):
            raise ValueError(
                f"{of.at(k)}: id {value!r} is of another kind than {keys[0]!r}, the "
                "first one; ids are all numbers or all texts"
            )
        if value in seen:
            raise ValueError(
                f"{of.at(k)}{_called(of.rows[k])}: {of.name}[{seen[value]}]"
                f"{_called(of.rows[seen[value]])} has the id {value!r} already; ids must "
                "differ"
            )
        seen[value] = k
    return keys


def _called(row: Entry) -> str:
    """The name of an entry, as messages add it."""
    name = row.get("file_name") or row.get("name")
    return f" {short(name)}" if name else ""


def class_names(of: Entries, used: Collection[int]) -> list[str]:
    """The name of each category.

    Two of one name are one class to a reader, so they are refused; but what Roboflow
    writes above its classes, which no annotation uses, may have the name of one.

    Args:
      of: the categories.
      used: positions of those that annotations use.
    """
    names = [str(name) for name in column(of, "name")]
    above = {row.get("supercategory") for row in of.rows}
    seen: dict[str, int] = {}
    for k, name in enumerate(names):
        if k not in used and name in above:
            continue
        if (other := seen.setdefault(name, k)) != k:
            raise ValueError(
                f"{of.at(k)}: {of.name}[{other}] is called {name!r} already; names of "
                "classes must differ: merge the two, or rename one"
            )
    return names


def names(of: Entries, order: Sequence[int], keys: Sequence[Key]) -> list[str]:
    """The file_name of images, or their id, in an order; none twice."""
    seen: dict[str, Key] = {}
    for k in order:
        name = str(of.rows[k].get("file_name") or keys[k])
        if name in seen:
            raise ValueError(
                f"{of.at(k)}: image {seen[name]!r} has the file_name {name!r} too; "
                "names must differ, with their folders if need be"
            )
        seen[name] = keys[k]
    return list(seen)


def size(of: Entries, k: int) -> tuple[int, int] | None:
    """(height, width) of image `k`, px; None when it says neither."""
    row = of.rows[k]
    size = (row.get("height"), row.get("width"))
    if size == (None, None):
        return None
    if not all(is_whole(v) and v > 0 for v in size):
        raise ValueError(
            f"{of.at(k)}: height and width must be positive whole numbers (px), got "
            f"{short(size[0])} and {short(size[1])}; leave both out if unknown"
        )
    return int(size[0]), int(size[1])  # pyright: ignore[reportArgumentType]


def lookup(
    of: Entries, key: str, index: Mapping[Key, int], rule: str
) -> Int[np.ndarray, "n"]:
    """The position in `index` of every entry's `key`; `rule` ends the message."""
    values = column(of, key)
    try:
        return np.fromiter((index[v] for v in values), np.int64, len(values))
    except (KeyError, TypeError):
        known = ", ".join(map(repr, list(index)[:6])) or "none"
        more = f" and {len(index) - 6} more" if len(index) > 6 else ""
        for k, value in enumerate(values):
            if not isinstance(value, Key) or value not in index:
                kinds = {type(value), *map(type, index)} == {int, str}
                raise ValueError(
                    f"{of.at(k)}: {key} {short(value)} is none of the ground truth's, "
                    f"which are {known}{more}; " + (TEXT_AND_NUMBERS if kinds else rule)
                ) from None
        raise


def boxes(of: Entries) -> Float[np.ndarray, "n 4"]:
    """Every entry's bbox (x, y, width, height), px, as (x0, y0, x1, y1)."""
    values = raw_boxes(of)
    place = f"is no place in an image; numbers go up to {MAX_PX:g} px"
    side = (
        "has a negative width or height; it is (x, y, width, height) in px, not two "
        "corners"
    )
    for wrong, rule in ((np.abs(values) > MAX_PX, place), (values[:, 2:] < 0, side)):
        for k in np.flatnonzero(wrong.any(axis=1)).tolist():
            raise ValueError(f"{of.at(k)}: bbox {values[k].tolist()} {rule}")
    return corners(values)


def raw_boxes(of: Entries) -> Float[np.ndarray, "n 4"]:
    """Every entry's bbox as it stands: four numbers, in or outside an image."""
    return _numbers(of, "bbox", (4,), "four numbers (x, y, width, height) in px")


def corners(xywh: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """(x, y, width, height) as (x0, y0, x1, y1)."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def xywh(corners: Float[np.ndarray, "n 4"]) -> list[list[float]]:
    """(x0, y0, x1, y1) as COCO writes boxes: (x, y, width, height)."""
    wide = corners.astype(np.float64)
    sides = wide[:, 2:] - wide[:, :2]
    return np.concatenate([wide[:, :2], sides], axis=1).tolist()


def areas(of: Entries) -> Float[np.ndarray, "n"]:
    """Every entry's area, px^2; width times height where it gives none."""
    values = []
    for k, row in enumerate(of.rows):
        area = row.get("area")
        if area is None:
            area = row["bbox"][2] * row["bbox"][3]
        elif not is_number(area) or not 0 <= area <= MAX_PX**2:
            raise ValueError(
                f"{of.at(k)}: area {short(area)} must be a number (px^2) from 0 to "
                f"{MAX_PX**2:g}; leave it out, and width x height of bbox counts"
            )
        values.append(area)
    return np.array(values, np.float64)


def flags(of: Entries, key: str) -> Bool[np.ndarray, "n"]:
    """Whether every entry's `key` is 1; where it is missing it is 0."""
    values = [row.get(key) or 0 for row in of.rows]
    for k, value in enumerate(values):
        if value not in (0, 1):
            raise ValueError(f"{of.at(k)}: {key} must be 0 or 1, got {short(value)}")
    return np.array(values, bool)


def scores(of: Entries) -> Float[np.ndarray, "n"]:
    """Every entry's score; any finite number will do."""
    return _numbers(of, "score", (), "a finite number")


def _numbers(of: Entries, key: str, shape: tuple[int, ...], rule: str) -> np.ndarray:
    values = column(of, key)
    if not values:
        return np.zeros((0, *shape))
    try:
        array = np.array(values)  # the type is asked for: "1" must not become 1
    except (ValueError, OverflowError):
        array = np.zeros(0)  # rows of unequal length
    good = array.dtype.kind in "fiu" and array.shape == (len(values), *shape)
    if good and np.isfinite(array := array.astype(np.float64)).all():
        return array
    for k, value in enumerate(values):
        parts = value if shape and isinstance(value, list) else [value]
        if len(parts) != math.prod(shape) or not all(map(is_number, parts)):
            raise ValueError(f"{of.at(k)}: {key} must be {rule}, got {short(value)}")
    return np.array(values, np.float64)


def by_image(image: Int[np.ndarray, "n"], count: int) -> list[Int[np.ndarray, "_"]]:
    """Rows of each image, in the order of the file."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(1, count)))
