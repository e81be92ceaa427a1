"""The family of `detector.Detector`: YOLOv5's anchors and losses (§2.2, §3.1)."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from tqgd_jax.anchors import PER_HEAD
from tqgd_jax.boxes import pairwise_iou
from tqgd_jax.config import Config
from tqgd_jax.decode import decode, nms
from tqgd_jax.detector import Detector
from tqgd_jax.losses import detection_loss
from tqgd_jax.nn.init import initial, shapes_of
from tqgd_jax.structures.batch import Arr, Detections, Views, by_level


class Decoded(NamedTuple):
    """All candidates, network px, and those that suppression left."""

    boxes: Float[Array, "b n 4"]
    scores: Float[Array, "b n k"]
    detections: Detections


class Candidate(NamedTuple):
    """A cell and anchor, numbered as `decode` orders them, and a class."""

    number: Int[Arr, ""]
    label: Int[Arr, ""]


@dataclasses.dataclass(frozen=True, eq=False)
class Yolo:
    """A row of Tables 1 to 3 as `network.Network`.

    Attributes:
      config: of the run.
      num_classes: of boxes.
      anchors: width and height by head, network px; neither `init` nor `module` needs
        them.
      axis_name: under pmap, that of the devices.
      direct: see `nn.blocks.Mode`.
    """

    config: Config
    num_classes: int
    anchors: Float[Arr, "l a 2"] | None = None
    axis_name: str | None = None
    direct: bool = False

    segments = averages = False

    @property
    def module(self) -> Detector:
        """The linen module: images to raw predictions."""
        return Detector(
            self.config.model,
            self.num_classes,
            axis_name=self.axis_name,
            direct=self.direct,
        )

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First `params` and `batch_stats`; NumPy arrays. No weights can be given."""
        del pretrained
        shapes = shapes_of(self.module, self.config.model.in_channels)
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
        network, deployed = self.module.deployed(dict(variables))
        return self.decoded(network.apply(deployed, image, train=False)).detections

    def decoded(self, raw: Any) -> Decoded:
        """What raw predictions mean."""
        assert self.anchors is not None
        limits = self.config.eval
        boxes, scores, objectness = decode(
            raw, jnp.asarray(self.anchors), self._strides
        )
        detections = nms(
            boxes,
            scores,
            objectness,
            min_score=limits.min_score,
            iou=limits.nms_iou,
            max_detections=limits.max_detections,
        )
        return Decoded(boxes, scores, detections)

    def subject(
        self,
        variables: Mapping[str, Any],
        raw: Any,
        box: Float[Array, "4"],
        label: Int[Array, ""],
    ) -> Candidate:
        """The candidate most like a box: by IoU times score."""
        del variables
        assert self.anchors is not None
        boxes, scores, _ = decode(raw, jnp.asarray(self.anchors), self._strides)
        like = pairwise_iou(box[None], boxes[0])[0] * scores[0, :, label]
        return Candidate(jnp.argmax(like).astype(jnp.int32), label)

    def evidence(
        self, variables: Mapping[str, Any], raw: Any, subject: Candidate
    ) -> Float[Array, "b"]:
        """Logit of the objectness; of several classes plus that of the class."""
        del variables
        of_level = [p.reshape(p.shape[0], -1, p.shape[-1]) for p in raw]
        out = jnp.concatenate(of_level, axis=1)[:, subject.number]
        return out[:, 4] if out.shape[1] == 6 else out[:, 4] + out[:, 5 + subject.label]

    def head_maps(self, inputs: Mapping[str, Any]) -> dict[int, Array | str]:
        """What the head reads at each of its levels."""
        levels = by_level(inputs["head"])
        return {n: levels[n] for n in self.config.model.heads}

    def level(self, subject: Candidate) -> int:
        """The level of a candidate's cell."""
        heads, side = self.config.model.heads, self.config.data.image_size
        ends = np.cumsum([PER_HEAD * (side // 2**n) ** 2 for n in heads])
        return heads[int(np.searchsorted(ends, int(subject.number), side="right"))]

    @property
    def _strides(self) -> tuple[int, ...]:
        return tuple(2**n for n in self.config.model.heads)
