"""What COCO json may say beyond COCO: sizes and places of images, kinds of lesions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqgd_jax.io.coco_columns import Entries, Key, is_number, is_whole, short
from tqgd_jax.structures.image import Image, Lesion, Place

LESION = ("artery", "lesion", "hu_max", "area_px", "area_mm2")


def place(of: Entries, k: int) -> Place:
    """Where image `k` stands; a scan without patient is a patient."""
    row = of.rows[k]
    names = {key: _text(of, k, key) for key in ("patient", "scan", "scanner", "fold")}
    z, spacing, crop = (row.get(key) for key in ("z", "spacing", "crop"))
    if z is not None and not is_whole(z):
        raise ValueError(f"{of.at(k)}: z must be a whole number, got {short(z)}")
    if spacing is not None and not _row(spacing, 3, lambda v: is_number(v) and v > 0):
        raise ValueError(
            f"{of.at(k)}: spacing must be three positive numbers (dz, dy, dx) in mm, "
            f"got {short(spacing)}"
        )
    good = crop is None or _row(crop, 4, is_whole)
    if not good or (crop and not (crop[0] < crop[2] and crop[1] < crop[3])):
        raise ValueError(
            f"{of.at(k)}: crop must be (x0, y0, x1, y1) in whole px of the slice with "
            f"x0 < x1 and y0 < y1, got {short(crop)}"
        )
    return Place(
        patient=names["patient"] or names["scan"],
        scan=names["scan"],
        z=None if z is None else int(z),
        spacing=None if spacing is None else (*map(float, spacing),),  # pyright: ignore[reportArgumentType]
        crop=None if crop is None else (*map(int, crop),),  # pyright: ignore[reportArgumentType]
        scanner=names["scanner"],
        fold=names["fold"],
    )


def lesions(of: Entries) -> list[Lesion]:
    """What annotations say beyond COCO, one each; empty when none says anything."""
    if not any(row.get(key) is not None for row in of.rows for key in LESION):
        return []
    rows = []
    for k, row in enumerate(of.rows):
        values = {key: row.get(key) or 0 for key in LESION[1:]}
        for key, value in values.items():
            good = is_number(value) if key == "area_mm2" else is_whole(value)
            if not good:
                kind = "number" if key == "area_mm2" else "whole number"
                raise ValueError(
                    f"{of.at(k)}: {key} must be a {kind}, got {short(value)}"
                )
        area = float(values.pop("area_mm2"))
        whole = {key: int(value) for key, value in values.items()}
        rows.append(Lesion(_text(of, k, "artery"), area_mm2=area, **whole))
    return rows


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


def _row(value: Any, length: int, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(good, value))


def _text(of: Entries, k: int, key: str) -> str:
    value = of.rows[k].get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, Key):
        raise ValueError(
            f"{of.at(k)}: {key} must be a text or a whole number, got {short(value)}"
        )
    return str(value).strip()
