"""All detections and boxes of a set of images, side by side and matched once.

Every family of figures (AP, counts at a threshold, FROC, strata) reads these columns;
none matches again.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.evaluation.matching import center_distance, coco_figures, yolo
from tqgd_jax.evaluation.matching.yolo import ALL_THRESHOLDS
from tqgd_jax.overlap import box_area
from tqgd_jax.structures.image import Image

HALF = yolo.place(0.5)


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
    """

    image: Integer[np.ndarray, "k"]
    label: Integer[np.ndarray, "k"]
    score: Float[np.ndarray, "k"]
    above: Bool[np.ndarray, "k"]


class Boxes(NamedTuple):
    """One row for each ground-truth box, ignored ones too, image after image.

    Attributes:
      image: index of its image.
      label: class index.
      counting: it is to be found.
      area: width times height, px^2.
      area_mm2: mm^2; NaN where the spacing is unknown.
    """

    image: Integer[np.ndarray, "n"]
    label: Integer[np.ndarray, "n"]
    counting: Bool[np.ndarray, "n"]
    area: Float[np.ndarray, "n"]
    area_mm2: Float[np.ndarray, "n"]


class Matches:
    """The columns of a set of images; each rule matches when it is first asked for.

    Attributes:
      images: what was judged.
      classes: their names.
      blind: images without a threshold.
      boxes: ground truth.
      dets: detections.
      order: rows of `dets` by falling confidence, equal ones as the images stand.
    """

    def __init__(
        self,
        images: Sequence[Image],
        classes: Sequence[str],
        thresholds: Sequence[float | None],
    ):
        """Lays the images side by side.

        Args:
          images: checked by `image.check`.
          classes: names of the classes.
          thresholds: of each image; None: no detection of it reaches one.
        """
        self.images, self.classes = images, classes
        self.blind = np.array([t is None for t in thresholds], bool)
        counts = [len(i.boxes) for i in images]
        area = [box_area(i.boxes.astype(np.float64)) for i in images]
        mm2 = [
            np.nan if s is None else s[1] * s[2]
            for s in (i.place.spacing for i in images)
        ]
        self.boxes = Boxes(
            image=np.repeat(np.arange(len(images)), counts),
            label=_joined([i.labels for i in images], int),
            counting=_joined([i.counting for i in images], bool),
            area=_joined(area, np.float64),
            area_mm2=_joined([a * s for a, s in zip(area, mm2, strict=True)], float),
        )
        pairs = zip(images, thresholds, strict=True)
        counts = [len(i.det_boxes) for i in images]
        self.dets = Detections(
            image=np.repeat(np.arange(len(images)), counts),
            label=_joined([i.det_labels for i in images], int),
            score=_joined([i.det_scores for i in images], np.float64),
            above=_joined([i.above(t) for i, t in pairs], bool),
        )
        self.order = np.argsort(-self.dets.score, kind="stable")

    def ranked(self, label: int) -> Integer[np.ndarray, "_"]:
        """Rows of the detections of a class, most confident first."""
        return self.order[self.dets.label[self.order] == label]

    def boxes_of(self, label: int) -> Bool[np.ndarray, "n"]:
        """Which boxes are to be found and of a class."""
        return self.boxes.counting & (self.boxes.label == label)

    @cached_property
    def yolo(self) -> Marks:
        """By YOLOv5's rule at `ALL_THRESHOLDS`."""
        matched = [yolo.matches(i, ALL_THRESHOLDS) for i in self.images]
        hit = _joined([m.hit for m in matched], bool, len(ALL_THRESHOLDS))
        ignored = _joined([m.ignored for m in matched], bool, len(ALL_THRESHOLDS))
        box = np.where(hit.any(axis=1), self._rows([m.box for m in matched]), -1)
        return Marks(hit, ~hit & ~ignored, box)

    @cached_property
    def centre(self) -> Marks:
        """By the distance of centres, with one threshold."""
        hit = _joined([m.hit for m in self._near], bool)[:, None]
        ignored = _joined([m.ignored for m in self._near], bool)[:, None]
        return Marks(hit, ~hit & ~ignored, self._rows([m.box for m in self._near]))

    @cached_property
    def far(self) -> Bool[np.ndarray, "k"]:
        """False positives of the FROC."""
        return _joined([m.far for m in self._near], bool)

    @cached_property
    def best(self) -> Float[np.ndarray, "n"]:
        """Highest confidence of a detection with its centre within R; -inf for none."""
        return _joined([m.best for m in self._near], np.float64)

    @cached_property
    def detected(self) -> Bool[np.ndarray, "2 n"]:
        """Boxes found above the threshold by YOLOv5's rule at IoU 0.5, and by centre."""
        rows = np.zeros((2, len(self.boxes.label)), bool)
        for row, marks, t in zip(
            rows, (self.yolo, self.centre), (HALF, 0), strict=True
        ):
            row[marks.box[self.dets.above & marks.hit[:, t]]] = True
        return rows

    @cached_property
    def coco(self) -> list[coco_figures.Matched]:
        """Each class by COCO's rule at `ALL_THRESHOLDS`; `row` is that of `dets`."""
        starts = np.cumsum([0, *(len(i.det_boxes) for i in self.images)])

        def joined(label: int) -> coco_figures.Matched:
            matched = [coco_figures.match(image, label) for image in self.images]
            return coco_figures.join(matched, starts)

        return [joined(label) for label in range(len(self.classes))]

    @cached_property
    def coco_boxes(self) -> Bool[np.ndarray, "n"]:
        """Boxes that count in COCO's figures of all sizes."""
        return _joined([~coco_figures.ignored_boxes(i)[0] for i in self.images], bool)

    @cached_property
    def _near(self) -> list[center_distance.Matched]:
        return [center_distance.matches(i) for i in self.images]

    def _rows(self, boxes: Sequence[Integer[np.ndarray, "_"]]) -> np.ndarray:
        """Numbers of boxes within an image as rows of `Boxes`; -1 stays."""
        box = _joined(boxes, int)
        starts = np.cumsum([0, *(len(i.boxes) for i in self.images)])
        return np.where(box >= 0, box + starts[self.dets.image], -1)


def _joined(parts: Sequence[np.ndarray], kind: type, *columns: int) -> np.ndarray:
    """Concatenates; an array of no rows when there is nothing."""
    return np.concatenate([np.zeros((0, *columns), kind), *parts]).astype(kind)
