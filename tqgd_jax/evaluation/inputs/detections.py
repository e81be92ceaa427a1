"""Ground truth and detections of any detector, from COCO json to an evaluation set.

The order is pycocotools': images by id, classes by category id, detections as they
stand, so equal confidences are ranked alike.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tqgd_jax.evaluation.inputs import coco_extras, coco_remarks
from tqgd_jax.evaluation.inputs.patient_table import apply
from tqgd_jax.evaluation.inputs.patient_table import read as read_table
from tqgd_jax.io import coco_columns
from tqgd_jax.io.coco_columns import Entries, Key, short
from tqgd_jax.structures.evaluation_set import EvaluationSet, checked
from tqgd_jax.structures.image import Image, Place

ALONE = (
    "{} of {} images name no patient and count as one each: intervals are too narrow "
    "if patients have several images (--patients)"
)


class Boxes(NamedTuple):
    """Boxes of a file: `image` and `label` are positions; corners in px."""

    image: Int[np.ndarray, "n"]
    label: Int[np.ndarray, "n"]
    corners: Float[np.ndarray, "n 4"]


class Images(NamedTuple):
    """The images of a ground truth, by id; no sizes unless all are known."""

    ids: list[Key]
    names: list[str]
    places: list[Place]
    sizes: tuple[tuple[int, int], ...]


def read(
    ground_truth: Path,
    detections: Path | None,
    patients: Path | None = None,
    threshold: float | None = None,
) -> EvaluationSet:
    """Reads COCO json: ground truth, and a list of results with bbox xywh and score.

    Images may say more than COCO asks for: `patient`, `scan`, `scanner`, `fold`, `z`,
    `spacing` (dz, dy, dx mm) and `crop` (x0, y0, x1, y1 px); so may annotations, see
    `Lesion`, and `info`: `stamp`, `part` and `positive_only` (`EvaluationSet`). An image
    without patient is its scan's, or stands for itself. An annotation with `iscrowd` or
    `ignore` is a region to ignore; COCO's figures know `iscrowd` alone, and take sizes
    from `area`, as pycocotools does.

    Args:
      ground_truth: json object with images, annotations and categories.
      detections: json list of results, or an object with `annotations`; None: nothing
        was detected.
      patients: csv for `patient_table.read`; it goes before what the images say.
      threshold: confidence from which a detection counts, chosen elsewhere.

    Raises:
      ValueError: in one line with file, entry, value, rule and way out.
    """
    document, pictures, categories, truth = coco_columns.ground_truth(ground_truth)
    images = _images(pictures)
    category_of, classes = _categories(categories)
    image_of = {key: k for k, key in enumerate(images.ids)}
    boxes = _boxes(truth, image_of, category_of, "list it there")
    if any("id" in row for row in truth.rows):  # COCO wants one, no figure needs it
        coco_columns.ids(truth)
    ignore, iscrowd = (coco_columns.flags(truth, key) for key in ("ignore", "iscrowd"))
    area = coco_columns.areas(truth)
    _no_empty(truth, boxes.corners, ignore | iscrowd)
    lesions = coco_extras.lesions(truth)
    dets, scores = _detections(detections, image_of, category_of)
    evaluated = [
        Image(
            name=name,
            boxes=boxes.corners[b],
            labels=boxes.label[b],
            det_boxes=dets.corners[d],
            det_scores=scores[d],
            det_labels=dets.label[d],
            ignore=ignore[b],
            place=place,
            lesions=tuple(lesions[k] for k in b) if lesions else (),
            iscrowd=iscrowd[b],
            area=area[b],
        )
        for name, place, b, d in zip(
            images.names,
            images.places,
            coco_columns.by_image(boxes.image, len(images.ids)),
            coco_columns.by_image(dets.image, len(images.ids)),
            strict=True,
        )
    ]
    notes = [
        *coco_remarks.of_annotations(truth),
        *coco_remarks.of_boxes("annotations", boxes.corners, boxes.image, images.sizes),
        *coco_remarks.of_boxes("detections", dets.corners, dets.image, images.sizes),
    ]
    thresholds: list[float | None] = [threshold] * len(evaluated)
    if patients is not None:
        table = read_table(patients)
        evaluated, own = apply(evaluated, table, images.ids)
        notes += [table.note] if table.note else []
        if own is not None and threshold is not None:
            raise ValueError(
                f"{patients}: has thresholds, and {threshold} is given too; leave out "
                "one of them"
            )
        thresholds = thresholds if own is None else [*own]
    coco_extras.no_slice_twice(ground_truth, evaluated)
    if alone := sum(not image.place.patient for image in evaluated):
        notes.append(ALONE.format(alone, len(evaluated)))
    info = document.get("info")
    info = info if isinstance(info, dict) else {}
    return checked(
        EvaluationSet(
            images=tuple(evaluated),
            classes=classes,
            thresholds=tuple(thresholds),
            sizes=images.sizes,
            title=(detections or ground_truth).stem,
            source="none" if thresholds[0] is None else "given",
            disclaimer=str(info.get("stamp") or ""),
            note="; ".join(notes),
            one_fold=str(info.get("part") or ""),
            positive_only=info.get("positive_only") is True,
        )
    )


def _images(of: Entries) -> Images:
    if not of.rows:
        raise ValueError(f"{of.path}: images is empty: there is nothing to judge")
    keys = coco_columns.ids(of)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    sizes = [size for k in order if (size := coco_columns.size(of, k))]
    return Images(
        [keys[k] for k in order],
        coco_columns.names(of, order, keys),
        [coco_extras.place(of, k) for k in order],
        tuple(sizes) if len(sizes) == len(keys) else (),
    )


def _categories(of: Entries) -> tuple[dict[Key, int], tuple[str, ...]]:
    """Class index by category id, and names by index."""
    keys = coco_columns.ids(of)
    if not keys:
        raise ValueError(
            f"{of.path}: categories is empty; name at least one, such as "
            '{"id": 1, "name": "calcium"}'
        )
    name_of = {
        key: str(row.get("name", key)) for key, row in zip(keys, of.rows, strict=True)
    }
    keys = sorted(keys)  # pyright: ignore[reportArgumentType]  one kind only
    classes = tuple(name_of[key] for key in keys)
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(
            f"{of.path}: categories: two are called {twice!r}; names of classes must differ"
        )
    return {key: k for k, key in enumerate(keys)}, classes


def _boxes(
    of: Entries, image_of: dict[Key, int], category_of: dict[Key, int], rule: str
) -> Boxes:
    return Boxes(
        coco_columns.lookup(of, "image_id", image_of, rule),
        coco_columns.lookup(of, "category_id", category_of, rule),
        coco_columns.boxes(of),
    )


def _detections(
    path: Path | None, image_of: dict[Key, int], category_of: dict[Key, int]
) -> tuple[Boxes, Float[np.ndarray, "n"]]:
    if path is None:
        of = Entries(Path(), "", [])
    else:
        document = coco_columns.load(path)
        if isinstance(document, dict) and isinstance(document.get("annotations"), list):
            of = Entries(path, "annotations", document["annotations"])
        elif isinstance(document, list):
            of = Entries(path, "", document)
        else:
            raise ValueError(
                f"{path}: detections are a list of objects with image_id, category_id, "
                f"bbox and score, got {short(document)}"
            )
    rule = (
        "detections are evaluated on images and categories that the ground truth lists"
    )
    return _boxes(of, image_of, category_of, rule), coco_columns.scores(of)


def _no_empty(
    of: Entries, boxes: Float[np.ndarray, "n 4"], ignore: Bool[np.ndarray, "n"]
) -> None:
    empty = (boxes[:, 2:] == boxes[:, :2]).any(axis=1) & ~ignore
    if empty.any():
        k = int(empty.argmax())
        raise ValueError(
            f"{of.at(k)}: bbox {short(of.rows[k]['bbox'])} has no area, so nothing can "
            'find it; drop the annotation, or mark it "iscrowd": 1'
        )
