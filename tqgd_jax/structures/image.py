"""One image as the referee sees it: what is there and what a detector said."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.overlap import box_area


class Place(NamedTuple):
    """Where an image stands; empty or None where nothing is known.

    Attributes:
      patient: whom the statistics resample; empty: the image stands for itself.
      scan: of the patient; empty: the patient's only one.
      z: number of the slice, from the feet up.
      spacing: (dz, dy, dx) mm.
      crop: (x0, y0, x1, y1), the part of the whole slice that is the image, px.
      scanner: or any other name of the acquisition.
      fold: in whose test part the image was judged.
    """

    patient: str = ""
    scan: str = ""
    z: int | None = None
    spacing: tuple[float, float, float] | None = None
    crop: tuple[int, int, int, int] | None = None
    scanner: str = ""
    fold: str = ""


class Lesion(NamedTuple):
    """What is known of a box beyond its place; empty or 0 where nothing is.

    Attributes:
      artery: "LAD", "LCX" or "RCA", or the value in the mask.
      lesion: number of the 3-D lesion in its scan, from 1.
      hu_max: HU.
      area_px, area_mm2: of the lesion's pixels in the slice.
    """

    artery: str = ""
    lesion: int = 0
    hu_max: int = 0
    area_px: int = 0
    area_mm2: float = 0.0


class Image(NamedTuple):
    """Ground truth and detections of one image; either may be empty.

    Attributes:
      name: of the image, as reports print it.
      boxes: ground truth (x0, y0, x1, y1), native px, pixel edges, x1 exclusive.
      labels: class index of each box.
      det_boxes: detected boxes, in any order, in the same units.
      det_scores: confidence of each detection.
      det_labels: class index of each detection.
      ignore: which boxes are not to be found: detections inside are neither right nor
        wrong, except by COCO's rule, which does not know this flag; None: no box is.
      place: where the image stands.
      lesions: what is known of each box; empty: nothing.
      iscrowd: which boxes are regions of many objects, ignored by every rule; None: no
        box is.
      area: of each box as COCO's size ranges take it, px^2: of its segmentation, say;
        None: width times height.
    """

    name: str
    boxes: Float[np.ndarray, "n 4"]
    labels: Integer[np.ndarray, "n"]
    det_boxes: Float[np.ndarray, "k 4"]
    det_scores: Float[np.ndarray, "k"]
    det_labels: Integer[np.ndarray, "k"]
    ignore: Bool[np.ndarray, "n"] | None = None
    place: Place = Place()
    lesions: tuple[Lesion, ...] = ()
    iscrowd: Bool[np.ndarray, "n"] | None = None
    area: Float[np.ndarray, "n"] | None = None

    @property
    def counting(self) -> Bool[np.ndarray, "n"]:
        """Which boxes are to be found: all but the ignored ones and the crowds."""
        return ~self.crowd if self.ignore is None else ~(self.crowd | self.ignore)

    @property
    def crowd(self) -> Bool[np.ndarray, "n"]:
        """`iscrowd` of every box."""
        return np.zeros(len(self.boxes), bool) if self.iscrowd is None else self.iscrowd

    @property
    def coco_area(self) -> Float[np.ndarray, "n"]:
        """`area` of every box, px^2."""
        return box_area(self.boxes.astype(float)) if self.area is None else self.area

    def above(self, threshold: float | None) -> Bool[np.ndarray, "k"]:
        """Detections of at least this confidence; None: there is no threshold, so none.

        Compared in double precision, so that 0.7 kept in single precision is below 0.7
        for every figure, and not for some.
        """
        limit = np.inf if threshold is None else threshold
        return self.det_scores.astype(np.float64) >= limit

    @property
    def without_detections(self) -> "Image":
        """The same image, in which nothing was found."""
        return self._replace(
            det_boxes=self.det_boxes[:0],
            det_scores=self.det_scores[:0],
            det_labels=self.det_labels[:0],
        )

    @property
    def patient(self) -> str:
        """Whom the statistics resample."""
        return self.place.patient or self.name

    @property
    def scan(self) -> tuple[str, str]:
        """Patient and scan; an image of unknown scan is its patient's only one."""
        return self.patient, self.place.scan


def check(images: Sequence[Image], num_classes: int) -> None:
    """Refuses what no figure could be computed from.

    Raises:
      ValueError: naming the image, for arrays of unequal length, a class index outside
        [0, num_classes) or a number that is not finite.
    """
    for image in images:
        area = np.zeros(len(image.boxes)) if image.area is None else image.area
        scores = image.det_scores
        kinds = (
            ("boxes", image.boxes, image.labels, "area", area),
            ("det_boxes", image.det_boxes, image.det_labels, "scores", scores),
        )
        for kind, boxes, labels, what, values in kinds:
            if boxes.shape != (len(labels), 4) or len(values) != len(labels):
                raise ValueError(
                    f"{image.name}: {kind} {boxes.shape}, labels {labels.shape} and "
                    f"{what} {values.shape} must be [n, 4], [n] and [n]"
                )
            if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
                raise ValueError(
                    f"{image.name}: class indices of {kind} must be in "
                    f"[0, {num_classes}), got {labels.min()} to {labels.max()}"
                )
            if not (np.isfinite(boxes).all() and np.isfinite(values).all()):
                raise ValueError(
                    f"{image.name}: {kind} or their {what} hold NaN or infinity; "
                    "`decode.nms` never returns such a row as valid"
                )
