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
from tqgd_jax.baselines.pretrained import Weights, with_weights
from tqgd_jax.baselines.segmentation import (
    binary_cross_entropy,
    dice_loss,
    lesion_of,
)
from tqgd_jax.structures.batch import ProbabilityMaps, Views


def lesion_logit(logits: Float[Array, "b h w k"]) -> Float[Array, "b h w"]:
    """Log odds of lesion: the only logit, or of two that of lesion less the other.

    sigmoid of the difference is softmax of the two.
    """
    if logits.shape[-1] == 1:
        return logits[..., 0]
    return logits[..., 1] - logits[..., 0]


@dataclass(frozen=True)
class LesionSegmentation:
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

    @property
    def segments(self) -> bool:
        """It answers with maps, and learns from masks."""
        return True

    @property
    def averages(self) -> bool:
        """Its terms are means over the batch."""
        return True

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First values: He's or, if asked, the encoder's of the file."""
        module: nn.Module = self.module
        variables = first_values(module, self.channels, seed, he_deviation)
        use = pretrained and self.weights
        return with_weights(variables, self.weights) if use else variables

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
