"""Probability maps of a segmentation in the place of detections."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image as Picture

from tqgd_jax.evaluation.evaluator import evaluate
from tqgd_jax.evaluation.inputs.image_pixels import hounsfield
from tqgd_jax.evaluation.inputs.segmentation import boxes_of
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image
from tqgd_jax.structures.thresholds import CURVE_TAU, POINT_TAU

NOTE = (
    f"segmentation: components of p >= {CURVE_TAU} for AP and FROC, of p >= {POINT_TAU} "
    "for precision, recall and F1; score: {} p of the component. AP50 is {} with the "
    "former and {} with the latter; the curves have {} different scores"
)
NOTED = re.compile(re.escape(NOTE).replace(r"\{\}", "([^ ]+)"))


def from_maps(
    eval_set: EvaluationSet,
    folder: Path,
    statistic: Literal["mean", "max"],
    pixels: Callable[[int], np.ndarray | None] | None = None,
) -> EvaluationSet:
    """The evaluation set with the boxes of probability maps as its detections.

    Args:
      eval_set: ground truth; detections in it are replaced.
      folder: a map `NAME.npy` (floats in [0, 1]) or `NAME.png` (8 or 16 bits, full scale
        is 1) for each image, NAME being that of the image with or without its suffix.
      statistic: of the probabilities of a component, its score.
      pixels: HU of image k; where they are known, lesions are 130 HU or more.

    Raises:
      ValueError: naming the file, for a missing, unreadable or wrong map.
    """
    if len(eval_set.classes) != 1:
        raise ValueError(
            f"{folder}: a probability map knows one class, the ground truth has "
            f"{len(eval_set.classes)}: {', '.join(eval_set.classes)}"
        )
    curve, point = [], []
    for k, image in enumerate(eval_set.images):
        path = _find(folder, image.name)
        probability = _read(path)
        if eval_set.sizes and probability.shape != tuple(eval_set.sizes[k]):
            raise ValueError(
                f"{path}: the map has the shape {probability.shape}, its image "
                f"{tuple(eval_set.sizes[k])} (height, width); resample the map"
            )
        hu = hounsfield(pixels, k)
        for tau, images in ((CURVE_TAU, curve), (POINT_TAU, point)):
            try:
                boxes, scores, _ = boxes_of(probability, hu, tau, statistic)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            images.append(_with(image, boxes, scores))
    return at_point(eval_set._replace(images=tuple(curve)), point, statistic)


def at_point(
    eval_set: EvaluationSet, point: Sequence[Image], statistic: str
) -> EvaluationSet:
    """The set with an operating point of its own, and what its reader must know.

    Args:
      eval_set: with the components of p >= `CURVE_TAU`.
      point: the images again, with those of p >= `POINT_TAU`.
      statistic: see `from_maps`.
    """
    ap50 = [
        evaluate(images, eval_set.classes)["AP50"]
        for images in (eval_set.images, point)
    ]
    texts = ["none" if ap is None else f"{ap:.3f}" for ap in ap50]
    scores = np.concatenate([image.det_scores for image in eval_set.images] or [[]])
    note = NOTE.format(statistic, *texts, len(np.unique(scores)))
    return eval_set._replace(
        point=tuple(point),
        thresholds=(0.0,) * len(point),
        source="given",
        note="; ".join(part for part in (eval_set.note, note) if part),
    )


def split_note(note: str) -> tuple[str, str]:
    """The note without what `at_point` added, and its statistic; "" for a detector."""
    match = NOTED.search(note)
    if not match:
        return note, ""
    parts = (note[: match.start()], note[match.end() :])
    return "; ".join(filter(None, (part.strip("; ") for part in parts))), match[1]


def _with(image: Image, boxes: np.ndarray, scores: np.ndarray) -> Image:
    return image._replace(
        det_boxes=boxes, det_scores=scores, det_labels=np.zeros(len(scores), int)
    )


def _find(folder: Path, name: str) -> Path:
    plain = PurePosixPath(name)
    for stem in (name, str(plain.with_suffix("")), plain.name, plain.stem):
        for suffix in (".npy", ".png"):
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    raise ValueError(
        f"{folder}: no {plain.stem}.npy or {plain.stem}.png for image {name!r}; each "
        "image needs a map, one of zeros where nothing was found"
    )


def _read(path: Path) -> Float[np.ndarray, "h w"]:
    """A map as floats. Raises ValueError naming the file."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Picture.open(path) as picture:
                values = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as a map ({error})") from error
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{path}: a map has height and width, got {values.shape}")
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float64)
    if path.suffix == ".png" and values.dtype in (np.uint8, np.uint16, np.int32):
        full = 255 if values.dtype == np.uint8 else 65535
        return values.astype(np.float64) / full
    raise ValueError(f"{path}: a .npy map holds floats in [0, 1], got {values.dtype}")
