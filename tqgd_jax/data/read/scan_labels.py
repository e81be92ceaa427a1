"""What masks, XML or a csv say of a scan's slices, in px of the whole slice."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.config import Data
from tqgd_jax.ct import heart_boxes
from tqgd_jax.ct.lesions import ARTERIES, lesion_boxes
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.scan_folder import ScanFiles, ScanFolder
from tqgd_jax.io import voc_yolo, volumes
from tqgd_jax.io.coca import Outlines, read_coca
from tqgd_jax.io.layouts import PLIST
from tqgd_jax.io.tables import BOX, read_table
from tqgd_jax.io.text import is_number, last_place
from tqgd_jax.io.voc_yolo import nothing
from tqgd_jax.io.volumes import Volume
from tqgd_jax.structures.annotation import Annotation, Problem
from tqgd_jax.structures.dataset_index import Lesion

DEFAULT = "calcium"  # the one class of masks

Outlined = tuple[Path, Outlines, float]  # file, outlines, unit of the last decimal


class Tables(NamedTuple):
    """Read once for all scans, and only read by the threads that look at them.

    Attributes:
      xml: annotations by SOPInstanceUID; empty when `data.boxes` takes their place.
      coca: outlines of lesions by the name of the scan, of Stanford's COCA.
      boxes: annotations by scan and slice, of `data.boxes`.
      hearts: rows of the csv of heart boxes, by scan.
      problems: files of COCA that belong to no scan.
    """

    xml: dict[str, Annotation]
    coca: dict[str, Outlined]
    boxes: dict[tuple[str, int], Annotation]
    hearts: dict[str, heart_boxes.Rows]
    problems: tuple[Problem, ...] = ()


class Labels(NamedTuple):
    """One annotation and one row of lesions for each slice; boxes pair with lesions.

    Of a mask also the pixels of each box, row by row.
    """

    boxes: list[Annotation]
    lesions: list[tuple[Lesion, ...]]
    problems: list[Problem]
    parts: list[tuple[Bool[np.ndarray, "_"], ...]] | None = None


def tables(folder: ScanFolder, layout: Layout, data: Data) -> Tables:
    """Raises ValueError naming files, and lines of the csv."""
    hearts = heart_boxes.read_rows(layout.hearts) if layout.hearts else {}
    if layout.boxes:
        return Tables({}, {}, _boxes(layout.boxes, folder, data.classes), hearts)
    xml: dict[str, Annotation] = {}
    coca: dict[str, Outlined] = {}
    of_stem: dict[str, Path] = {}
    for file in folder.labels:
        if (other := of_stem.setdefault(file.stem, file)) != file:
            raise ValueError(
                f"two annotations of one slice: {other} and {file}; keep one"
            )
        label = voc_yolo.read_voc(file)
        if PLIST in (problem.text for problem in label.problems):
            try:
                coca[file.stem] = (file, *read_coca(file))
                continue
            except ValueError as error:
                text = str(error).removeprefix(f"{file}: ")
                label = voc_yolo.unreadable(file, 0, text)
        xml[file.stem] = label
    of_scan, problems = _by_scan(folder, coca)
    return Tables(xml, of_scan, {}, hearts, problems)


def _by_scan(
    folder: ScanFolder, files: dict[str, Outlined]
) -> tuple[dict[str, Outlined], tuple[Problem, ...]]:
    """Outlines by scan, from those by patient: the one series below patient/NAME/."""
    owner: dict[str, ScanFiles] = {}
    for scan in folder.scans:
        parts = scan.path.relative_to(folder.root).parts
        if "patient" not in parts[:-1]:
            continue
        name = parts[parts.index("patient") + 1]
        other = owner.setdefault(name, scan)
        if name in files and other is not scan:
            raise ValueError(
                f"{files[name][0]}: two series lie below patient/{name}, and it does not "
                f"say of which it is: {other.path} ({other.series}) and {scan.path} "
                f"({scan.series}); keep one"
            )
    problems = tuple(
        Problem(file, 0, "missing_image", f"no series lies below patient/{name}")
        for name, (file, *_) in files.items()
        if name not in owner
    )
    return {owner[n].name: of for n, of in files.items() if n in owner}, problems


def labels_of(
    scan: ScanFiles, volume: Volume, format: str, data: Data, tables: Tables
) -> Labels:
    """Raises ValueError when a mask does not fit, or a slice is none of the scan's."""
    depth = len(volume.hu)
    if not data.boxes and scan.mask is not None:
        return _of_mask(scan.mask, volume, format, data)
    boxes = [nothing(scan.path)] * depth
    for (name, z), annotation in tables.boxes.items():
        if name == scan.name and not 0 <= z < depth:
            raise ValueError(
                f"{annotation.file}:{annotation.lines[0]}: slice {z} has a box, "
                f"the scan has the slices 0 to {depth - 1}"
            )
        if name == scan.name:
            boxes[z] = annotation
    for z, uid in enumerate(volume.sop):
        if uid in tables.xml:
            boxes[z] = _turned(tables.xml[uid], volume)
    if outlined := tables.coca.get(scan.name):
        for z, label in _of_coca(*outlined, depth, data.classes):
            boxes[z] = _turned(label, volume)
    lesions = [tuple(Lesion(n, 0, 0, 0, 0.0) for n in a.names) for a in boxes]
    return Labels(boxes, lesions, [])


def _of_coca(
    file: Path,
    outlines: Outlines,
    rounding: float,
    depth: int,
    classes: tuple[str, ...],
) -> Iterator[tuple[int, Annotation]]:
    """Slice and boxes; a lesion is of the class of its name, or of the only one."""
    for index, rois in outlines.items():
        if not 0 <= index < depth:
            raise ValueError(
                f"{file}: ImageIndex {index}, and the scan has {depth} slices; the file "
                "is of another series"
            )
        yield (
            depth - 1 - index,
            Annotation(
                file,
                np.array([box for _, box in rois], np.float64).reshape(-1, 4),
                tuple(
                    name if name in classes else (*classes, DEFAULT)[0]
                    for name, _ in rois
                ),
                (0,) * len(rois),
                rounding=rounding,
            ),
        )


def _turned(label: Annotation, volume: Volume) -> Annotation:
    """Boxes in px of the file, as stored, to px of the slice as displayed."""
    down, across = volume.flipped
    _, h, w = volume.hu.shape
    x0, y0, x1, y1 = label.boxes.T
    size = label.size
    if volume.swapped:
        x0, y0, x1, y1 = y0, x0, y1, x1
        size = (size[1], size[0]) if size else None
    if across:
        x0, x1 = w - x1, w - x0
    if down:
        y0, y1 = h - y1, h - y0
    return replace(label, boxes=np.stack([x0, y0, x1, y1], axis=1), size=size)


def _of_mask(path: Path, volume: Volume, format: str, data: Data) -> Labels:
    mask = volumes.read_mask(path, volume)
    every, dim = lesion_boxes(mask, volume.hu, volume.spacing, data.lesion_hu)
    problems = []
    if dim:
        text = f"{dim} mask voxels at or below {data.lesion_hu:g} HU are no lesion"
        problems.append(Problem(path, 0, "below_threshold", text))
    arteries = ARTERIES if format == "orcascore" else {}
    boxes: list[Annotation] = []
    lesions: list[tuple[Lesion, ...]] = []
    parts = []
    for z in range(len(volume.hu)):
        of_slice = [b for b in every if b.z == z]
        corners = np.array([b.box for b in of_slice], np.float64).reshape(-1, 4)
        names = tuple(_name(b.label, format, data.classes) for b in of_slice)
        boxes.append(Annotation(path, corners, names, (0,) * len(names)))
        lesions.append(
            tuple(
                Lesion(
                    arteries.get(b.label, str(b.label)),
                    *(b.lesion, b.hu_max, b.area_px, b.area_mm2),
                )
                for b in of_slice
            )
        )
        parts.append(tuple(b.pixels.reshape(-1) for b in of_slice))
    return Labels(boxes, lesions, problems, parts)


def _name(label: int, format: str, classes: tuple[str, ...]) -> str:
    """The class of a mask value; its number where it has none, which is a fault."""
    if format == "orcascore":
        artery = ARTERIES.get(label)
        if artery is None:
            return str(label)
        if set(classes) & set(ARTERIES.values()):
            return artery
    elif len(classes) > 1:
        return classes[label - 1] if label <= len(classes) else str(label)
    return classes[0] if classes else DEFAULT


def class_names(
    data: Data, folder: ScanFolder, labels: Iterable[Annotation]
) -> tuple[str, ...]:
    """Class names by index; empty where no box names one."""
    arteries = set(data.classes) <= set(ARTERIES.values())
    of_masks = folder.format == "orcascore" and not data.boxes
    if of_masks and len(data.classes) > 1 and not arteries:
        raise ValueError(
            f"data.classes={data.classes}: an orCaScore mask knows LAD, LCX and RCA; "
            "give those, one name for all, or nothing"
        )
    if data.classes:
        return tuple(data.classes)
    if data.boxes or folder.format == "dicom":
        return tuple(sorted({name for label in labels for name in label.names}))
    return (DEFAULT,)


def sound(
    boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]
) -> Float[np.ndarray, "_ 4"]:
    """The part inside the slice of every box that has one; faults are judged later."""
    h, w = size
    finite = boxes[np.isfinite(boxes).all(axis=1)]
    inside = np.clip(finite, 0, [w, h, w, h])
    return inside[(inside[:, 2:] > inside[:, :2]).all(axis=1)]


def _boxes(
    file: Path, folder: ScanFolder, classes: tuple[str, ...]
) -> dict[tuple[str, int], Annotation]:
    rows, columns = read_table(file, ["scan", "z", *BOX])
    if "class" not in columns and len(classes) != 1:
        raise ValueError(
            f"{file}: has no column 'class', so data.classes must name the one class; "
            f"got {classes}"
        )
    by_slice: dict[tuple[str, int], list[tuple[list[float], str, int]]] = {}
    rounding = last_place(row[c] for _, row in rows for c in BOX if is_number(row[c]))
    scans = {s.name for s in folder.scans}
    for line, row in rows:
        try:
            z = int(row["z"])
            box = [float(row[c]) for c in BOX]
        except ValueError as error:
            raise ValueError(f"{file}:{line}: {error}") from error
        if row["scan"] not in scans:
            raise ValueError(
                f"{file}:{line}: no scan is called {row['scan']!r}; there are: "
                + ", ".join(sorted(scans)[:3])
            )
        name = row.get("class") or classes[0]
        by_slice.setdefault((row["scan"], z), []).append((box, name, line))
    return {
        key: Annotation(
            file,
            np.array([box for box, _, _ in of], np.float64).reshape(-1, 4),
            tuple(name for _, name, _ in of),
            tuple(line for _, _, line in of),
            rounding=rounding,
        )
        for key, of in by_slice.items()
    }
