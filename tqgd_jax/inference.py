"""From a data split to detections in native pixels: deployed network, decode, NMS."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tqgd_jax.augment import letterbox
from tqgd_jax.config import Config
from tqgd_jax.decode import decode, nms, unletterbox
from tqgd_jax.detector import Detector
from tqgd_jax.structures.batch import Arr, Batch, Detections
from tqgd_jax.structures.image import Image
from tqgd_jax.xla import compiler_options

Predict = Callable[[Mapping[str, Any], Batch], Detections]


def make_predict(
    detector: Detector, config: Config, anchors: Float[Arr, "l a 2"]
) -> Predict:
    """The compiled function from variables and stored images to detections.

    It folds batch norms and RepConvs itself, so it takes the variables of training form
    (the EMA's); boxes come out in pixels of the stored image, clipped to it.
    """
    strides = tuple(2**n for n in config.model.heads)

    def predict(
        variables: Mapping[str, Any], anchors: Float[Arr, "l a 2"], batch: Batch
    ) -> Detections:
        views = letterbox(batch, data=config.data, channels=config.model.in_channels)
        network, deployed = detector.deployed(dict(variables))
        preds: Any = network.apply(deployed, views.image, train=False)
        boxes, scores, obj = decode(preds, anchors, strides)
        detections = nms(
            boxes,
            scores,
            obj,
            min_score=config.eval.min_score,
            iou=config.eval.nms_iou,
            max_detections=config.eval.max_detections,
        )
        native = unletterbox(detections.boxes, batch.size[:, 0], config.data.image_size)
        return detections._replace(boxes=native)

    # Anchors are given to the program, so those of other folds compile nothing.
    compiled = jax.jit(predict, compiler_options=compiler_options())
    given = jnp.asarray(anchors)
    return lambda variables, batch: compiled(variables, given, batch)


def detect(
    predict: Predict,
    variables: Mapping[str, Any],
    batches: Iterator[Batch],
    names: list[str],
) -> list[Image]:
    """Ground truth and detections of every image, in the order of the batches."""
    images: list[Image] = []
    variables = jax.device_put(variables)  # once, not for each batch
    waiting: tuple[Batch, Detections] | None = None
    for batch in batches:
        detections = predict(variables, jax.tree.map(jnp.asarray, batch))
        if waiting:  # the device has the next batch while this one is read
            images += _images(*waiting, names)
        waiting = batch, detections
    return images + _images(*waiting, names) if waiting else images


def _images(batch: Batch, detections: Detections, names: list[str]) -> list[Image]:
    """Waits for the detections of a batch; without what fills the last batch up."""
    boxes, scores, labels = (
        np.asarray(x) for x in (detections.boxes, detections.scores, detections.labels)
    )
    valid = np.asarray(detections.valid)
    images = []
    for i, index in enumerate(np.asarray(batch.index)[:, 0]):
        if index < 0:
            continue
        truth, found_here = batch.valid[i, 0], valid[i]
        images.append(
            Image(
                name=names[index],
                boxes=np.asarray(batch.boxes[i, 0][truth]),
                labels=np.asarray(batch.labels[i, 0][truth]),
                det_boxes=boxes[i][found_here],
                det_scores=scores[i][found_here],
                det_labels=labels[i][found_here],
            )
        )
    return images
