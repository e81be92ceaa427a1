"""The family of `detector.Detector`: YOLOv5's anchors and losses (§2.2, §3.1)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.config import Config
from tqgd_jax.decode import decode, nms
from tqgd_jax.detector import Detector
from tqgd_jax.losses import detection_loss
from tqgd_jax.nn.init import initial
from tqgd_jax.structures.batch import Arr, Detections, Views


@dataclasses.dataclass(frozen=True, eq=False)
class Yolo:
    """A row of Tables 1 to 3 as `network.Network`.

    Attributes:
      config: of the run.
      num_classes: of boxes.
      anchors: width and height by head, network px; neither `init` nor `module` needs
        them.
      axis_name: under pmap, that of the devices.
    """

    config: Config
    num_classes: int
    anchors: Float[Arr, "l a 2"] | None = None
    axis_name: str | None = None

    segments = averages = False

    @property
    def module(self) -> Detector:
        """The linen module: images to raw predictions."""
        return Detector(self.config.model, self.num_classes, axis_name=self.axis_name)

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First `params` and `batch_stats`; NumPy arrays. No weights can be given."""
        del pretrained
        # A small image makes the same parameters, because the network is convolutional.
        image = jax.ShapeDtypeStruct(
            (1, 64, 64, self.config.model.in_channels), "float32"
        )
        shapes = jax.eval_shape(
            lambda key, x: self.module.init(key, x, train=False),
            jax.random.key(0),
            image,
        )
        thr = self.config.model.resolved_thr()
        if thr is None or thr.form == "plain":
            return initial(shapes, seed)
        return initial(shapes, seed, thr.init)

    def loss(
        self, variables: Mapping[str, Any], raw: Any, views: Views, key: Any
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """See `losses.detection_loss`; nothing in it is random."""
        del variables, key
        assert self.anchors is not None
        return detection_loss(
            raw,
            views.targets,
            jnp.asarray(self.anchors),
            self._strides,
            cfg=self.config.loss,
            num_classes=self.num_classes,
            image_size=self.config.data.image_size,
            axis_name=self.axis_name,
        )

    def predict(
        self, variables: Mapping[str, Any], image: Float[Array, "b s s c"]
    ) -> Detections:
        """Boxes in network px: deployed network, decoding, exact NMS."""
        assert self.anchors is not None
        limits = self.config.eval
        network, deployed = self.module.deployed(dict(variables))
        raw: Any = network.apply(deployed, image, train=False)
        boxes, scores, objectness = decode(
            raw, jnp.asarray(self.anchors), self._strides
        )
        return nms(
            boxes,
            scores,
            objectness,
            min_score=limits.min_score,
            iou=limits.nms_iou,
            max_detections=limits.max_detections,
        )

    @property
    def _strides(self) -> tuple[int, ...]:
        return tuple(2**n for n in self.config.model.heads)
