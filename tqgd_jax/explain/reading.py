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
from tqgd_jax.explain.modules import explained, watch
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Batch
from tqgd_jax.xla import compiler_options
from tqgd_jax.yolo import Decoded, Yolo

Variables = Mapping[str, Any]


class Reading(NamedTuple):
    """The score of one box, and by module the maps and its gradient by them.

    Attributes:
      score: before sigmoid or softmax, see `network.Explained.evidence`.
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
      find: of a detector with anchors: variables and one image to its candidates.
      subject: variables, one image, box (network px) and class to what is scored.
      read: variables, one image and a subject to its reading.
      scores: variables, images and a subject to its scores [b].
    """

    fit: Callable[[Batch], Array]
    find: Callable[[Variables, Array], Decoded]
    subject: Callable[[Variables, Array, Float[Array, "4"], Int[Array, ""]], Any]
    read: Callable[[Variables, Array, Any], Reading]
    scores: Callable[[Variables, Array, Any], Array]


def programs(
    predictor: Predictor, shapes: Mapping[str, tuple[int, int, int]]
) -> Programs:
    """The programs that read these maps of a network.

    Args:
      predictor: that has it.
      shapes: of the maps to read, by name.
    """
    config, module = predictor.config, predictor.network.module
    network = explained(predictor.network)

    def fit(batch: Batch) -> Array:
        channels = config.model.in_channels
        return jnp.asarray(letterbox(batch, data=config.data, channels=channels).image)

    def find(variables: Variables, anchors: Array, image: Array) -> Decoded:
        # Anchors are given to the program, so those of other folds compile nothing.
        yolo = Yolo(config, predictor.network.num_classes, anchors)
        return yolo.decoded(watch(module, variables, image).raw)

    def subject(variables: Variables, image: Array, box: Array, label: Array) -> Any:
        raw = watch(module, variables, image).raw
        return network.subject(variables, raw, box, label)

    def read(variables: Variables, image: Array, subject: Any) -> Reading:
        def score(deltas: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
            watched = watch(module, variables, image, deltas)
            maps = {name: watched.maps[name] for name in shapes}
            return network.evidence(variables, watched.raw, subject)[0], maps

        types = jax.eval_shape(lambda v, x: watch(module, v, x).maps, variables, image)
        zeros = {
            name: jnp.zeros(types[name].shape, types[name].dtype) for name in shapes
        }
        (value, maps), gradients = jax.value_and_grad(score, has_aux=True)(zeros)
        first = [
            {name: x[0].astype(jnp.float32) for name, x in of.items()}
            for of in (maps, gradients)
        ]
        return Reading(value, *first)

    def scores(variables: Variables, images: Array, subject: Any) -> Array:
        raw = watch(module, variables, images).raw
        return network.evidence(variables, raw, subject)

    options = compiler_options()
    compiled = jax.jit(find, compiler_options=options)
    anchors = jnp.asarray(predictor.anchors)
    return Programs(
        jax.jit(fit, compiler_options=options),
        lambda variables, image: compiled(variables, anchors, image),
        jax.jit(subject, compiler_options=options),
        jax.jit(read, compiler_options=options),
        jax.jit(scores, compiler_options=options),
    )
