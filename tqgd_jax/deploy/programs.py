"""What is exported: functions of images, with weights inside and plain convolutions.

Their outputs have names. Dimension letters: b images, s px of the network input, n
candidate boxes, d detections, k classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, Integer

from tqgd_jax.decode import decode
from tqgd_jax.inference import Answer, network_input, on_stored
from tqgd_jax.network import direct
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Arr, Batch, Detections, ProbabilityMaps
from tqgd_jax.yolo import Yolo

Outputs = dict[str, Array]


class Dense(NamedTuple):
    """A function of images [b s s c] in [0, 1] without suppression.

    Attributes:
      apply: to a tuple of arrays.
      names: of these.
    """

    apply: Callable[[Array], tuple[Array, ...]]
    names: tuple[str, ...]


def of_unit(predictor: Predictor) -> Callable[[Array], Answer]:
    """Images [b s s c] in [0, 1] to the network's answer, network px."""
    network = direct(predictor.network)
    if not isinstance(network, Yolo):
        return lambda image: network.predict(predictor.variables, image)
    # Folded before, so that the program holds the deployed weights alone.
    module, deployed = network.module.deployed(dict(predictor.variables))

    def predict(image: Array) -> Answer:
        return network.decoded(module.apply(deployed, image, train=False)).detections

    return predict


def of_stored(
    predictor: Predictor,
) -> Callable[[Integer[Array, "b h w c"], Int[Array, "b 2"]], Answer]:
    """Stored images and their sizes to the answer in their px: all that a run does."""
    config, predict = predictor.config, of_unit(predictor)

    def whole(image: Integer[Array, "b h w c"], size: Int[Array, "b 2"]) -> Answer:
        batch = batch_of(image, size)
        answer = predict(network_input(batch, config))
        return on_stored(answer, batch, config, len(predictor.classes))

    return whole


def dense(predictor: Predictor) -> Dense:
    """What every runtime can carry out: no loops, shapes that do not depend on values.

    A detector gives `boxes` [b n 4] (x0, y0, x1, y1) in network px, not clipped,
    `scores` [b n k] (objectness times class probability) and the raw outputs of each
    head, `p3` [b y x a 5+k] and so on; a segmentation `probability` and `label`, [b s s].

    Raises:
      ValueError: the network is neither.
    """
    network = direct(predictor.network)
    if network.segments:

        def maps(image: Array) -> tuple[Array, ...]:
            answer = network.predict(predictor.variables, image)
            return tuple(jnp.asarray(part) for part in answer)

        return Dense(maps, ProbabilityMaps._fields)
    if not isinstance(network, Yolo):
        raise ValueError(
            f"baseline.family={predictor.config.baseline.family!r}: its second stage "
            "reads the boxes that suppression left of the first, which ONNX and TFLite "
            "cannot be given; --format=stablehlo can"
        )
    module, deployed = network.module.deployed(dict(predictor.variables))
    heads = predictor.config.model.heads
    strides = tuple(2**n for n in heads)

    def candidates(image: Array) -> tuple[Array, ...]:
        raw: Any = module.apply(deployed, image, train=False)
        boxes, scores, _ = decode(raw, jnp.asarray(predictor.anchors), strides)
        return boxes, scores, *raw

    return Dense(candidates, ("boxes", "scores", *(f"p{n}" for n in heads)))


def named(answer: Answer) -> Outputs:
    """An answer as plain data, for a file that knows no class of this project."""
    return {name: jnp.asarray(value) for name, value in answer._asdict().items()}


def answer_of(outputs: Any) -> Answer:
    """The inverse of `named`."""
    kind = Detections if "boxes" in outputs else ProbabilityMaps
    return kind(**{name: jnp.asarray(outputs[name]) for name in kind._fields})


def batch_of(image: Integer[Arr, "b h w c"], size: Int[Arr, "b 2"]) -> Batch:
    """Images without labels."""
    b = image.shape[0]
    return Batch(
        jnp.asarray(image)[:, None],
        jnp.asarray(size)[:, None],
        jnp.zeros((b, 1, 1, 4)),
        jnp.zeros((b, 1, 1), jnp.int32),
        jnp.zeros((b, 1, 1), bool),
        jnp.zeros((b, 1), jnp.int32),
    )
