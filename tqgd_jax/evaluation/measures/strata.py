"""Figures of parts of the ground truth: by size, artery, scanner and class."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float

from tqgd_jax.evaluation.measures import at_threshold, mean_ap
from tqgd_jax.evaluation.measures.size_strata import size_names, stratum
from tqgd_jax.evaluation.statistics.by_patient import ByPatient
from tqgd_jax.evaluation.statistics.weighted import Weights, ratio

Figures = Callable[[Weights, Collection[str]], dict[str, Float[np.ndarray, "b"]]]
OF_BOXES = ("boxes", "recall", "centre")
OF_IMAGES = ("boxes", "ap50", "precision", "recall")


def box_groups(
    of: ByPatient, size_px: Sequence[float], size_mm2: Sequence[float]
) -> dict[str, Bool[np.ndarray, "n"]]:
    """Strata of boxes by the beginning of their keys, such as `size.px.0-10`."""
    boxes = of.matches.boxes
    groups = {}
    for unit, edges, area in (
        ("px", size_px, boxes.area),
        ("mm2", size_mm2, boxes.area_mm2),
    ):
        own = stratum(area, edges)
        for k, name in enumerate(size_names(edges)):
            groups[f"size.{unit}.{name}"] = (own == k) & ~np.isnan(area)
    names = [
        [lesion.artery for lesion in image.lesions] or [""] * len(image.boxes)
        for image in of.matches.images
    ]
    arteries = np.array([name for of_image in names for name in of_image], str)
    present = sorted(set(arteries[boxes.counting].tolist()) - {""})
    return groups | {f"artery.{name}": arteries == name for name in present}


def of_boxes(of: ByPatient, chosen: Bool[np.ndarray, "n"], name: str) -> Figures:
    """Number of boxes of a stratum, and how many are found at the frozen threshold.

    `recall` is by YOLOv5's rule at IoU 0.5, `centre` by the distance of centres; both
    of all classes together.
    """
    chosen = chosen & of.matches.boxes.counting

    def figures(
        weights: Weights, keys: Collection[str]
    ) -> dict[str, Float[np.ndarray, "b"]]:
        groups = [chosen, *(chosen & detected for detected in of.matches.detected)]
        boxes, *hits = np.array([of.of_boxes(group) for group in groups]) @ weights.T
        known = np.where(weights @ of.blind > 0, np.nan, 1.0)
        shares = [known * ratio(hit, boxes) for hit in hits]
        values = zip(OF_BOXES, (boxes, *shares), strict=True)
        return {f"{name}.{k}": v for k, v in values if f"{name}.{k}" in keys}

    return figures


def of_images(
    of: ByPatient, images: Bool[np.ndarray, "i"] | None, label: int | None, name: str
) -> Figures:
    """AP50 by YOLOv5's rule, precision and recall at IoU 0.5, of some images or a class.

    The detections of other images or classes count nowhere.
    """
    boxes = of.matches.boxes.counting.copy()
    if images is not None:
        boxes &= images[of.matches.boxes.image]
    if label is not None:
        boxes &= of.matches.boxes.label == label
    count = of.of_boxes(boxes)

    def figures(
        weights: Weights, keys: Collection[str]
    ) -> dict[str, Float[np.ndarray, "b"]]:
        values = {"boxes": weights @ count}
        if f"{name}.ap50" in keys:
            values["ap50"] = mean_ap.yolo(of, weights, images=images, label=label)
        values |= at_threshold.at_threshold(of, weights, images=images, label=label)
        return {f"{name}.{k}": values[k] for k in OF_IMAGES if f"{name}.{k}" in keys}

    return figures
