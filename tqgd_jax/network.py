"""The contract of all networks, and where one comes from.

Training, evaluation, prediction and studies know a network by `Network` alone, `tqgd
explain` by `Explained` too.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import flax.linen as nn
from jax import Array
from jaxtyping import Float, Int

from tqgd_jax import baselines
from tqgd_jax.config import Config, one_of
from tqgd_jax.structures.batch import Arr, Detections, ProbabilityMaps, Views
from tqgd_jax.yolo import Yolo

Variables = Mapping[str, Any]


@runtime_checkable
class Network(Protocol):
    """A linen module with its first values, its loss and its answer."""

    @property
    def num_classes(self) -> int:
        """Of boxes, or of lesions in maps."""
        ...

    @property
    def segments(self) -> bool:
        """Whether it answers with maps, and learns from masks."""
        ...

    @property
    def averages(self) -> bool:
        """Whether the loss is a mean over the batch; YOLOv5's grows with it.

        Gradients of a mean are divided by the batches of an optimiser step after the
        warm-up; where the warm-up begins with fewer, its first steps are smaller.
        """
        ...

    @property
    def module(self) -> nn.Module:
        """`apply(variables, image [b s s c] in [0, 1], train=...)` to raw outputs."""
        ...

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First `params` and `batch_stats` (may be empty), float32.

        With `pretrained` those of `baseline.weights`, which is read for nothing else.
        """
        ...

    def loss(
        self, variables: Variables, raw: Any, views: Views, key: Any
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """What is to descend, and its terms.

        Gradients of several batches are summed (`optim.nominal_batch`), so a loss that is
        a mean over the batch says so by `averages`.

        Args:
          variables: a second stage may need them.
          raw: of `module` in training, for `views.image`.
          views: of the batch.
          key: of all that is random in the loss.
        """
        ...

    def predict(
        self, variables: Variables, image: Float[Array, "b s s c"]
    ) -> Detections | ProbabilityMaps:
        """The answer in network px."""
        ...


@runtime_checkable
class Explained(Protocol):
    """What `tqgd explain` asks of a network beside `Network`.

    A subject is whatever the score of one box is made of, as arrays; a box of other
    images or other weights is scored by the same one.
    """

    def subject(
        self,
        variables: Variables,
        raw: Any,
        box: Float[Array, "4"],
        label: Int[Array, ""],
    ) -> Any:
        """The subject of an answered box; no gradient goes through it.

        Args:
          variables: `params` and `batch_stats`.
          raw: of `module` in evaluation, for one image.
          box: (x0, y0, x1, y1), network px.
          label: its class.
        """
        ...

    def evidence(
        self, variables: Variables, raw: Any, subject: Any
    ) -> Float[Array, "b"]:
        """The score of a subject in each image, before sigmoid or softmax."""
        ...

    def head_maps(self, inputs: Mapping[str, Any]) -> dict[int, Array | str]:
        """By level (stride 2^n) the map that a head reads, or the module that gives it.

        Args:
          inputs: of each module, by its path, the first argument of its first call.
        """
        ...

    def level(self, subject: Any) -> int:
        """The key in `head_maps` of a subject; not traced."""
        ...


def families() -> tuple[str, ...]:
    """What `baseline.family` may name: the folders in `tqgd_jax/baselines/`."""
    every = pkgutil.iter_modules(baselines.__path__)
    return tuple(sorted(room.name for room in every if room.ispkg))


def build(
    config: Config,
    num_classes: int,
    anchors: Float[Arr, "l a 2"] | None = None,
    axis_name: str | None = None,
) -> Network:
    """The network of a run: the detector of `model`, or that of `baseline.family`.

    Args:
      config: settings.
      num_classes: of boxes.
      anchors: width and height by head, network px, for `loss` and `predict` of the
        detector.
      axis_name: under pmap, that of the devices.

    Raises:
      ValueError: no such family, or it cannot be built so.
    """
    family = config.baseline.family
    if not family:
        return Yolo(config, num_classes, anchors, axis_name)
    one_of("baseline.family", family, ("", *families()))
    room = importlib.import_module(f"{baselines.__name__}.{family}")
    return room.build(config, num_classes, axis_name)


def direct(network: Network) -> Network:
    """The same network with `Mode.direct`: its program is the same on every backend."""
    if isinstance(network, Yolo):
        return dataclasses.replace(network, direct=True)
    module = dataclasses.replace(cast(Any, network.module), direct=True)
    return dataclasses.replace(cast(Any, network), module=module)
