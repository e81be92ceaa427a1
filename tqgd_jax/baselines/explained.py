"""What `tqgd explain` asks of a network that judges every pixel."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from tqgd_jax.structures.thresholds import CURVE_TAU, POINT_TAU


class ExplainedPixels(ABC):
    """The score of a box is the mean log odds of the pixels that make it a lesion.

    A family gives `logit`, and `head_maps` with one map; see `network.Explained`.
    """

    @property
    def finest(self) -> int:
        """Level (stride 2^n) of the map that its head reads."""
        return 0

    @abstractmethod
    def logit(self, raw: Any) -> Float[Array, "b h w"]:
        """Log odds of lesion, from what the module answers."""

    def subject(
        self,
        variables: Mapping[str, Any],
        raw: Any,
        box: Float[Array, "4"],
        label: Int[Array, ""],
    ) -> Float[Array, "h w"]:
        """Weights of pixels, see `lesion_pixels`; no matter of which class."""
        del variables, label
        return lesion_pixels(self.logit(raw)[0], box)

    def evidence(
        self, variables: Mapping[str, Any], raw: Any, subject: Float[Array, "h w"]
    ) -> Float[Array, "b"]:
        """The mean of the log odds of lesion over those pixels."""
        del variables
        return (self.logit(raw) * subject[None]).sum(axis=(1, 2))

    def level(self, subject: Float[Array, "h w"]) -> int:
        """There is one."""
        del subject
        return self.finest


def lesion_pixels(
    logit: Float[Array, "h w"], box: Float[Array, "4"]
) -> Float[Array, "h w"]:
    """Weights, of sum 1, of the pixels that make a box a lesion.

    They are alike for the pixels that the box touches and whose probability is at least
    `POINT_TAU`; where there is none at least `CURVE_TAU`; where there is none of these,
    for all.

    Args:
      logit: log odds of lesion.
      box: (x0, y0, x1, y1), px of the map.
    """
    near = 1e-3  # px, of rounding
    row, column = (jnp.arange(n, dtype=jnp.float32) for n in logit.shape)
    rows, columns = (
        (at + 1 > low + near) & (at < high - near)
        for at, low, high in ((row, box[1], box[3]), (column, box[0], box[2]))
    )
    inside = rows[:, None] & columns[None, :]
    probability = jax.nn.sigmoid(logit)
    pixels = inside
    for least in (CURVE_TAU, POINT_TAU):
        likely = inside & (probability >= least)
        pixels = jnp.where(likely.any(), likely, pixels)
    weights = pixels.astype(jnp.float32)
    return lax.stop_gradient(weights / jnp.maximum(weights.sum(), 1.0))
