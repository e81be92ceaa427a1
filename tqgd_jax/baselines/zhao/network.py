"""Faster R-CNN with guided anchoring behind the contract of `tqgd_jax.network`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from tqgd_jax.baselines.pretrained import Weights, resnet_names, with_weights
from tqgd_jax.baselines.zhao import rpn
from tqgd_jax.baselines.zhao.anchors import STRIDES, guided, squares
from tqgd_jax.baselines.zhao.first_values import first_values
from tqgd_jax.baselines.zhao.location import location_loss, location_targets
from tqgd_jax.baselines.zhao.matching import prepared
from tqgd_jax.baselines.zhao.module import GuidedFasterRCNN, Raw
from tqgd_jax.baselines.zhao.proposals import propose
from tqgd_jax.baselines.zhao.roi import Regions, detections, roi_targets, roi_terms
from tqgd_jax.baselines.zhao.roi_align import level_of
from tqgd_jax.boxes import pairwise_iou
from tqgd_jax.config import LEVELS, Eval
from tqgd_jax.losses import device_sum
from tqgd_jax.nn.init import shapes_of
from tqgd_jax.structures.batch import Detections, Targets, Views, by_level

Variables = Mapping[str, Any]
TERMS = ("loc", "shape", "rpn_cls", "rpn_box", "cls", "box")


class Proposal(NamedTuple):
    """A box (x0, y0, x1, y1), network px, that may hold a lesion of a class."""

    box: Float[Array, "4"]
    label: Int[Array, ""]


class Samples(NamedTuple):
    """What a loss asks of a batch.

    Attributes:
      location: cells of P2 to P6 that hold the middle of a label.
      weight: of each cell there.
      shape: cells, by the squares.
      score: cells, by the guided anchors.
      regions: boxes of the second stage.
    """

    location: Bool[Array, "b n"]
    weight: Float[Array, "b n"]
    shape: rpn.Cells
    score: rpn.Cells
    regions: Regions


@dataclass(frozen=True)
class Zhao:
    """Zhao et al. (2020), read as mmdetection's GA-Faster R-CNN (docs/design).

    Attributes:
      module: layers.
      base_scale: side of the squares, cells.
      in_channels: of images.
      eval: which detections are given.
      weights: file of the backbone's; empty is from scratch.
    """

    module: GuidedFasterRCNN
    base_scale: float
    in_channels: int
    eval: Eval
    weights: str = ""

    @property
    def num_classes(self) -> int:
        """Of boxes."""
        return self.module.num_classes

    segments = False
    averages = True  # over the batch or its samples

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First `params` and `batch_stats`, float32; if asked, the backbone's of a file.

        Args:
          seed: of the draws.
          pretrained: see `network.Network`.

        Raises:
          ValueError: the file does not fit.
        """
        shapes = shapes_of(self.module, self.in_channels)
        variables = {"batch_stats": {}} | first_values(shapes, seed)
        if not (self.weights and pretrained):
            return variables
        if not variables["batch_stats"]:
            raise ValueError(
                f"baseline.weights={self.weights}: torchvision's ResNets have batch norm, "
                "and baseline.zhao.norm='group'; leave one of them out"
            )
        file, model = Path(self.weights).expanduser(), f"resnet{self.module.depth}"
        names = resnet_names(variables, "backbone")
        return with_weights(variables, Weights(file, model, names))

    def loss(
        self, variables: Variables, raw: Raw, views: Views, key: Array
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The sum of the six terms, all of weight 1, and the terms."""
        return self.terms(variables, raw, self.samples(raw, views.targets, key))

    def samples(self, raw: Raw, targets: Targets, key: Array) -> Samples:
        """What the loss asks of each image; no gradient goes through it.

        Under pmap an image is sampled as in the whole batch.
        """
        axis, size = self.module.axis_name, _size(raw)
        labels = prepared(targets)
        b = len(labels.boxes)
        image = jnp.arange(b) + (0 if axis is None else b * lax.axis_index(axis))
        keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, i), 3))(
            image
        )
        guides = lax.stop_gradient(raw.guides)
        square = squares(size, self.base_scale)
        anchors = guided(square, guides.shape)
        nine = jax.vmap(rpn.best_of_nine, (None, 0))(square, labels.boxes)
        iou = jax.vmap(pairwise_iou)(anchors, labels.boxes)
        proposals, proposed = propose(guides, anchors, size, train=True)
        return Samples(
            *location_targets(labels, size, self.base_scale),
            jax.vmap(rpn.sample_cells)(keys[:, 0], nine, labels),
            jax.vmap(rpn.sample_cells)(keys[:, 1], iou, labels),
            jax.vmap(roi_targets, (0, 0, 0, 0, None))(
                keys[:, 2], proposals, proposed, labels, self.module.num_classes
            ),
        )

    def terms(
        self, variables: Variables, raw: Raw, samples: Samples
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The loss of samples.

        Each of the last five is a mean over sampled cells or boxes. Under pmap all sums
        and counts are those of the whole batch.
        """
        total = device_sum(self.module.axis_name)
        guides = raw.guides
        anchors = guided(squares(_size(raw), self.base_scale), guides.shape)
        loc = location_loss(guides.location, samples.location, samples.weight)
        shape, of_shape = jax.vmap(rpn.shape_terms)(anchors, samples.shape)
        score, delta, of_score = jax.vmap(rpn.score_terms)(
            anchors, guides.score, guides.delta, samples.score
        )
        logits, deltas = self.regions(variables, raw, samples.regions.boxes)
        cls, box, of_box = jax.vmap(roi_terms)(logits, deltas, samples.regions)

        def mean(sums: Array, counts: Array) -> Array:
            return total(sums.sum()) / jnp.maximum(total(counts.sum()), 1.0)

        values = (
            total(loc) / total(jnp.float32(1)),
            mean(shape, of_shape),
            mean(score, of_score),
            mean(delta, of_score),
            mean(cls, of_box),
            mean(box, of_box),
        )
        return sum(values, jnp.zeros(())), dict(zip(TERMS, values, strict=True))

    def predict(
        self, variables: Variables, image: Float[Array, "b h w c"]
    ) -> Detections:
        """Boxes in network px, after suppression."""
        raw: Any = self.module.apply(variables, image, train=False)
        size = _size(raw)
        anchors = guided(squares(size, self.base_scale), raw.guides.shape)
        proposals, proposed = propose(raw.guides, anchors, size, train=False)
        logits, deltas = self.regions(variables, raw, proposals)
        return detections(proposals, proposed, logits, deltas, size, self.eval)

    def subject(
        self,
        variables: Variables,
        raw: Raw,
        box: Float[Array, "4"],
        label: Int[Array, ""],
    ) -> Proposal:
        """The box itself as a proposal."""
        del variables, raw
        return Proposal(box, label)

    def evidence(
        self, variables: Variables, raw: Raw, subject: Proposal
    ) -> Float[Array, "b"]:
        """The second stage's logit of the class less that of background."""
        b = len(raw.levels[0])
        boxes = jnp.broadcast_to(subject.box[None, None], (b, 1, 4))
        logits, _ = self.regions(variables, raw, boxes)
        return logits[:, 0, subject.label] - logits[:, 0, -1]

    def head_maps(self, inputs: Mapping[str, Any]) -> dict[int, Array | str]:
        """P2 to P5, which the second stage reads; the first stage reads P6 too."""
        return dict(by_level(inputs["rpn"][: len(LEVELS)]))

    def level(self, subject: Proposal) -> int:
        """Where RoIAlign reads the box."""
        return LEVELS[int(level_of(subject.box, len(LEVELS)))]

    def regions(
        self, variables: Variables, raw: Raw, boxes: Float[Array, "b r 4"]
    ) -> tuple[Array, Array]:
        """The second stage: logits and deltas of boxes."""
        params = {"params": variables["params"]}
        outputs: Any = self.module.apply(params, raw.levels, boxes, method="regions")
        return outputs


def _size(raw: Raw) -> tuple[int, int]:
    """Height and width of the images."""
    h, w = raw.levels[0].shape[1:3]
    return h * STRIDES[0], w * STRIDES[0]
