"""What masks, XML or a csv say of a scan's slices, in px of the whole slice."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tqgd_jax.config import Data
from tqgd_jax.ct.lesions import ARTERIES, lesion_boxes
from tqgd_jax.data.discover.scan_folder import Cohort, Study
from tqgd_jax.io import voc_yolo, volumes
from tqgd_jax.io.tables import BOX, read_table
from tqgd_jax.io.voc_yolo import nothing
from tqgd_jax.io.volumes import Volume
from tqgd_jax.structures.annotation import Annotation, Problem
from tqgd_jax.structures.dataset_index import Lesion

DEFAULT = "calcium"  # the one class of masks


class Tables(NamedTuple):
    """Read once for all scans, and only read by the threads that look at them.

    Attributes:
      xml: annotations by SOPInstanceUID; empty when `data.boxes` takes their place.
      csv: annotations by scan and slice, of `data.boxes`.
    """

    xml: dict[str, Annotation]
    csv: dict[tuple[str, int], Annotation]


class Labels(NamedTuple):
    """One annotation and one row of lesions for each slice; boxes pair with lesions."""

    said: list[Annotation]
    lesions: list[tuple[Lesion, ...]]
    problems: list[Problem]


def tables(cohort: Cohort, data: Data) -> Tables:
    """Raises ValueError naming files, and lines of the csv."""
    if data.boxes:
        return Tables({}, _csv(cohort, data))
    xml: dict[str, Annotation] = {}
    for file in cohort.labels:
        if file.stem in xml:
            raise ValueError(
                f"two annotations of one slice: {xml[file.stem].file} and {file}; keep "
                "one"
            )
        xml[file.stem] = voc_yolo.read_voc(file)
    return Tables(xml, {})


def labels_of(
    study: Study, volume: Volume, cohort: Cohort, data: Data, said: Tables
) -> Labels:
    """Raises ValueError when a mask does not fit, or a slice is none of the scan's."""
    depth = len(volume.hu)
    if not data.boxes and study.mask is not None:
        return _of_mask(study.mask, volume, cohort.format, data)
    found = [nothing(study.path)] * depth
    if data.boxes:
        for (scan, z), annotation in said.csv.items():
            if scan == study.scan and 0 <= z < depth:
                found[z] = annotation
            elif scan == study.scan:
                raise ValueError(
                    f"{annotation.file}:{annotation.lines[0]}: slice {z} has a box, "
                    f"the scan has the slices 0 to {depth - 1}"
                )
    else:
        for z, uid in enumerate(volume.sop):
            if uid in said.xml:
                found[z] = _turned(said.xml[uid], volume)
    lesions = [tuple(Lesion(n, 0, 0, 0, 0.0) for n in a.names) for a in found]
    return Labels(found, lesions, [])


def _turned(said: Annotation, volume: Volume) -> Annotation:
    """Boxes in px of the file, as stored, to px of the slice as displayed."""
    down, across = volume.flipped
    _, h, w = volume.hu.shape
    x0, y0, x1, y1 = said.boxes.T
    size = said.size
    if volume.swapped:
        x0, y0, x1, y1 = y0, x0, y1, x1
        size = (size[1], size[0]) if size else None
    if across:
        x0, x1 = w - x1, w - x0
    if down:
        y0, y1 = h - y1, h - y0
    boxes = np.stack([x0, y0, x1, y1], axis=1)
    return Annotation(
        said.file, boxes, said.names, said.lines, size, problems=said.problems
    )


def _of_mask(path: Path, volume: Volume, format: str, data: Data) -> Labels:
    mask = volumes.read_mask(path, volume)
    boxes, dim = lesion_boxes(mask, volume.hu, volume.spacing, data.lesion_hu)
    problems = []
    if dim:
        text = f"{dim} mask voxels at or below {data.lesion_hu:g} HU are no lesion"
        problems.append(Problem(path, 0, "below_threshold", text))
    said: list[Annotation] = []
    lesions: list[tuple[Lesion, ...]] = []
    for z in range(len(volume.hu)):
        here = [b for b in boxes if b.z == z]
        said.append(
            Annotation(
                path,
                np.array([b.box for b in here], np.float64).reshape(-1, 4),
                tuple(_name(b.label, format, data.classes) for b in here),
                (0,) * len(here),
            )
        )
        lesions.append(
            tuple(
                Lesion(
                    ARTERIES.get(b.label, str(b.label))
                    if format == "orcascore"
                    else str(b.label),
                    *(b.lesion, b.hu_max, b.area_px, b.area_mm2),
                )
                for b in here
            )
        )
    return Labels(said, lesions, problems)


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
    data: Data, cohort: Cohort, found: Iterable[Annotation]
) -> tuple[str, ...]:
    """Class names by index. Raises ValueError when there can be none."""
    if len(set(data.classes)) != len(data.classes):
        raise ValueError(f"data.classes: a name is there twice: {data.classes}")
    arteries = set(data.classes) <= set(ARTERIES.values())
    of_masks = cohort.format == "orcascore" and not data.boxes
    if of_masks and len(data.classes) > 1 and not arteries:
        raise ValueError(
            f"data.classes={data.classes}: an orCaScore mask knows LAD, LCX and RCA; "
            "give those, one name for all, or nothing"
        )
    if data.classes:
        return tuple(data.classes)
    if data.boxes or cohort.format == "dicom":
        there = sorted({name for a in found for name in a.names})
        if not there:
            raise ValueError(f"{cohort.root}: no box names a class; set data.classes")
        return tuple(there)
    return (DEFAULT,)


def sound(
    boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]
) -> Float[np.ndarray, "_ 4"]:
    """The part inside the slice of every box that has one; faults are judged later."""
    h, w = size
    finite = boxes[np.isfinite(boxes).all(axis=1)]
    inside = np.clip(finite, 0, [w, h, w, h])
    return inside[(inside[:, 2:] > inside[:, :2]).all(axis=1)]


def find_table(root: Path, said: str) -> Path:
    """A csv that a setting names: as it stands, or inside the data folder."""
    for path in (Path(said).expanduser(), root / said):
        if path.is_file():
            return path
    raise ValueError(f"no file {said!r}, neither here nor in {root}")


def _csv(cohort: Cohort, data: Data) -> dict[tuple[str, int], Annotation]:
    file = find_table(cohort.root, data.boxes)
    rows, columns = read_table(file, ["scan", "z", *BOX])
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
            box = [float(row[c]) for c in BOX]
        except ValueError as error:
            raise ValueError(f"{file}:{line}: {error}") from error
        if row["scan"] not in known:
            raise ValueError(
                f"{file}:{line}: no scan is called {row['scan']!r}; there are: "
                + ", ".join(sorted(known)[:3])
            )
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
