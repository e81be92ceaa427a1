"""Lesion probabilities to scored boxes: a segmentation judged by the detectors' rules."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Int16
from scipy import ndimage

from tqgd_jax.evaluation.calcium.conventions import LOWEST
from tqgd_jax.structures.thresholds import CURVE_TAU

SMALLEST = 2  # px of a component


def boxes_of(
    probability: Float[np.ndarray, "h w"],
    hu: Int16[np.ndarray, "_ _"] | None = None,
    tau: float = CURVE_TAU,
    statistic: Literal["mean", "max"] = "mean",
    label: Int[np.ndarray, "h w"] | None = None,
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Boxes (x0, y0, x1, y1), px, x1 exclusive, scores and classes of a map's lesions.

    A lesion is an 8-connected component, of `SMALLEST` px or more, of pixels with a
    probability >= tau and, where HU are known, >= `LOWEST` HU. They do not overlap as
    components, so there is no suppression; their boxes may. There are never more
    scores than components, and AP depends on tau: name it.

    Args:
      probability: of lesion, in [0, 1].
      hu: of the same pixels.
      tau: `CURVE_TAU` for curves, `POINT_TAU` for a figure at one point.
      statistic: of the probabilities of a component, its score.
      label: class index of each pixel; most of its pixels decide for a component. [0]

    Raises:
      ValueError: for a probability that is NaN or outside [0, 1], HU of another shape,
        or a tau outside (0, 1].
    """
    if not 0 < tau <= 1:
        raise ValueError(f"tau must be in (0, 1], got {tau}; CURVE_TAU is {CURVE_TAU}")
    wrong = np.argwhere(~((probability >= 0) & (probability <= 1)))
    if len(wrong):
        y, x = wrong[0].tolist()
        raise ValueError(
            f"probability[{y}, {x}] is {probability[y, x]}, and {len(wrong)} of "
            f"{probability.size} are NaN or outside [0, 1]; apply the sigmoid to logits"
        )
    lesion = probability >= tau
    if hu is not None:
        if hu.shape != probability.shape:
            raise ValueError(
                f"hu has the shape {hu.shape}, probability {probability.shape}; both "
                "are of the same pixels, so resample the map first"
            )
        lesion &= hu >= LOWEST
    labelled: Any = ndimage.label(lesion, np.ones((3, 3)))
    parts = labelled[0]
    boxes, scores, labels = [], [], []
    for k, (ys, xs) in enumerate(ndimage.find_objects(parts), 1):
        of_part = parts[ys, xs] == k
        inside = probability[ys, xs][of_part].astype(np.float64)
        if len(inside) >= SMALLEST:
            boxes.append((xs.start, ys.start, xs.stop, ys.stop))
            scores.append(inside.mean() if statistic == "mean" else inside.max())
            votes = label[ys, xs][of_part] if label is not None else [0]
            labels.append(int(np.bincount(votes).argmax()))
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return corners, np.array(scores, np.float64), np.array(labels, np.int32)
