"""The detection head of YOLOv5: one 1x1 convolution a level."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from tqgd_jax.anchors import PER_HEAD
from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.structures.batch import Pyramid


class Head(nn.Module):
    """One 1x1 convolution a level, with YOLOv5's bias: few objects, one class likely.

    Returns per level (b, h, w, anchors, 5 + classes): tx, ty, tw, th, obj, cls.
    """

    heads: tuple[int, ...]
    num_classes: int
    anchors: int = PER_HEAD
    mode: Mode = Mode()

    @nn.compact
    def __call__(self, levels: Pyramid) -> tuple[Array, ...]:
        outputs = 5 + self.num_classes
        preds = []
        for n in self.heads:
            x = levels[n - 2]
            b, h, w, c = x.shape
            bias = self.param(f"bias{n}", self._bias, c, 2**n)
            y = Conv(self.anchors * outputs, mode=self.mode, name=f"p{n}")(x)
            y = y.astype(jnp.float32) + bias[None, None, None, :]
            preds.append(y.reshape(b, h, w, self.anchors, outputs))
        return tuple(preds)

    def _bias(self, key: Array, channels: int, stride: int) -> Float[Array, " o"]:
        bound = 1 / math.sqrt(channels)
        outputs = self.anchors * (5 + self.num_classes)
        bias = jax.random.uniform(key, (outputs,), jnp.float32, -bound, bound)
        return bias + jnp.asarray(bias_prior(outputs, stride))


def bias_prior(outputs: int, stride: int) -> Float[np.ndarray, " o"]:
    """What YOLOv5 adds to the random bias: 8 objects a 640-px image, cls near 1.

    Args:
      outputs: anchors x (5 + classes).
      stride: of the level, px.
    """
    prior = np.zeros((PER_HEAD, outputs // PER_HEAD), np.float32)
    classes = prior.shape[1] - 5
    prior[:, 4] = math.log(8 / (640 / stride) ** 2)
    prior[:, 5:] = math.log(0.6 / (classes - 0.99999))
    return prior.reshape(-1)
