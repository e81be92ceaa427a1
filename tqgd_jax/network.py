"""The contract of all networks, and where one comes from.

Training, evaluation, prediction and studies know a network by these four names alone.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
from jax import Array
from jaxtyping import Float

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
        """Whether the loss is a mean over the batch; YOLOv5's grows with it."""
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
