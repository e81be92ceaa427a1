"""All detections and boxes of a set of images, side by side and matched once.

Every family of figures (AP, counts at a threshold, FROC, strata) reads these columns;
none matches again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.evaluation.matching import center_distance as centre
from tqgd_jax.evaluation.matching import coco_figures as coco
from tqgd_jax.evaluation.matching import yolo as matching
from tqgd_jax.evaluation.matching.yolo import ALL_THRESHOLDS
from tqgd_jax.overlap import box_area
from tqgd_jax.structures.image import Image


class Marks(NamedTuple):
    """Outcomes by one rule; the last axis of the first two is that of thresholds.

    Attributes:
      hit: true positives.
      false: false positives; a detection may be neither.
      box: row of the box in `Boxes` that a hit has found, else -1.
    """

    hit: Bool[np.ndarray, "k t"]
    false: Bool[np.ndarray, "k t"]
    box: Integer[np.ndarray, "k"]


class Detections(NamedTuple):
    """One row for each detection, image after image.

    Attributes:
      image: index of its image.
      label: class index.
      score: confidence.
      above: it reaches the threshold of its image.
      yolo: outcomes by YOLOv5's rule at `ALL_THRESHOLDS`.
      centre: by the distance of centres.
      far: false positives of the FROC.
    """

    image: Integer[np.ndarray, "k"]
    label: Integer[np.ndarray, "k"]
    score: Float[np.ndarray, "k"]
    above: Bool[np.ndarray, "k"]
    yolo: Marks
    centre: Marks
    far: Bool[np.ndarray, "k"]


class Boxes(NamedTuple):
    """One row for each ground-truth box, ignored ones too, image after image.

    Attributes:
      image: index of its image.
      label: class index.
      counting: it is to be found.
      coco: it counts in COCO's figures of all sizes.
      area: width times height, px^2.
      area_mm2: mm^2; NaN where the spacing is unknown.
      best: highest confidence of a detection with its centre within R; -inf for none.
      found: rows of (YOLOv5's rule at IoU 0.5, centre): found above the threshold.
    """

    image: Integer[np.ndarray, "n"]
    label: Integer[np.ndarray, "n"]
    counting: Bool[np.ndarray, "n"]
    coco: Bool[np.ndarray, "n"]
    area: Float[np.ndarray, "n"]
    area_mm2: Float[np.ndarray, "n"]
    best: Float[np.ndarray, "n"]
    found: Bool[np.ndarray, "2 n"]


class Cohort(NamedTuple):
    """The columns of a set of images.

    Attributes:
      images: what was judged.
      classes: their names.
      dets: detections.
      boxes: ground truth.
      order: rows of `dets` by falling confidence, equal ones as the images stand.
      coco: matches of each class by COCO's rule at `ALL_THRESHOLDS`.
      coco_row: rows of `dets` of those.
      blind: images without a threshold.
    """

    images: Sequence[Image]
    classes: Sequence[str]
    dets: Detections
    boxes: Boxes
    order: Integer[np.ndarray, "k"]
    coco: Sequence[coco.Matched]
    coco_row: Sequence[Integer[np.ndarray, "_"]]
    blind: Bool[np.ndarray, "i"]


HALF = matching.place(0.5)


def cohort(
    images: Sequence[Image],
    classes: Sequence[str],
    thresholds: Sequence[float | None],
) -> Cohort:
    """Matches every image by all rules.

    Args:
      images: checked by `image.check`.
      classes: names of the classes.
      thresholds: of each image; None: no detection of it reaches one.
    """
    first = np.cumsum([0, *(len(i.boxes) for i in images)]).tolist()
    start = np.cumsum([0, *(len(i.det_boxes) for i in images)])
    yolo = [matching.matches(i, ALL_THRESHOLDS) for i in images]
    near = [centre.matches(i) for i in images]
    scores = _joined([i.det_scores for i in images], np.float64)
    image = np.repeat(np.arange(len(images)), np.diff(start))
    hit = _joined([m.hit for m in yolo], bool, len(ALL_THRESHOLDS))
    ignored = _joined([m.ignored for m in yolo], bool, len(ALL_THRESHOLDS))
    taken = _joined([m.hit for m in near], bool)
    excused = _joined([m.ignored for m in near], bool)
    box = _joined([_rows(m.box, n) for m, n in zip(yolo, first, strict=False)], int)
    by_iou = Marks(hit, ~hit & ~ignored, np.where(hit.any(axis=1), box, -1))
    box = _joined([_rows(m.box, n) for m, n in zip(near, first, strict=False)], int)
    by_centre = Marks(taken[:, None], (~taken & ~excused)[:, None], box)
    dets = Detections(
        image=image,
        label=_joined([i.det_labels for i in images], int),
        score=scores,
        above=_joined(
            [i.above(t) for i, t in zip(images, thresholds, strict=True)], bool
        ),
        yolo=by_iou,
        centre=by_centre,
        far=_joined([m.far for m in near], bool),
    )
    kept = [
        [coco.match(i, c, ALL_THRESHOLDS) for i in images] for c in range(len(classes))
    ]
    rows = [
        _joined([m.row + n for m, n in zip(of, start, strict=False)], int)
        for of in kept
    ]
    return Cohort(
        images,
        classes,
        dets,
        _boxes(images, np.diff(first), dets, near),
        np.argsort(-scores, kind="stable"),
        [coco.join(of, len(ALL_THRESHOLDS)) for of in kept],
        rows,
        np.array([t is None for t in thresholds], bool),
    )


def _boxes(
    images: Sequence[Image],
    counts: Integer[np.ndarray, "i"],
    dets: Detections,
    near: Sequence[centre.Matched],
) -> Boxes:
    area = [box_area(i.boxes.astype(np.float64)) for i in images]
    scale = [
        np.nan if s is None else s[1] * s[2] for s in (i.place.spacing for i in images)
    ]
    found = np.zeros((2, int(counts.sum())), bool)
    found[0, dets.yolo.box[dets.above & dets.yolo.hit[:, HALF]]] = True
    found[1, dets.centre.box[dets.above & dets.centre.hit[:, 0]]] = True
    return Boxes(
        image=np.repeat(np.arange(len(images)), counts),
        label=_joined([i.labels for i in images], int),
        counting=_joined([i.counting for i in images], bool),
        coco=_joined([~coco.ignored_boxes(i)[0] for i in images], bool),
        area=_joined(area, np.float64),
        area_mm2=_joined([a * s for a, s in zip(area, scale, strict=True)], np.float64),
        best=_joined([m.best for m in near], np.float64),
        found=found,
    )


def _rows(box: Integer[np.ndarray, "k"], first: int) -> Integer[np.ndarray, "k"]:
    """Numbers of boxes within an image as rows of `Boxes`; -1 stays."""
    return np.where(box >= 0, box + first, -1)


def _joined(parts: Sequence[np.ndarray], kind: type, *columns: int) -> np.ndarray:
    """Concatenates; an array of no rows when there is nothing."""
    return np.concatenate([np.zeros((0, *columns), kind), *parts]).astype(kind)
