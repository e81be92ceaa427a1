"""The compiled programs of an explanation: what is detected, and why.

The network is that of training in evaluation mode: a deployed one has no modules left
to name. Both give the same boxes but for rounding.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from tqgd_jax.augment import letterbox
from tqgd_jax.decode import decode, nms
from tqgd_jax.explain.modules import detector_of, watch
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Batch, Detections
from tqgd_jax.xla import compiler_options

Variables = Mapping[str, Any]


class Decoded(NamedTuple):
    """All candidates of one image, network px, and those that suppression left."""

    boxes: Float[Array, "n 4"]
    scores: Float[Array, "n k"]
    detections: Detections


class Reading(NamedTuple):
    """The score of one candidate, and by module the maps and its gradient by them.

    Attributes:
      score: logit of the objectness; of several classes plus that of the class.
      maps: [h w c] by name of module.
      gradients: of the score, likewise.
    """

    score: Float[Array, ""]
    maps: dict[str, Float[Array, "_ _ _"]]
    gradients: dict[str, Float[Array, "_ _ _"]]


class Programs(NamedTuple):
    """Compiled functions; images are network inputs [b s s c] in [0, 1].

    Attributes:
      fit: stored images to network inputs.
      find: variables and one image to its candidates.
      read: variables, one image, number and class of a candidate to its reading.
      scores: variables, images, number and class of a candidate to its logits [b].
    """

    fit: Callable[[Batch], Array]
    find: Callable[[Variables, Array], Decoded]
    read: Callable[[Variables, Array, int, int], Reading]
    scores: Callable[[Variables, Array, int, int], Array]


def score_of(
    preds: tuple[Float[Array, "b _ _ a o"], ...],
    index: int | Int[Array, ""],
    label: int | Int[Array, ""],
) -> Float[Array, "b"]:
    """The logit of a candidate, numbered as `decode` orders them."""
    of_level = [p.reshape(p.shape[0], -1, p.shape[-1]) for p in preds]
    out = jnp.concatenate(of_level, axis=1)[:, index]
    return out[:, 4] if out.shape[1] == 6 else out[:, 4] + out[:, 5 + label]


def programs(
    predictor: Predictor, shapes: Mapping[str, tuple[int, int, int]]
) -> Programs:
    """The programs that read these maps of a detector.

    Args:
      predictor: the detector.
      shapes: of the maps to read, by name.
    """
    config, detector, limits = (
        predictor.config,
        detector_of(predictor.network),
        predictor.config.eval,
    )
    strides = tuple(2**n for n in config.model.heads)

    def fit(batch: Batch) -> Array:
        channels = config.model.in_channels
        return jnp.asarray(letterbox(batch, data=config.data, channels=channels).image)

    def find(variables: Variables, anchors: Array, image: Array) -> Decoded:
        preds = watch(detector, variables, image).preds
        boxes, scores, obj = decode(preds, anchors, strides)
        detections = nms(
            boxes,
            scores,
            obj,
            min_score=limits.min_score,
            iou=limits.nms_iou,
            max_detections=limits.max_detections,
        )
        return Decoded(boxes[0], scores[0], Detections(*(x[0] for x in detections)))

    def read(variables: Variables, image: Array, index: Array, label: Array) -> Reading:
        def score(deltas: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
            watched = watch(detector, variables, image, deltas)
            maps = {name: watched.maps[name] for name in shapes}
            return score_of(watched.preds, index, label)[0], maps

        types = jax.eval_shape(
            lambda v, x: watch(detector, v, x).maps, variables, image
        )
        zeros = {
            name: jnp.zeros(types[name].shape, types[name].dtype) for name in shapes
        }
        (value, maps), gradients = jax.value_and_grad(score, has_aux=True)(zeros)
        first = [
            {name: x[0].astype(jnp.float32) for name, x in of.items()}
            for of in (maps, gradients)
        ]
        return Reading(value, *first)

    def scores(
        variables: Variables, images: Array, index: Array, label: Array
    ) -> Array:
        return score_of(watch(detector, variables, images).preds, index, label)

    options = compiler_options()
    compiled = jax.jit(find, compiler_options=options)
    anchors = jnp.asarray(predictor.anchors)
    return Programs(
        jax.jit(fit, compiler_options=options),
        lambda variables, image: compiled(variables, anchors, image),
        jax.jit(read, compiler_options=options),
        jax.jit(scores, compiler_options=options),
    )
