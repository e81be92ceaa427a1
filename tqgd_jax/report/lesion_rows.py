"""The rows of `lesions.csv`: every labelled box and every detection, and its outcome."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tqgd_jax.evaluation.calcium_section import Row
from tqgd_jax.evaluation.inputs.image_pixels import hounsfield
from tqgd_jax.evaluation.matching.outcomes import Outcome, Outcomes
from tqgd_jax.evaluation.results import Evaluators
from tqgd_jax.report.html.pixels import Pixels
from tqgd_jax.report.result_tables import BOX, DETECTION, LESIONS
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image

EMPTY: Row = dict.fromkeys(LESIONS, "")
UNTOLD = ""  # outcome of a detection that no threshold judges


def rows(
    eval_set: EvaluationSet, evaluators: Evaluators, pixels: Pixels | None
) -> Iterator[Row]:
    """By image, labelled boxes first, then detections, most confident first.

    `outcome` (IoU 0.5, YOLOv5 rule) and `outcome_centre` are, of a box, "found",
    "missed" or "ignored"; of a detection "hit", "false alarm", "ignored", or "below
    threshold"; empty where there is no threshold. `matched` is the row, from 0, of the
    box that a detection has found. `hu_max` of a detection is the highest value in it.
    `use`, of segmentations only, tells the detections of curves from those of the
    operating point.

    Args:
      eval_set: what was judged.
      evaluators: of the evaluation set.
      pixels: image k; HU when they are int16.
    """
    of = evaluators.clinical.point.outcomes()
    others = evaluators.clinical.curve.outcomes() if eval_set.point else ()
    first = 0  # row of the image's first box
    for k, image in enumerate(eval_set.images):
        hu = hounsfield(pixels, k)
        shown = eval_set.point[k] if eval_set.point else image
        use = "point" if eval_set.point else ""
        result = [_box(eval_set, shown, n, of[k]) for n in range(len(image.boxes))]
        result += _detections(eval_set, shown, of[k], first, hu, use)
        if eval_set.point:
            result += _detections(eval_set, image, others[k], first, hu, "curve")
        yield from result
        first += len(result)


def _box(eval_set: EvaluationSet, image: Image, n: int, of: Outcomes) -> Row:
    row = _row(eval_set, image, image.boxes[n], int(image.labels[n]), BOX)
    lesion = image.lesions[n] if image.lesions else None
    if lesion is not None:
        known = lesion._asdict()
        row |= {name: value if value else "" for name, value in known.items()}
    ignore = not image.counting[n]
    return row | {
        "ignore": int(ignore),
        "iscrowd": int(image.crowd[n]),
        "area": float(image.coco_area[n]),
        "outcome": _seen(of.iou, n, ignore),
        "outcome_centre": _seen(of.centre, n, ignore),
    }


def _seen(of: Outcome, n: int, ignore: bool) -> str:
    if ignore:
        return "ignored"
    return "found" if of.detected[n] else "missed" if of.missed[n] else UNTOLD


def _detections(
    eval_set: EvaluationSet,
    image: Image,
    of: Outcomes,
    first: int,
    hu: np.ndarray | None,
    use: str,
) -> list[Row]:
    result = []
    for n in np.argsort(-image.det_scores, kind="stable").tolist():
        row = _row(
            eval_set, image, image.det_boxes[n], int(image.det_labels[n]), DETECTION
        )
        above = None if of.above is None or use == "curve" else bool(of.above[n])
        box = int(of.iou.box[n])
        result.append(
            row
            | {
                "use": use,
                "hu_max": "" if hu is None else _highest(hu, image.det_boxes[n]),
                "score": float(image.det_scores[n]),
                "above": "" if above is None else int(above),
                "outcome": _said(of.iou, n, above),
                "outcome_centre": _said(of.centre, n, above),
                "matched": first + box if box >= 0 else "",
            }
        )
    return result


def _said(of: Outcome, n: int, above: bool | None) -> str:
    if above is None:
        return UNTOLD
    if not above:
        return "below threshold"
    return "hit" if of.hit[n] else "ignored" if of.ignored[n] else "false alarm"


def _row(
    eval_set: EvaluationSet, image: Image, box: np.ndarray, label: int, kind: str
) -> Row:
    x0, y0, x1, y1 = box.astype(np.float64).tolist()
    place = image.place
    right, down = place.crop[:2] if place.crop else (0, 0)
    row: dict[str, Any] = {
        "kind": kind,
        "image": image.name,
        "patient": place.patient,
        "scan": place.scan,
        "fold": place.fold,
        "z": "" if place.z is None else place.z,
        "class": eval_set.classes[label],
        **{"x0": x0, "y0": y0, "x1": x1, "y1": y1},
        **{"width": x1 - x0, "height": y1 - y0},
    }
    if place.crop:
        row |= {"slice_x0": x0 + right, "slice_y0": y0 + down}
        row |= {"slice_x1": x1 + right, "slice_y1": y1 + down}
    return EMPTY | row


def _highest(hu: np.ndarray, box: Sequence[float] | np.ndarray) -> int | str:
    """The highest value of the pixels that a box touches; empty outside the image."""
    x0, y0 = (max(0, int(np.floor(v))) for v in box[:2])
    x1, y1 = (max(0, int(np.ceil(v))) for v in box[2:])
    inside = hu[y0:y1, x0:x1]
    return int(inside.max()) if inside.size else ""
