"""From a data split to detections in native pixels: network, decoding, NMS."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from tqgd_jax.augment import letterbox, native_maps
from tqgd_jax.config import Config
from tqgd_jax.decode import unletterbox
from tqgd_jax.evaluation.inputs.segmentation import boxes_of
from tqgd_jax.network import build
from tqgd_jax.structures.batch import Arr, Batch, Detections, ProbabilityMaps
from tqgd_jax.structures.dataset_index import SliceInfo
from tqgd_jax.structures.image import Image
from tqgd_jax.structures.thresholds import CURVE_TAU
from tqgd_jax.xla import compiler_options

Answer = Detections | ProbabilityMaps
Predict = Callable[[Mapping[str, Any], Batch], Answer]


def make_predict(
    config: Config, num_classes: int, anchors: Float[Arr, "l a 2"]
) -> Predict:
    """The compiled function from variables and stored images to the network's answer.

    It takes the variables of training form (the EMA's). Boxes come out in pixels of the
    stored image, clipped to it; maps on its pixels.
    """

    def predict(
        variables: Mapping[str, Any], anchors: Float[Arr, "l a 2"], batch: Batch
    ) -> Answer:
        network = build(config, num_classes, anchors)
        answer = network.predict(variables, network_input(batch, config))
        return on_stored(answer, batch, config, num_classes)

    # Anchors are given to the program, so those of other folds compile nothing.
    compiled = jax.jit(predict, compiler_options=compiler_options())
    given = jnp.asarray(anchors)
    return lambda variables, batch: compiled(variables, given, batch)


def network_input(batch: Batch, config: Config) -> Float[Array, "b s s c"]:
    """Stored images as the network sees them: windowed, letterboxed, in [0, 1]."""
    views = letterbox(batch, data=config.data, channels=config.model.in_channels)
    return jnp.asarray(views.image)


def on_stored(answer: Answer, batch: Batch, config: Config, num_classes: int) -> Answer:
    """An answer in network px as one in px of the stored images, clipped to them."""
    if isinstance(answer, ProbabilityMaps):
        labels = [answer.label == c for c in range(num_classes)]
        shares = [native_maps(x.astype(jnp.float32), batch) for x in labels]
        return ProbabilityMaps(
            native_maps(jnp.asarray(answer.probability), batch),
            jnp.argmax(jnp.stack(shares), axis=0).astype(jnp.int32),
        )
    native = unletterbox(answer.boxes, batch.size[:, 0], config.data.image_size)
    return answer._replace(boxes=native)


def near_heart(
    images: Sequence[Image], slices: Sequence[SliceInfo], limit_mm: float
) -> list[Image]:
    """Images without the detections of slices that lie too far from the heart.

    Args:
      images: in the order of `slices`.
      slices: of a scan; empty where there is none.
      limit_mm: `eval.beyond_heart_mm`; 0 keeps all.
    """
    if not slices or limit_mm <= 0:
        return [*images]
    return [
        image.without_detections if where.beyond_mm > limit_mm else image
        for image, where in zip(images, slices, strict=True)
    ]


def detect(
    predict: Predict,
    variables: Mapping[str, Any],
    batches: Iterator[Batch],
    names: list[str],
) -> list[Image]:
    """Ground truth and detections of every image, in the order of the batches.

    A detection without area is none: a file of COCO's could not hold it.
    """
    return detect_at(predict, variables, batches, names, (CURVE_TAU,))[0]


def detect_at(
    predict: Predict,
    variables: Mapping[str, Any],
    batches: Iterator[Batch],
    names: list[str],
    taus: Sequence[float],
) -> list[list[Image]]:
    """The same for each of `taus`, the probability from which a pixel is lesion.

    The boxes of a detector are the same for all.
    """
    images: list[list[Image]] = [[] for _ in taus]

    def read(batch: Batch, answer: Answer) -> None:
        for of_tau, tau in zip(images, taus, strict=True):
            of_tau += _images(batch, answer, names, tau)

    variables = jax.device_put(variables)  # once, not for each batch
    waiting: tuple[Batch, Answer] | None = None
    for batch in batches:
        answer = predict(variables, jax.tree.map(jnp.asarray, batch))
        if waiting:  # the device has the next batch while this one is read
            read(*waiting)
        waiting = batch, answer
    if waiting:
        read(*waiting)
    return images


def _images(batch: Batch, answer: Answer, names: list[str], tau: float) -> list[Image]:
    """Waits for the answer to a batch; without what fills the last batch up."""
    images = []
    arrays = [np.asarray(x) for x in answer]
    for i, index in enumerate(np.asarray(batch.index)[:, 0]):
        if index < 0:
            continue
        truth = batch.valid[i, 0]
        if isinstance(answer, ProbabilityMaps):
            probability, label = arrays
            boxes, scores, labels = _components(batch, probability, label, i, tau)
        else:
            corners = arrays[0][i]  # clipped to the image: some may have no area left
            valid = arrays[3][i] & (corners[:, :2] < corners[:, 2:]).all(axis=1)
            boxes, scores, labels = (x[i][valid] for x in arrays[:3])
        images.append(
            Image(
                name=names[index],
                boxes=np.asarray(batch.boxes[i, 0][truth]),
                labels=np.asarray(batch.labels[i, 0][truth]),
                det_boxes=boxes,
                det_scores=scores,
                det_labels=labels,
            )
        )
    return images


def _components(
    batch: Batch, probability: np.ndarray, label: np.ndarray, i: int, tau: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and classes of the lesions in the map of image i, best first."""
    h, w = batch.size[i, 0]
    pixels = np.asarray(batch.image[i, 0, :h, :w])
    hu = pixels[..., pixels.shape[-1] // 2] if pixels.dtype == np.int16 else None
    inside = np.clip(probability[i, :h, :w], 0.0, 1.0)
    boxes, scores, labels = boxes_of(inside, hu, tau, label=label[i, :h, :w])
    best = np.argsort(-scores, kind="stable")
    return boxes[best].astype(np.float32), scores[best].astype(np.float32), labels[best]
