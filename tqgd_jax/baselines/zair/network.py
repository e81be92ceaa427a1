"""The contract of a baseline for the three networks: BCE and Dice on lesion pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.blocks import first_values, he_deviation
from tqgd_jax.baselines.explained import ExplainedPixels
from tqgd_jax.baselines.pretrained import Weights, with_weights
from tqgd_jax.baselines.segmentation import (
    binary_cross_entropy,
    dice_loss,
    lesion_logit,
    lesion_of,
)
from tqgd_jax.baselines.zair.fcn import FINEST, FCN8s
from tqgd_jax.structures.batch import ProbabilityMaps, Views


@dataclass(frozen=True)
class LesionSegmentation(ExplainedPixels):
    """A network with one question: is this pixel part of a lesion.

    Attributes:
      module: of `SegNet`, `UNet` or `FCN8s`.
      channels: of the image.
      weights: of its encoder; None is from scratch.
    """

    module: Any
    channels: int
    weights: Weights | None = None

    @property
    def num_classes(self) -> int:
        """Lesions are not told apart."""
        return 1

    segments = averages = True

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First values: He's or, if asked, the encoder's of the file."""
        module: nn.Module = self.module
        variables = first_values(module, self.channels, seed, he_deviation)
        if not pretrained or self.weights is None:
            return variables
        return with_weights(variables, self.weights)

    def loss(
        self,
        variables: Mapping[str, Any],
        raw: Float[Array, "b s s k"],
        views: Views,
        key: Array,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Binary cross-entropy plus Dice over the batch; the sum and the two terms."""
        axis, logit = self.module.axis_name, lesion_logit(raw)
        target = jnp.asarray(lesion_of(views) > 0, jnp.float32)
        parts = {
            "bce": binary_cross_entropy(logit, target, axis),
            "dice": dice_loss(jax.nn.sigmoid(logit), target, axis),
        }
        return parts["bce"] + parts["dice"], parts

    def predict(
        self, variables: Mapping[str, Any], image: Float[Array, "b s s c"]
    ) -> ProbabilityMaps:
        """Probability of lesion; all of one class."""
        logit = lesion_logit(self.module.apply(variables, image, train=False))
        return ProbabilityMaps(jax.nn.sigmoid(logit), jnp.zeros(logit.shape, jnp.int32))

    def logit(self, raw: Float[Array, "b s s k"]) -> Float[Array, "b s s"]:
        """Log odds of lesion."""
        return lesion_logit(raw)

    @property
    def finest(self) -> int:
        """Level of the map that the head reads."""
        return 2 if isinstance(self.module, FCN8s) else 0

    def head_maps(self, inputs: Mapping[str, Any]) -> dict[int, Array | str]:
        """What the logits are made of; of `FCN8s` the map whose maxima it reads."""
        return {self.finest: FINEST if self.finest else inputs["logits"]}
