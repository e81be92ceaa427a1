"""CT scans to slices with boxes: one look at each scan, its pixels read again later.

Volume -> lesions -> heart crop -> slices; Hounsfield units stay int16 from the file to
the device. docs/design/0009-ct.md.
"""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int16
from tqdm import tqdm

from tqgd_jax.config import Config, Data
from tqgd_jax.data import annotations, crop, ct_splits, heart, labels, volumes
from tqgd_jax.data.annotations import Annotation, Problem
from tqgd_jax.data.cohort import Cohort, Study, walk
from tqgd_jax.data.ct_splits import Row
from tqgd_jax.data.folds import Slice
from tqgd_jax.data.groups import pattern_group
from tqgd_jax.data.images import Header
from tqgd_jax.data.items import Item, Lesion, Scan, SliceInfo
from tqgd_jax.data.lesions import ARTERIES, lesion_boxes
from tqgd_jax.data.volumes import Volume

PAD = 4  # px kept free around a box for which a crop is widened
# Files that decide nothing unless a setting names them.
BESIDE = (".csv", ".json", ".txt", ".md", ".png", ".jpg", ".log", ".pdf")
UNLABELLED = "calcium"


@dataclass(frozen=True, eq=False)
class Facts:
    """A scan without its pixels. Boxes are in px of the whole slice."""

    study: Study
    patient: str
    scanner: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    windows: Int[np.ndarray, "z 4"]
    hashes: list[str]
    boxes: list[Float[np.ndarray, "_ 4"]]
    names: list[tuple[str, ...]]
    lesions: list[tuple[Lesion, ...]]
    problems: list[Problem] = field(default_factory=list)


def scan(config: Config, cohort: Cohort) -> Scan:
    """Every scan is read once, on all cores; what is unreadable is left out."""
    data = config.data
    found, seen = _look_at_all(data, cohort)
    problems = [*cohort.problems, *seen]
    if not found:
        listed = "\n".join(f"  {p}" for p in problems[: labels.LISTED])
        raise ValueError(f"{cohort.root}: no scan can be read:\n{listed}")
    classes = _classes(data, cohort, found)
    rows = [row for facts in found for row in _rows(facts)]
    split = ct_splits.split(cohort, rows, data, config.seed)
    parts: dict[str, list[Item]] = {part: [] for part in ("train", "val", "test")}
    read = functools.lru_cache(maxsize=2)(_volume)
    index = {name: k for k, name in enumerate(classes)}
    for facts in found:
        for z in range(facts.shape[0]):
            name = slice_name(facts.study.scan, z)
            if name not in split.part_of:
                text = f"{name}: no part of the split ({split.mode}) names it"
                problems.append(Problem(facts.study.path, 0, "not_in_split", text))
                continue
            item, bad = _item(facts, z, split.group_of[name], data, index, read)
            problems += bad
            if data.slices == "all" or len(item.labels):
                parts[split.part_of[name]].append(item)
    parts = {part: sorted(of, key=_name) for part, of in parts.items() if of}
    notes = [f"{len(found)} scans of {len({f.patient for f in found})} patients"]
    notes += [split.note] if split.note else []
    return Scan(
        cohort.root,
        cohort.format,
        split.mode,
        split.seeded,
        classes,
        parts,
        problems,
        split.stamp,
        notes,
    )


def slice_name(scan: str, z: int) -> str:
    """What slice `z` of a scan is called everywhere."""
    return f"{scan}_z{z:03d}"


def slices(config: Config, cohort: Cohort) -> list[Slice]:
    """Every slice as a manifest of folds wants it; faults stop it."""
    found, problems = _look_at_all(config.data, cohort)
    labels.enforce([*cohort.problems, *problems], config.data.bad_labels)
    return [row.slice for facts in found for row in _rows(facts)]


def marks(config: Config, cohort: Cohort) -> tuple[dict[str, Any], Path, list[Path]]:
    """The settings that matter, the folder, and every file that is read."""
    data = config.data
    studies = [s.path for s in cohort.studies]
    mode, files = ct_splits.source(cohort.root, studies, data)
    seeded = mode in ("ratio", "folds") or data.hold_out > 0
    settings = {
        "format": cohort.format,
        "classes": list(data.classes),
        "split": mode,
        "folds": data.folds if mode == "folds" else None,
        "fold": data.fold if mode in ("folds", "manifest") else None,
        "group": data.group,
        "ratio": list(data.ratio) if mode == "ratio" else None,
        "hold_out": data.hold_out,
        "bad_labels": data.bad_labels,
        "seed": config.seed if seeded else None,
        "patterns": [data.scan_pattern, data.mask_pattern],
        "lesion_hu": data.lesion_hu,
        "slices": data.slices,
        "neighbours": [data.neighbours, data.neighbour_mm],
        "boxes": bool(data.boxes),
        "crop": asdict(data.crop),
    }
    every = [f for f in walk(cohort.root) if f.suffix.lower() not in BESIDE]
    tables = [t for t in (data.boxes, _csv(data)) if t]
    return (
        settings,
        cohort.root,
        [*every, *files, *(find_table(cohort, t) for t in tables)],
    )


def find_table(cohort: Cohort, said: str) -> Path:
    """A csv that a setting names: as it stands, or inside the data folder."""
    for path in (Path(said).expanduser(), cohort.root / said):
        if path.is_file():
            return path
    raise ValueError(f"no file {said!r}, neither here nor in {cohort.root}")


def _csv(data: Data) -> str:
    return data.crop.method if data.crop.method.endswith(".csv") else ""


def _look_at_all(data: Data, cohort: Cohort) -> tuple[list[Facts], list[Problem]]:
    xml = _xml(cohort)
    look = functools.partial(
        _look, cohort=cohort, data=data, xml=xml, csv=_table(cohort, data)
    )
    found, problems = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(look, cohort.studies)
        for facts in tqdm(looks, "read scans", len(cohort.studies), unit="scan"):
            problems += facts.problems if isinstance(facts, Facts) else [facts]
            found += [facts] if isinstance(facts, Facts) else []
    problems += [
        Problem(a.file, 0, "missing_image", "no slice has this SOPInstanceUID")
        for a in xml.values()
    ]
    return found, problems


def _name(item: Item) -> str:
    return item.name


def _volume(path: Path, series: str) -> Volume:
    return volumes.read_volume(path, series=series)


def _look(
    study: Study,
    *,
    cohort: Cohort,
    data: Data,
    xml: dict[str, Annotation],
    csv: Mapping[tuple[str, int], Annotation],
) -> Facts | Problem:
    try:
        volume = _volume(study.path, study.series)
        return _facts(study, volume, cohort, data, xml, csv)
    except ValueError as error:
        text = str(error).removeprefix(f"{study.path}: ")
        return Problem(study.path, 0, "unreadable", text)


def _facts(
    study: Study,
    volume: Volume,
    cohort: Cohort,
    data: Data,
    xml: dict[str, Annotation],
    csv: Mapping[tuple[str, int], Annotation],
) -> Facts:
    depth, h, w = volume.hu.shape
    problems: list[Problem] = []
    boxes: list[np.ndarray] = [np.zeros((0, 4)) for _ in range(depth)]
    names: list[tuple[str, ...]] = [()] * depth
    lesions: list[tuple[Lesion, ...]] = [()] * depth
    if data.boxes or cohort.format == "dicom":
        for name, z in csv:
            if name == study.scan and not 0 <= z < depth:
                raise ValueError(f"{data.boxes}: slice {z} of {depth} has a box")
        said = [
            csv.get((study.scan, z)) if data.boxes else _pop(xml, volume, z)
            for z in range(depth)
        ]
        for z, one in enumerate(said):
            if one is None:
                continue
            problems += one.problems
            if one.size not in (None, (h, w)):
                text = f"made for {one.size}, the slices have {(h, w)} px (h, w)"
                problems.append(Problem(one.file, 0, "size_mismatch", text))
            boxes[z], names[z] = one.boxes, one.names
            lesions[z] = tuple(Lesion(n, 0, 0, 0, 0.0) for n in one.names)
    elif study.mask is not None:
        mask = volumes.read_mask(study.mask, volume)
        found, dim = lesion_boxes(mask, volume.hu, volume.spacing, data.lesion_hu)
        if dim:
            text = f"{dim} mask voxels at or below {data.lesion_hu:g} HU are no lesion"
            problems.append(Problem(study.mask, 0, "below_threshold", text))
        for z in {b.z for b in found}:
            here = [b for b in found if b.z == z]
            boxes[z] = np.array([b.box for b in here], np.float64)
            arteries = [_artery(b.label, cohort.format, data) for b in here]
            names[z] = tuple(arteries)
            lesions[z] = tuple(
                Lesion(a, b.lesion, b.hu_max, b.area_px, b.area_mm2)
                for a, b in zip(arteries, here, strict=True)
            )
    windows, cut = _windows(study, volume, cohort, data, boxes)
    if cut:
        text = f"the heart crop would have cut {cut} labelled boxes and was widened"
        problems.append(Problem(study.path, 0, "crop_widened", text))
    return Facts(
        study,
        _patient(study, volume, data),
        study.scanner or volume.ids.get("manufacturer", ""),
        volume.hu.shape,
        volume.spacing,
        windows,
        [
            hashlib.sha256(np.ascontiguousarray(s).tobytes()).hexdigest()
            for s in volume.hu
        ],
        boxes,
        names,
        lesions,
        problems,
    )


def _windows(
    study: Study,
    volume: Volume,
    cohort: Cohort,
    data: Data,
    boxes: list[Float[np.ndarray, "_ 4"]],
) -> tuple[Int[np.ndarray, "z 4"], int]:
    depth, h, w = volume.hu.shape
    if data.crop.method == "none":
        return np.tile([0, 0, w, h], (depth, 1)), 0
    if data.crop.method == "anatomical":
        hearts = heart.find_heart(volume.hu, volume.spacing)
    else:
        path = find_table(cohort, data.crop.method)
        hearts = heart.read_boxes(path, study.scan, depth)
    windows = crop.crops(
        hearts,
        (h, w),
        volume.spacing[1:],
        per=data.crop.per,
        margin_mm=data.crop.margin_mm,
    )
    return crop.widened(windows, boxes, per=data.crop.per, shape=(h, w), pad=PAD)


def _artery(label: int, format: str, data: Data) -> str:
    if format == "orcascore":
        return ARTERIES.get(label, str(label))
    named = len(data.classes) > 1 and label <= len(data.classes)
    return data.classes[label - 1] if named else str(label)


def _patient(study: Study, volume: Volume, data: Data) -> str:
    if data.group and "(" in data.group:  # else a column of the split file
        return pattern_group(data.group, study.path.name, study.path)
    if study.series:
        return volume.ids.get("patient", "") or study.key
    return study.key


def _classes(data: Data, cohort: Cohort, found: Iterable[Facts]) -> tuple[str, ...]:
    if len(set(data.classes)) != len(data.classes):
        raise ValueError(f"data.classes: a name is there twice: {data.classes}")
    if data.classes:
        return tuple(data.classes)
    if data.boxes or cohort.format == "dicom":
        there = sorted({n for f in found for names in f.names for n in names})
        if not there:
            raise ValueError(f"{cohort.root}: no box names a class; set data.classes")
        return tuple(there)
    return (UNLABELLED,)


def _rows(facts: Facts) -> Iterator[Row]:
    for z, lesions in enumerate(facts.lesions):
        load = sum(lesion.area_mm2 for lesion in lesions)
        if not load:  # boxes without a mask
            wh = facts.boxes[z][:, 2:] - facts.boxes[z][:, :2]
            load = float(wh.prod(axis=1).sum() * facts.spacing[1] * facts.spacing[2])
        name = slice_name(facts.study.scan, z)
        yield Row(
            Slice(name, facts.patient, facts.hashes[z], load, facts.scanner),
            facts.study.scan,
            facts.study.path,
        )


def _item(
    facts: Facts,
    z: int,
    patient: str,
    data: Data,
    index: dict[str, int],
    read: Any,
) -> tuple[Item, list[Problem]]:
    window = facts.windows[z]
    x0, y0, x1, y1 = window.tolist()
    names = facts.names[z]
    if len(index) == 1 and not data.boxes and facts.study.mask is not None:
        names = tuple(index) * len(names)  # one class, whatever the artery
    where = Path(slice_name(str(facts.study.path), z))
    size = (y1 - y0, x1 - x0)
    boxes = crop.to_crop(facts.boxes[z], window)
    said = Annotation(where, boxes, names, (0,) * len(names))
    checked = labels.check(said, size, index, data.bad_labels)
    steps = neighbours(z, facts.shape[0], facts.spacing[0], data)
    info = SliceInfo(
        facts.study.scan, facts.scanner, z, facts.spacing, (x0, y0, x1, y1)
    )
    item = Item(
        facts.study.path,
        slice_name(facts.study.scan, z),
        patient,
        Header(*size, len(steps), "int16"),
        checked.boxes,
        checked.labels,
        pixels=functools.partial(_pixels, read, facts.study, steps, window),
        slice=info,
        lesions=tuple(facts.lesions[z][row] for row in checked.rows),
    )
    return item, checked.problems


def neighbours(z: int, depth: int, dz: float, data: Data) -> list[int]:
    """The slices of one image, from below: `data.neighbours` on either side.

    Their distance is `data.neighbour_mm`, to the nearest slice, so scans of different
    spacing look alike; at the ends the last slice is repeated.
    """
    k = np.arange(-data.neighbours, data.neighbours + 1)
    step = data.neighbour_mm / dz if data.neighbour_mm else 1.0
    return np.clip(z + np.rint(k * step), 0, depth - 1).astype(int).tolist()


def _pixels(
    read: Any, study: Study, steps: list[int], window: Int[np.ndarray, "4"]
) -> Int16[np.ndarray, "h w c"]:
    x0, y0, x1, y1 = window
    hu = read(study.path, study.series).hu
    return np.ascontiguousarray(np.moveaxis(hu[steps, y0:y1, x0:x1], 0, -1))


def _xml(cohort: Cohort) -> dict[str, Annotation]:
    """VOC annotations by SOPInstanceUID."""
    return {f.stem: annotations.read_voc(f) for f in cohort.labels}


def _pop(xml: dict[str, Annotation], volume: Volume, z: int) -> Annotation | None:
    return xml.pop(volume.sop[z], None) if volume.sop else None


def _table(cohort: Cohort, data: Data) -> dict[tuple[str, int], Annotation]:
    """Boxes by scan and slice, of the csv that `data.boxes` names."""
    if not data.boxes:
        return {}
    from tqgd_jax.data import splits

    file = find_table(cohort, data.boxes)
    rows, columns = splits.read_csv(file, "scan")
    for column in ("z", "x0", "y0", "x1", "y1"):
        splits.need(file, columns, column)
    if "class" not in columns and len(data.classes) != 1:
        raise ValueError(
            f"{file}: has no column 'class', so data.classes must name the one class; "
            f"got {data.classes}"
        )
    found: dict[tuple[str, int], list[tuple[list[float], str, int]]] = {}
    known = {s.scan for s in cohort.studies}
    for line, row in rows:
        try:
            z = int(row["z"])
            box = [float(row[c]) for c in ("x0", "y0", "x1", "y1")]
        except ValueError as error:
            raise ValueError(f"{file}:{line}: {error}") from error
        if row["scan"] not in known:
            raise ValueError(f"{file}:{line}: no scan is called {row['scan']!r}")
        name = row.get("class") or data.classes[0]
        found.setdefault((row["scan"], z), []).append((box, name, line))
    return {
        key: Annotation(
            file,
            np.array([box for box, _, _ in of], np.float64).reshape(-1, 4),
            tuple(name for _, name, _ in of),
            tuple(line for _, _, line in of),
        )
        for key, of in found.items()
    }
