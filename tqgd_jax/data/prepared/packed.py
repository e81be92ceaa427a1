"""A packed set: the parts of a data set with their pixels as one `.npz`.

NumPy alone reads it.
"""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.config import Config, Crop, Data
from tqgd_jax.ct import windows
from tqgd_jax.data import masks
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.structures.dataset_index import Lesion, SliceInfo

# Settings that decide what is in a prepared set
SETTINGS = (
    *("format", "classes", "split", "folds", "fold", "group", "ratio", "hold_out"),
    *("bad_labels", "scan_pattern", "mask_pattern", "boxes", "lesion_hu", "slices"),
    *("neighbours", "neighbour_mm", "crop"),
)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError)


def prepared_settings(data: Data) -> dict[str, Any]:
    """The settings that decide what is in a prepared set, as json gives them back."""
    settings = dataclasses.asdict(data)
    return json.loads(json.dumps({name: settings[name] for name in SETTINGS}))


def pack(
    splits: Mapping[str, Dataset], config: Config, *, seeded: bool
) -> dict[str, np.ndarray]:
    """The arrays of the file; `seeded`: the seed had a say in the parts."""
    one = next(iter(splits.values()))
    meta = {
        "kind": "tqgd_jax",
        "fingerprint": one.fingerprint,
        "settings": prepared_settings(config.data),
        "seed": config.seed if seeded else None,
        "classes": one.classes,
        "dtype": one.dtype.name,
        "shape": one.shape,
        "max_boxes": one.max_boxes,
        "stamp": one.disclaimer,
        "fold": one.fold,
        "parts": {part: _row(source) for part, source in splits.items()},
    }
    arrays = {"meta": np.array(json.dumps(meta))}
    for part, source in splits.items():
        images = [source.image(i).reshape(-1) for i in range(len(source.names))]
        arrays[f"{part}/sizes"] = source.sizes
        arrays[f"{part}/counts"] = np.array([len(k) for k in source.labels], np.int32)
        arrays[f"{part}/boxes"] = np.concatenate(source.boxes)
        arrays[f"{part}/labels"] = np.concatenate(source.labels)
        arrays[f"{part}/pixels"] = np.concatenate(images)
        if source.parts is not None:
            arrays[f"{part}/parts"] = masks.pack(source.parts)
    return arrays


def _row(source: Dataset) -> dict[str, Any]:
    row: dict[str, Any] = {"names": source.names, "groups": source.patients}
    if source.slices:
        row |= {"slices": source.slices, "lesions": source.lesions}
    if source.crops:
        row["crops"] = source.crops
    return row


def open_packed(path: Path, config: Config) -> dict[str, Dataset]:
    """The splits of a file that `pack` made."""
    if not path.is_file():
        raise ValueError(f"data.dir: no file {path}; `tqgd pack` makes one")
    arrays = load_arrays(path)
    if not all(f"{part}/pixels" in arrays for part in _meta(arrays)["parts"]):
        raise ValueError(f"{path}: has no pixels; make it with tqgd pack")
    _same_settings(path, _meta(arrays), config)
    _knows_hearts(path, _meta(arrays), config)

    def pixels(part: str) -> Callable[[int], np.ndarray]:
        flat, sizes = arrays[f"{part}/pixels"], arrays[f"{part}/sizes"]
        c = _meta(arrays)["shape"][2]
        ends = np.cumsum(sizes.astype(np.int64).prod(axis=1) * c)

        def image(i: int) -> np.ndarray:
            h, w = sizes[i]
            return flat[ends[i] - h * w * c : ends[i]].reshape(h, w, c)

        return image

    try:
        return _sources(arrays, pixels, config.data)
    except masks.MisfitError as error:
        raise ValueError(f"{path}: {error}; pack it again") from error


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Of a packed set or the index of a prepared one. Raises ValueError for others."""
    try:
        # np.load leaves a file open that it cannot read
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        if _meta(arrays)["kind"] != "tqgd_jax":
            raise KeyError("kind")
    except DAMAGED as error:
        raise ValueError(
            f"{path}: damaged or not a prepared set ({type(error).__name__}: {error}); "
            "delete it and make it again"
        ) from error
    return arrays


def _meta(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return json.loads(str(arrays["meta"]))


def _sources(
    arrays: dict[str, np.ndarray],
    image: Callable[[str], Callable[[int], np.ndarray]],
    data: Data,
) -> dict[str, Dataset]:
    meta = _meta(arrays)
    dtype, settings = np.dtype(meta["dtype"]), meta["settings"]
    fold = meta.get("fold")  # older packed sets do not tell
    capacity = sum(len(row["names"]) for row in meta["parts"].values())
    sources = {}
    for part, row in meta["parts"].items():
        cuts = np.cumsum(arrays[f"{part}/counts"])[:-1]
        boxes = np.split(arrays[f"{part}/boxes"], cuts)
        bits = arrays.get(f"{part}/parts")
        lesions = [[Lesion(*one) for one in of] for of in row.get("lesions", ())]
        sources[part] = Dataset(
            classes=tuple(meta["classes"]),
            names=row["names"],
            patients=row["groups"],
            sizes=arrays[f"{part}/sizes"],
            boxes=boxes,
            labels=np.split(arrays[f"{part}/labels"], cuts),
            shape=tuple(meta["shape"]),
            max_boxes=meta["max_boxes"],
            capacity=capacity,
            dtype=dtype,
            fingerprint=meta["fingerprint"],
            image=image(part),
            disclaimer=_disclaimer(meta),
            fold=None if fold is None else (fold[0], fold[1]),
            positive_only="slices" in row and meta["settings"]["slices"] == "positive",
            slices=[_slice(of) for of in row.get("slices", ())],
            crops=[(x0, y0, x1, y1) for x0, y0, x1, y1 in row.get("crops", ())],
            lesions=lesions,
            parts=None if bits is None else masks.unpack(bits, boxes),
            calcium=masks.least_calcium(data, settings["lesion_hu"], dtype),
            no_masks=_no_masks(settings, lesions, bits),
        )
    return sources


def _no_masks(settings: dict[str, Any], lesions: list[list[Lesion]], bits: Any) -> str:
    """Why a part has no true masks; a box of a mask has an area."""
    if bits is not None:
        return ""
    if any(lesion.area_px for of in lesions for lesion in of):
        return "packed before masks were stored; pack it again for the true ones"
    return masks.no_masks(settings["boxes"])


def _disclaimer(meta: dict[str, Any]) -> str:
    """Before there was `data.crop.widen`, the windows of all parts were widened."""
    crop = meta["settings"]["crop"]
    if "widen" in crop:
        return meta["stamp"]
    scans = any("slices" in part for part in meta["parts"].values())
    before = Crop(**crop, widen="all")
    return windows.disclaimer(meta["stamp"], before, scans and before.method != "none")


def _knows_hearts(path: Path, meta: dict[str, Any], config: Config) -> None:
    rows = (row for part in meta["parts"].values() for row in part.get("slices", ()))
    if config.eval.beyond_heart_mm and any(len(row) < 6 for row in rows):
        raise ValueError(
            f"{path} was packed before the distance from the heart was stored, which "
            f"eval.beyond_heart_mm={config.eval.beyond_heart_mm:g} needs; pack it again"
        )


def _slice(row: list[Any]) -> SliceInfo:
    scan, scanner, z, spacing, crop, *beyond_mm = row  # an older file knows fewer
    return SliceInfo(scan, scanner, z, tuple(spacing), tuple(crop), *beyond_mm)


def _same_settings(path: Path, meta: dict[str, Any], config: Config) -> None:
    packed = meta["settings"]
    plain, now = prepared_settings(Data()), prepared_settings(config.data)
    packed["crop"] = plain["crop"] | packed["crop"]  # an older file knows fewer
    for name in SETTINGS:
        if now[name] not in (packed[name], plain[name]):
            raise ValueError(
                f"{path} was packed with data.{name}={packed[name]!r}, the run says "
                f"{now[name]!r}; pack it again, or leave data.{name} out"
            )
    if meta["seed"] not in (None, config.seed):  # None: the seed drew nothing
        raise ValueError(
            f"{path} was packed with parts drawn by seed={meta['seed']}, the run says "
            f"{config.seed}; pack it again with --config.seed={config.seed}, or split "
            "by a csv file, which no seed changes"
        )
