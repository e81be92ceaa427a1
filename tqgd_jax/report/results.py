"""Files of an evaluation: results, detections and ground truth.

Every file is written beside its place and then renamed, so a reader never sees half of
one. `ground_truth.json` and `detections.json` are COCO's formats: pycocotools reads the
pair as it stands.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.data.items import SliceInfo
from tqgd_jax.metrics.image import Image
from tqgd_jax.metrics.matching import match_image

COLUMNS = (
    *("image", "class", "x0", "y0", "x1", "y1", "score", "outcome", "above_threshold"),
)
# Of CT: boxes again, in px of the whole slice.
PLACES = ("scan", "z", "slice_x0", "slice_y0", "slice_x1", "slice_y1")


def write(
    folder: Path,
    results: dict[str, Any],
    images: Sequence[Image],
    classes: Sequence[str],
    sizes: Sequence[tuple[int, int]] | None = None,
    slices: Sequence[SliceInfo] = (),
) -> list[Path]:
    """Writes results.json, detections.json, ground_truth.json and detections.csv.

    Args:
      folder: made if it is missing.
      results: of `metrics.evaluate.evaluate`.
      images: what was evaluated; an image's id is its index here.
      classes: names in the order of their index; a category's id is that index.
      sizes: height and width of each image, px, for `ground_truth.json`.
      slices: of CT: where each image comes from.

    Returns:
      The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "results.json": _json(results),
        "detections.json": _json(coco_detections(images)),
        "ground_truth.json": _json(coco_ground_truth(images, classes, sizes, slices)),
        "detections.csv": detections_csv(images, classes, results["threshold"], slices),
    }
    for name, text in texts.items():
        replace(folder / name, text.encode())
    return [folder / name for name in texts]


def replace(path: Path, content: bytes) -> None:
    """Puts `content` at `path` in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_bytes(content)
    aside.replace(path)


def coco_ground_truth(
    images: Sequence[Image],
    classes: Sequence[str],
    sizes: Sequence[tuple[int, int]] | None = None,
    slices: Sequence[SliceInfo] = (),
) -> dict[str, Any]:
    """Ground truth as COCO json: bbox is (x, y, width, height), native px.

    An image of CT also says its scan, slice, spacing (mm) and crop (px of the slice).
    """
    rows: list[dict[str, Any]] = [
        {"id": i, "file_name": image.name} for i, image in enumerate(images)
    ]
    for row, place in zip(rows, slices, strict=False):
        row |= place._asdict()
    if sizes is not None:
        for row, (h, w) in zip(rows, sizes, strict=True):
            row |= {"height": int(h), "width": int(w)}
    annotations = []
    for i, image in enumerate(images):
        for box, label in zip(_xywh(image.boxes), image.labels.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes id 0 for "no match"
                    "image_id": i,
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": "boxes as evaluated; image id is the index"},
        "images": rows,
        "categories": [{"id": c, "name": name} for c, name in enumerate(classes)],
        "annotations": annotations,
    }


def coco_detections(images: Sequence[Image]) -> list[dict[str, Any]]:
    """Detections in COCO's results format."""
    return [
        {"image_id": i, "category_id": label, "bbox": box, "score": score}
        for i, image in enumerate(images)
        for box, score, label in zip(
            _xywh(image.det_boxes),
            image.det_scores.astype(np.float64).tolist(),
            image.det_labels.tolist(),
            strict=True,
        )
    ]


def detections_csv(
    images: Sequence[Image],
    classes: Sequence[str],
    threshold: float | None,
    slices: Sequence[SliceInfo] = (),
) -> str:
    """One line per detection, by image, most confident first.

    `outcome` is TP or FP at IoU 0.5 (YOLOv5 v7.0 matching), which no threshold changes;
    `above_threshold` is 1 or 0, and empty when no threshold is known. CT has the columns
    of `PLACES` too.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, *PLACES] if slices else COLUMNS)
    for i, image in enumerate(images):
        hit = match_image(image)[:, 0]
        scores = image.det_scores.astype(np.float64)
        for k in np.argsort(-scores, kind="stable"):
            above = "" if threshold is None else int(scores[k] >= threshold)
            box = image.det_boxes[k].astype(np.float64).tolist()
            outcome = "TP" if hit[k] else "FP"
            name = classes[int(image.det_labels[k])]
            row = [image.name, name, *box, float(scores[k]), outcome, above]
            if slices:
                x, y = slices[i].crop[:2]
                whole = [box[0] + x, box[1] + y, box[2] + x, box[3] + y]
                row += [slices[i].scan, slices[i].z, *whole]
            table.writerow(row)
    return text.getvalue()


def _xywh(boxes: np.ndarray) -> list[list[float]]:
    corners = boxes.astype(np.float64)
    return np.concatenate(
        [corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1
    ).tolist()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
