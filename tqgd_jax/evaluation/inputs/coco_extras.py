"""What COCO json may say beyond COCO: sizes and places of images, kinds of lesions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqgd_jax.io.coco_columns import Entries, Key, is_number, short
from tqgd_jax.structures.image import Image, Lesion, Place

LARGEST = 2**53  # whole number that float64 holds too
LESION = ("artery", "lesion", "hu_max", "area_px", "area_mm2")


def size(of: Entries, k: int) -> tuple[int, int] | None:
    """(height, width) of image `k`, px; None when it says neither."""
    row = of.rows[k]
    size = (row.get("height"), row.get("width"))
    if size == (None, None):
        return None
    if not all(_whole(v) and v > 0 for v in size):
        raise ValueError(
            f"{of.at(k)}: height and width must be positive whole numbers (px), got "
            f"{short(size[0])} and {short(size[1])}; leave both out if unknown"
        )
    return int(size[0]), int(size[1])  # pyright: ignore[reportArgumentType]


def place(of: Entries, k: int) -> Place:
    """Where image `k` stands; a scan without patient is a patient."""
    row = of.rows[k]
    names = {key: _text(of, k, key) for key in ("patient", "scan", "scanner", "fold")}
    z, spacing, crop = (row.get(key) for key in ("z", "spacing", "crop"))
    if z is not None and not _whole(z):
        raise ValueError(f"{of.at(k)}: z must be a whole number, got {short(z)}")
    if spacing is not None and not _row(spacing, 3, lambda v: is_number(v) and v > 0):
        raise ValueError(
            f"{of.at(k)}: spacing must be three positive numbers (dz, dy, dx) in mm, "
            f"got {short(spacing)}"
        )
    good = crop is None or _row(crop, 4, _whole)
    if not good or (crop and not (crop[0] < crop[2] and crop[1] < crop[3])):
        raise ValueError(
            f"{of.at(k)}: crop must be (x0, y0, x1, y1) in whole px of the slice with "
            f"x0 < x1 and y0 < y1, got {short(crop)}"
        )
    return Place(
        patient=names["patient"] or names["scan"],
        scan=names["scan"],
        z=None if z is None else int(z),
        spacing=None if spacing is None else _three(spacing),
        crop=None if crop is None else (*map(int, crop),),  # pyright: ignore[reportArgumentType]
        scanner=names["scanner"],
        fold=names["fold"],
    )


def lesions(of: Entries) -> list[Lesion]:
    """What annotations say beyond COCO, one each; empty when none says anything."""
    if not any(row.get(key) is not None for row in of.rows for key in LESION):
        return []
    result = []
    for k, row in enumerate(of.rows):
        values = {key: row.get(key) or 0 for key in LESION[1:]}
        for key, value in values.items():
            good = is_number(value) if key == "area_mm2" else _whole(value)
            if not good:
                kind = "number" if key == "area_mm2" else "whole number"
                raise ValueError(
                    f"{of.at(k)}: {key} must be a {kind}, got {short(value)}"
                )
        area = float(values.pop("area_mm2"))
        whole = {key: int(value) for key, value in values.items()}
        result.append(Lesion(_text(of, k, "artery"), area_mm2=area, **whole))
    return result


def no_slice_twice(path: Path, images: Sequence[Image]) -> None:
    """Raises ValueError for two images that are one part of one slice."""
    seen: dict[tuple, str] = {}
    for image in images:
        if image.place.z is None or not image.place.scan:
            continue
        key = (*image.scan, image.place.z, image.place.crop)
        if key in seen:
            raise ValueError(
                f"{path}: {seen[key]} and {image.name} are both slice "
                f"{image.place.z} of the scan {image.place.scan!r}; a slice is judged "
                "once"
            )
        seen[key] = image.name


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    a, b, c = map(float, values)
    return a, b, c


def _row(value: Any, length: int, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(good, value))


def _whole(value: Any) -> bool:
    return is_number(value) and value == int(value) and abs(value) <= LARGEST


def _text(of: Entries, k: int, key: str) -> str:
    value = of.rows[k].get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, Key):
        raise ValueError(
            f"{of.at(k)}: {key} must be a text or a whole number, got {short(value)}"
        )
    return str(value).strip()
