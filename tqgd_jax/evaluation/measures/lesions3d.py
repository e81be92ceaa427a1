"""Boxes of neighbouring slices as lesions in 3-D, and how many of them are found.

orCaScore counts lesions as groups of voxels; for boxes its rules need a reading, which
docs/design/0014-lesions-in-3d.md gives and defends.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tqgd_jax.evaluation.matching.lesion_links import Slice, chains
from tqgd_jax.evaluation.statistics.weighted import ratio
from tqgd_jax.overlap import box_iou, union_areas
from tqgd_jax.structures.image import Image

OVERLAP = 0.1  # IoU in one slice from which a detected box has met a labelled one


def link(images: Sequence[Image]) -> list[Int[np.ndarray, "_"]]:
    """The 3-D lesion of every labelled box, numbered 0, 1, ... over all images.

    Boxes that carry a lesion number belong to (patient, scan, number). The others are
    one lesion when they are of one class, stand in neighbouring slices (z and z + 1) of
    one scan and share more than 0 px^2, whatever the crops. In an image without z every
    box is its own lesion. Ignored boxes have -1.
    """
    return chains(
        [
            Slice(
                image,
                image.boxes,
                image.labels,
                image.counting,
                np.array(
                    [k.lesion for k in image.lesions] or [0] * len(image.boxes), int
                ),
            )
            for image in images
        ]
    )


def link_detections(
    images: Sequence[Image], thresholds: Sequence[float | None]
) -> list[Int[np.ndarray, "_"]]:
    """`link` for detections at or above their image's threshold; -1 for the others.

    Args:
      images: detections and where they stand.
      thresholds: one for each image; None: no detection of it counts.
    """
    return chains(
        [
            Slice(
                image,
                image.det_boxes,
                image.det_labels,
                image.above(threshold),
                np.zeros(len(image.det_boxes), int),
            )
            for image, threshold in zip(images, thresholds, strict=True)
        ]
    )


def lesion_figures(
    images: Sequence[Image],
    thresholds: Sequence[float | None],
    clusters: Sequence[str],
) -> Callable[[Float[np.ndarray, "b c"]], dict[str, Float[np.ndarray, "b"]]]:
    """Lesion-level figures as a function of how often each patient counts.

    A labelled lesion is found when, in one of its slices, a detected box of its class
    has IoU >= `OVERLAP` with its box. A detected lesion is true when one of its boxes
    does that to any lesion; else it is false, or left out when one of its boxes has the
    same share of its own area in an ignored box.

    The keys, all with `lesion3d.` in front: `reference` and `detected` lesions;
    `sensitivity` = found / reference; `ppv` = true / detected; `f1`, their harmonic
    mean; `volume_sensitivity` = shared / labelled volume, `volume_ppv` = shared /
    detected volume, `volume_f1`. A volume is that of boxes, each point once, in mm3, or
    px when an image has no spacing: not of calcium. F1 is 0 where nothing is found.

    Args:
      images: ground truth, detections and where they stand.
      thresholds: one for each image; None makes every figure of its patient NaN but
        `reference`.
      clusters: the patients, in the order of the weights.

    Returns:
      A function of weights, NaN where a denominator is 0 or a threshold is missing.
    """
    row = {patient: c for c, patient in enumerate(clusters)}
    owner = np.array([row[image.patient] for image in images], int)
    reference, detected = link(images), link_detections(images, thresholds)
    met, true, excused = _meetings(images, reference, detected)
    counts = np.zeros((len(row), 7))
    whose, judged = _whose(reference, owner, len(met)), ~excused
    counts[:, 0] = np.bincount(whose, minlength=len(row))
    counts[:, 1] = np.bincount(whose, met, len(row))
    whose = _whose(detected, owner, len(true))
    counts[:, 2] = np.bincount(whose, judged, len(row))
    counts[:, 3] = np.bincount(whose, true, len(row))
    in_mm = all(image.place.spacing is not None for image in images)
    for c, image, ref, det in zip(owner, images, reference, detected, strict=True):
        size = np.prod(image.place.spacing) if in_mm and image.place.spacing else 1.0
        keep = det >= 0
        keep[keep] = judged[det[keep]]
        counts[c, 4:] += size * _areas(image, ref >= 0, keep)
    blind = np.zeros(len(row))
    blind[owner[[threshold is None for threshold in thresholds]]] = 1

    def figures(
        weights: Float[np.ndarray, "b c"],
    ) -> dict[str, Float[np.ndarray, "b"]]:
        known = np.where(weights @ blind > 0, np.nan, 1.0)
        sums = (weights @ counts).T
        labelled, hits, claimed, right = sums[0], *(known * sums[1:4])
        volume, volume_claimed, both = known * sums[4:]
        values = {
            "reference": labelled,
            "detected": claimed,
            **_rates("", hits, labelled, right, claimed),
            **_rates("volume_", both, volume, both, volume_claimed),
        }
        return {f"lesion3d.{name}": value for name, value in values.items()}

    return figures


def _meetings(
    images: Sequence[Image],
    reference: Sequence[Int[np.ndarray, "_"]],
    detected: Sequence[Int[np.ndarray, "_"]],
) -> tuple[Bool[np.ndarray, "r"], Bool[np.ndarray, "d"], Bool[np.ndarray, "d"]]:
    """Which labelled lesions are found, which detected ones are true or left out."""
    met = np.zeros(_number(reference), bool)
    true, near = np.zeros((2, _number(detected)), bool)
    for image, ref, det in zip(images, reference, detected, strict=True):
        rows, real = np.flatnonzero(det >= 0), image.counting
        iou = box_iou(image.boxes, image.det_boxes[rows], ~real)
        same = image.labels[:, None] == image.det_labels[rows][None, :]
        enough = same & (iou >= OVERLAP)
        met[ref[real & enough.any(axis=1)]] = True
        true[det[rows[enough[real].any(axis=0)]]] = True
        near[det[rows[enough[~real].any(axis=0)]]] = True
    return met, true, near & ~true


def _number(lesions: Sequence[Int[np.ndarray, "_"]]) -> int:
    return 1 + max((int(k.max()) for k in lesions if len(k)), default=-1)


def _whose(
    lesions: Sequence[Int[np.ndarray, "_"]], owner: Int[np.ndarray, "i"], total: int
) -> Int[np.ndarray, "l"]:
    """The patient of each lesion."""
    whose = np.zeros(total, int)
    for c, numbers in zip(owner, lesions, strict=True):
        whose[numbers[numbers >= 0]] = c
    return whose


def _areas(
    image: Image, ref: Bool[np.ndarray, "n"], det: Bool[np.ndarray, "k"]
) -> Float[np.ndarray, "3"]:
    """Areas of labelled boxes, of detected ones and of what both cover, by class."""
    total = np.zeros(3)
    for label in np.unique(np.concatenate([image.labels[ref], image.det_labels[det]])):
        total += union_areas(
            image.boxes[ref & (image.labels == label)],
            image.det_boxes[det & (image.det_labels == label)],
        )
    return total


def _rates(
    name: str,
    hits: Float[np.ndarray, "b"],
    labelled: Float[np.ndarray, "b"],
    true: Float[np.ndarray, "b"],
    claimed: Float[np.ndarray, "b"],
) -> dict[str, Float[np.ndarray, "b"]]:
    """Sensitivity, PPV and their harmonic mean."""
    cross = hits * claimed + true * labelled
    nothing = (labelled + claimed > 0) & (cross == 0)
    return {
        f"{name}sensitivity": ratio(hits, labelled),
        f"{name}ppv": ratio(true, claimed),
        f"{name}f1": np.where(nothing, 0.0, ratio(2 * hits * true, cross)),
    }
