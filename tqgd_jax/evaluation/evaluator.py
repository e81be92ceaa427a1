"""Every detection figure of a set of images, as a function of how often patients count.

`figures(ones)` are the figures themselves; other weights make them those of resampled
patients, of a fold, or of a permuted cohort. One path of code serves all.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.matching import coco_figures as coco
from tqgd_jax.evaluation.matching.matches import Matches
from tqgd_jax.evaluation.matching.outcomes import Outcomes, outcomes
from tqgd_jax.evaluation.measures import (
    at_threshold,
    best_f1,
    curves,
    mean_ap,
    missing_reasons,
    strata,
)
from tqgd_jax.evaluation.measures.lesions3d import lesion_figures
from tqgd_jax.evaluation.statistics.by_patient import by_patient
from tqgd_jax.evaluation.statistics.weighted import Weights, known
from tqgd_jax.structures.image import Image, check

LESIONS = (
    *("sensitivity", "ppv", "f1", "volume_sensitivity", "volume_ppv", "volume_f1"),
    *("reference", "detected"),
)


def evaluate(
    images: Sequence[Image], classes: Sequence[str], threshold: float | None = None
) -> dict[str, Any]:
    """Figures of a set of images by YOLOv5 v7.0's rule, as JSON can hold them.

    Every image counts; detections on an image without boxes are false positives. A
    figure that has no value is None. `Evaluator` has all other figures.

    Args:
      images: the whole set, also the images without boxes or detections.
      classes: names by index; means are taken over those with ground truth.
      threshold: confidence chosen on other images (`best_threshold`); None leaves
        precision, recall and F1 empty.

    Returns:
      `AP50`, `AP50_95`, `precision`, `recall`, `f1`, `threshold`, `optimistic` (the last
      four at the images' own best point), `images`, `boxes`, `detections`.
    """
    evaluator = Evaluator(images, classes, threshold)
    best, facts = evaluator.best_point._asdict(), evaluator.facts()
    frozen = {} if threshold is not None else dict.fromkeys(best)
    frozen |= {"threshold": threshold}  # of no images too
    counts = {name: facts[name] for name in ("images", "boxes", "detections")}
    return evaluator.yolo() | frozen | {"optimistic": best} | counts


def best_threshold(images: Sequence[Image], classes: Sequence[str]) -> float | None:
    """Confidence of the highest smoothed F1 at IoU 0.5 (YOLOv5 v7.0 rule).

    To be called on validation images, and its value frozen for the test. None when no
    detection finds a box: then there is nothing to choose by.
    """
    return Evaluator(images, classes, None).best_point.threshold


class Evaluator:
    """Figures of a detector on a set of images.

    Attributes:
      clusters: the patients, sorted: columns of the weights.
      keys: names of all figures, in the order of a report.
    """

    def __init__(
        self,
        images: Sequence[Image],
        classes: Sequence[str],
        thresholds: float | Sequence[float | None] | None,
        size_px: Sequence[float] = (10, 100, 200),
        size_mm2: Sequence[float] = (2, 20, 40),
    ):
        """Lays the images side by side; each rule matches once, when it is asked for.

        Args:
          images: in the order that breaks ties of confidence.
          classes: names by index.
          thresholds: confidence from which a detection counts, chosen on other images;
            one for all images or one for each; None: there is none.
          size_px: edges of the strata of box area, px^2, rising.
          size_mm2: the same in mm^2.

        Raises:
          ValueError: naming the image, for what no figure could be computed from.
        """
        check(images, len(classes))
        if thresholds is None or isinstance(thresholds, int | float):
            thresholds = [thresholds] * len(images)
        if len(thresholds) != len(images):
            raise ValueError(
                f"{len(images)} images need as many thresholds, got {len(thresholds)}; "
                "one number, or None, stands for all of them"
            )
        self._thresholds = list(thresholds)
        self._matches = Matches(images, classes, self._thresholds)
        self._by_patient, self.clusters = by_patient(self._matches)
        self._lesions = None
        self._groups = self._strata(size_px, size_mm2)
        self.keys = (
            *mean_ap.KEYS,
            *at_threshold.KEYS,
            *best_f1.KEYS,
            *curves.KEYS,
            *(
                f"{name}.{k}"
                for name, (kinds, _) in self._groups.items()
                for k in kinds
            ),
            *(f"lesion3d.{name}" for name in LESIONS),
        )

    def figures(
        self, weights: Weights, keys: Collection[str] | None = None
    ) -> dict[str, Float[np.ndarray, "b"]]:
        """Figures for each row of weights, NaN where they have no value.

        Args:
          weights: how often each of `clusters` counts.
          keys: those wanted; None: all.

        Raises:
          ValueError: for an unknown key.
        """
        wanted = set(self.keys if keys is None else keys)
        unknown = sorted(wanted - set(self.keys))
        if unknown:
            raise ValueError(
                f"unknown figure {unknown[0]!r}; there are: {', '.join(self.keys)}"
            )
        weights = np.asarray(weights, np.float64)
        values = {}
        for family in (mean_ap, at_threshold, best_f1, curves):
            values |= family.figures(self._by_patient, weights, wanted)
        for name, (kinds, figures) in self._groups.items():
            if any(f"{name}.{k}" in wanted for k in kinds):
                values |= figures(weights, wanted)
        if any(key.startswith("lesion3d.") for key in wanted):
            values |= self._lesions_3d(weights)
        return {key: values[key] for key in self.keys if key in wanted}

    def facts(self) -> dict[str, Any]:
        """What was judged; `boxes` are those to be found."""
        images, boxes = self._matches.images, self._matches.boxes
        return {
            "images": len(images),
            "positive_images": sum(bool(image.counting.any()) for image in images),
            "boxes": int(boxes.counting.sum()),
            "ignored": int((~boxes.counting).sum()),
            "detections": len(self._matches.dets.score),
            "patients": len(self.clusters),
            "scans": len({image.scan for image in images}),
            "classes": list(self._matches.classes),
        }

    def yolo(self) -> dict[str, Any]:
        """The six figures of YOLOv5 v7.0.

        Precision, recall and F1 are exact counts at the frozen threshold; without one
        they stand at the best point of these very images, as YOLOv5 prints them.
        `threshold` is None when folds have their own.
        """
        given = set(self._thresholds)
        frozen = None not in given and bool(given)
        keys = {"AP50": "ap.yolo.0.5", "AP50_95": "ap.yolo.0.5:0.95"}
        if frozen:
            keys |= {k: f"point.iou0.5.{k}" for k in ("precision", "recall", "f1")}
        # Nothing is resampled, so the images may be one cluster, which is faster.
        whole = self._by_patient._replace(
            clusters=1, owner=np.zeros(len(self._thresholds), int)
        )
        values: dict[str, Any] = {}
        for family in (mean_ap, at_threshold):
            values |= family.figures(whole, np.ones((1, 1)), keys.values())
        six = {name: known(values[key][0]) for name, key in keys.items()}
        if not frozen:
            return six | self.best_point._asdict()
        return six | {"threshold": given.pop() if len(given) == 1 else None}

    def coco(self) -> dict[str, float | None]:
        """The twelve figures of pycocotools; None where it says -1."""
        return coco.summarise(self._matches.coco)

    @cached_property
    def best_point(self) -> best_f1.Point:
        """YOLOv5 v7.0's best point of these very images: optimistic for them."""
        return best_f1.yolo_point(self._by_patient)

    def curves(
        self, weights: Weights | None = None, level: float = 0.95
    ) -> dict[str, Any]:
        """`curves` of results.json; see `curves.drawn`."""
        return curves.drawn(self._by_patient, weights, level)

    def outcomes(self) -> list[Outcomes]:
        """What became of every detection and box, image by image."""
        return outcomes(self._matches)

    def why(self, key: str) -> str:
        """Why a figure has no value."""
        return missing_reasons.why(self._by_patient, key, self._boxes_of_group(key))

    def _boxes_of_group(self, key: str) -> int:
        """Boxes of the stratum that a key is of, else of all."""
        count = f"{key.rpartition('.')[0]}.boxes"
        if count not in self.keys:
            return int(self._matches.boxes.counting.sum())
        return int(self.figures(np.ones((1, len(self.clusters))), [count])[count][0])

    def _strata(
        self, size_px: Sequence[float], size_mm2: Sequence[float]
    ) -> dict[str, Any]:
        """Kinds and function of each stratum's figures, by the beginning of their keys."""
        of = self._by_patient
        groups: dict[str, Any] = {
            name: (strata.OF_BOXES, strata.of_boxes(of, chosen, name))
            for name, chosen in strata.box_groups(of, size_px, size_mm2).items()
        }
        scanners = np.array(
            [image.place.scanner for image in self._matches.images], str
        )
        for scanner in sorted(set(scanners.tolist()) - {""}):
            name = f"scanner.{scanner}"
            part = strata.of_images(of, scanners == scanner, None, name)
            groups[name] = strata.OF_IMAGES, part
        if len(self._matches.classes) > 1:
            for c, label in enumerate(self._matches.classes):
                name = f"class.{label}"
                groups[name] = strata.OF_IMAGES, strata.of_images(of, None, c, name)
        return groups

    def _lesions_3d(self, weights: Weights) -> dict[str, Float[np.ndarray, "b"]]:
        if not self._by_patient.slices_known:
            nothing = np.full(len(weights), np.nan)
            return {f"lesion3d.{name}": nothing for name in LESIONS}
        if self._lesions is None:
            self._lesions = lesion_figures(
                self._matches.images, self._thresholds, self.clusters
            )
        return self._lesions(weights)
