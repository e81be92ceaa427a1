"""What may be explained in an image: its detections, or the best candidate."""

from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from tqgd_jax.augment_geometry import letterbox_geometry
from tqgd_jax.data import dataset
from tqgd_jax.data.unlabelled import of_arrays
from tqgd_jax.decode import unletterbox
from tqgd_jax.explain.reading import Programs
from tqgd_jax.predictor import PADDED, Predictor
from tqgd_jax.structures.batch import Arr
from tqgd_jax.yolo import Decoded, Yolo


class Candidates(NamedTuple):
    """What may be explained in one image, the best first.

    Attributes:
      pixels: the network's input.
      size: height and width of the image, px.
      boxes: (x0, y0, x1, y1), px of the image.
      network_boxes: the same in network px, not clipped.
      scores: confidence.
      labels: class indices.
      number: among all candidates: of a detector with anchors in the order of `decode`,
        of others the best first.
      raw_best: nothing reaches the threshold; this is the best of all candidates.
    """

    pixels: Float[Array, "1 s s c"]
    size: tuple[int, int]
    boxes: Float[np.ndarray, "n 4"]
    network_boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    labels: Int[np.ndarray, "n"]
    number: Int[np.ndarray, "n"]
    raw_best: bool


def candidates(
    predictor: Predictor, programs: Programs, image: Arr, least: float
) -> Candidates:
    """See `explanation.Explainer.candidates`.

    Args:
      predictor: of the run.
      programs: that read it.
      image: as the predictor takes it.
      least: confidence.
    """
    source = of_arrays([predictor.checked(image)], PADDED)
    pixels = programs.fit(next(dataset.in_order(source, 1)))
    size = (int(source.sizes[0, 0]), int(source.sizes[0, 1]))
    if not isinstance(predictor.network, Yolo):
        return _answered(predictor, image, pixels, size, least)
    decoded = programs.find(predictor.variables, pixels)
    decoded = jax.tree.map(lambda x: np.asarray(x[0]), decoded)
    return _with_anchors(decoded, pixels, size, least)


def _with_anchors(
    decoded: Decoded, pixels: Array, size: tuple[int, int], least: float
) -> Candidates:
    """Those that suppression left, by their numbers; or the best of all."""

    def native(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        return np.asarray(unletterbox(boxes, np.array(size), pixels.shape[1]))

    boxes, scores = np.asarray(decoded.boxes), np.asarray(decoded.scores)
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("the network gives NaN or infinity for this image")
    boxes_left, certainty, labels, valid = map(np.asarray, decoded.detections)
    area = _with_area(native(boxes_left))
    chosen = np.flatnonzero(valid & area & (certainty.astype(float) >= least))
    # Suppression has copied these very numbers, in the same program.
    index = [
        np.flatnonzero(
            (boxes == boxes_left[d]).all(axis=1)
            & (scores[:, labels[d]] == certainty[d])
        )[0]
        for d in chosen
    ]
    label = labels[chosen]
    if raw_best := not index:
        ranked = np.where(_with_area(native(boxes))[:, None], scores, -1)
        best, of_class = np.unravel_index(ranked.argmax(), scores.shape)
        index, label = [best], np.array([of_class])
    at, label = np.array(index, np.int32), label.astype(np.int32)
    return Candidates(
        pixels,
        size,
        native(boxes[at]),
        boxes[at],
        scores[at, label],
        label,
        at,
        raw_best,
    )


def _with_area(boxes: Float[np.ndarray, "n 4"]) -> Bool[np.ndarray, "n"]:
    return (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])


def _answered(
    predictor: Predictor,
    image: Arr,
    pixels: Array,
    size: tuple[int, int],
    least: float,
) -> Candidates:
    """Boxes of the predictor itself."""
    every = predictor(image, 0.0)
    number = np.flatnonzero(every.scores.astype(float) >= least)
    if raw_best := not len(number):
        number = np.arange(min(1, len(every.scores)))
    boxes, scores, labels = (x[number] for x in every)
    gain, y, x = letterbox_geometry(size, pixels.shape[1])
    return Candidates(
        pixels,
        size,
        boxes,
        (boxes * gain + np.array([x, y, x, y])).astype(np.float32),
        scores,
        labels.astype(np.int32),
        number.astype(np.int32),
        raw_best and len(number) > 0,
    )
