"""The contract of a baseline for the multi-task U-Net: tasks, weights, predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from tqgd_jax.baselines.blocks import first_values
from tqgd_jax.baselines.explained import ExplainedPixels
from tqgd_jax.baselines.foellmer.regions import region_labels
from tqgd_jax.baselines.foellmer.unet import REGIONS, MultiTaskUNet, block_deviation
from tqgd_jax.baselines.segmentation import (
    cross_entropy,
    lesion_logit,
    lesion_of,
)
from tqgd_jax.structures.batch import ProbabilityMaps, Views

TASKS = ("region", "lesion")  # in the order of the parameter `uncertainty`


def weighted(losses: Float[Array, " t"], s: Float[Array, " t"]) -> Float[Array, ""]:
    """Sum over tasks of exp(-s) loss + s, with s learnt beside the network.

    Kendall et al., CVPR 2018, Eq. 10, whose factors 1/2 change s by a constant only.
    """
    return (jnp.exp(-s) * losses + s).sum()


@dataclass(frozen=True)
class FoellmerNetwork(ExplainedPixels):
    """Regions of the arteries and lesions, or lesions alone.

    Attributes:
      module: the network.
      channels: of the image.
      region_px: radius of the weak region labels, network px.
    """

    module: MultiTaskUNet
    channels: int
    region_px: float

    @property
    def num_classes(self) -> int:
        """Arteries, or one where lesions are not told apart."""
        return REGIONS - 1 if self.module.regions else 1

    segments = averages = True

    def init(self, seed: int, *, pretrained: bool = False) -> dict[str, Any]:
        """First values; with two tasks `uncertainty` is a parameter beside them, 0."""
        del pretrained  # `build` refuses weights
        variables = first_values(self.module, self.channels, seed, block_deviation)
        if self.module.regions:
            variables["params"]["uncertainty"] = np.zeros(len(TASKS), np.float32)
        return variables

    def loss(
        self,
        variables: Mapping[str, Any],
        raw: Mapping[str, Float[Array, "b s s _"]],
        views: Views,
        key: Array,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Cross-entropy of each task, weighted by the learnt uncertainties.

        Returns:
          The sum to descend, which may be negative, and each task's cross-entropy.
        """
        axis, label = self.module.axis_name, lesion_of(views)
        lesion = jnp.asarray(label > 0, jnp.int32)
        parts = {"lesion": cross_entropy(raw["lesion"], lesion, axis)}
        if not self.module.regions:
            return parts["lesion"], parts
        region = region_labels(label, REGIONS - 1, self.region_px)
        parts["region"] = cross_entropy(raw["region"], region, axis)
        losses = jnp.stack([parts[task] for task in TASKS])
        return weighted(losses, variables["params"]["uncertainty"]), parts

    def predict(
        self, variables: Mapping[str, Any], image: Float[Array, "b s s c"]
    ) -> ProbabilityMaps:
        """Probability of lesion; its class is the artery of the likeliest region.

        The release rounds and clears pixels at or below 130 HU; evaluation does both.
        """
        raw: Any = self.module.apply(variables, image, train=False)
        probability = jax.nn.softmax(raw["lesion"])[..., 1]
        if not self.module.regions:
            return ProbabilityMaps(probability, jnp.zeros(probability.shape, jnp.int32))
        artery = jnp.argmax(raw["region"][..., 1:], axis=-1)  # of a lesion never none
        return ProbabilityMaps(probability, artery.astype(jnp.int32))

    def logit(
        self, raw: Mapping[str, Float[Array, "b s s _"]]
    ) -> Float[Array, "b s s"]:
        """Log odds of lesion."""
        return lesion_logit(raw["lesion"])

    def head_maps(self, inputs: Mapping[str, Any]) -> dict[int, Array | str]:
        """What the head of lesions reads."""
        return {0: inputs["lesion_head"]}
