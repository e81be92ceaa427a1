"""Evaluation sets as COCO's two formats, and results as strict json.

`ground_truth.json` and `detections.json` are COCO's: pycocotools reads the pair as it
stands.
"""

import json
from typing import Any

import numpy as np

from tqgd_jax.io.coco_columns import xywh
from tqgd_jax.structures.evaluation_set import EvaluationSet


def coco_ground_truth(eval_set: EvaluationSet) -> dict[str, Any]:
    """Ground truth as COCO json: bbox is (x, y, width, height), native px.

    An image's id is its index, a category's id that of its class. What is known of
    patient, scan, slice, spacing (mm), crop (px of the slice) and lesion stands beside.
    """
    rows: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, image in enumerate(eval_set.images):
        row = {"id": i, "file_name": image.name}
        row |= {k: v for k, v in image.place._asdict().items() if v not in ("", None)}
        if eval_set.sizes:
            h, w = eval_set.sizes[i]
            row |= {"height": int(h), "width": int(w)}
        rows.append(row)
        ignore, iscrowd = (~image.counting).tolist(), image.crowd.tolist()
        area = image.coco_area.tolist()
        for k, box in enumerate(xywh(image.boxes)):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes id 0 for "no match"
                    "image_id": i,
                    "category_id": int(image.labels[k]),
                    "bbox": box,
                    "area": area[k],
                    "iscrowd": int(iscrowd[k]),
                    "ignore": int(ignore[k]),
                    **(image.lesions[k]._asdict() if image.lesions else {}),
                }
            )
    return {
        "info": {
            "description": "boxes as evaluated; image id is the index",
            "stamp": eval_set.disclaimer,
            "part": eval_set.one_fold,
            "positive_only": eval_set.positive_only,
        },
        "images": rows,
        "categories": [
            {"id": c, "name": name} for c, name in enumerate(eval_set.classes)
        ],
        "annotations": annotations,
    }


def coco_detections(eval_set: EvaluationSet) -> list[dict[str, Any]]:
    """Detections in COCO's results format."""
    return [
        {"image_id": i, "category_id": label, "bbox": box, "score": score}
        for i, image in enumerate(eval_set.images)
        for box, score, label in zip(
            xywh(image.det_boxes),
            image.det_scores.astype(np.float64).tolist(),
            image.det_labels.tolist(),
            strict=True,
        )
    ]


def json_bytes(value: Any, *, indent: int | None = 1) -> bytes:
    """Strict json: NaN is refused. Without `indent` it is a third of the size."""
    return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()
