"""RepConv: three branches while training, one convolution when deployed.

Ding et al., RepVGG, CVPR 2021; the blocks of Eq. 7 and of the end of the injection.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.nn.blocks import Conv, Mode
from tqgd_jax.nn.norm import EPSILON, BatchNorm


class RepConv(nn.Module):
    """ReLU(BN(3x3 conv) + BN(1x1 conv) + BN(identity)); channels stay the same.

    Deployed, ReLU of one 3x3 convolution with a bias, whose parameters `fuse` makes.
    """

    features: int
    mode: Mode = Mode()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        c, mode = self.features, self.mode
        if x.shape[-1] != c:
            raise ValueError(
                f"RepConv(features={c}) has an identity branch and needs an input with "
                f"as many channels; got shape {x.shape}."
            )
        if mode.deploy:
            return nn.relu(Conv(c, 3, bias=True, mode=mode, name="conv")(x))
        y3 = Conv(c, 3, mode=mode, name="conv3")(x)
        y1 = Conv(c, 1, mode=mode, name="conv1")(x)
        return nn.relu(
            BatchNorm(mode.axis_name, name="bn3")(y3, train=train)
            + BatchNorm(mode.axis_name, name="bn1")(y1, train=train)
            + BatchNorm(mode.axis_name, name="bn0")(x, train=train)
        )


def fuse(params: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrites a training tree to its deployed form: RepConv and Conv+BN become one conv.

    Args:
      params: parameters of a module in training form; pass the EMA weights.
      stats: its `batch_stats`.

    Returns:
      Parameters of the same module with `Mode(deploy=True)`; the input is not changed.
    """
    if "conv3" in params and "bn3" in params:
        return {"conv": _fuse_repconv(params, stats)}
    if "conv" in params and "bn" in params:
        gain, bias = _affine(params["bn"], stats["bn"])
        return {
            "conv": {"kernel": _scale(params["conv"]["kernel"], gain), "bias": bias}
        }
    return {
        name: fuse(sub, stats.get(name, {})) if isinstance(sub, Mapping) else sub
        for name, sub in params.items()
    }


def _fuse_repconv(
    params: Mapping[str, Any], stats: Mapping[str, Any]
) -> dict[str, Array]:
    gain3, bias3 = _affine(params["bn3"], stats["bn3"])
    gain1, bias1 = _affine(params["bn1"], stats["bn1"])
    gain0, bias0 = _affine(params["bn0"], stats["bn0"])
    centre = _scale(params["conv1"]["kernel"], gain1)[0, 0] + jnp.diag(gain0)
    kernel = _scale(params["conv3"]["kernel"], gain3).at[1, 1].add(centre)
    return {"kernel": kernel, "bias": bias3 + bias1 + bias0}


def _affine(
    bn: Mapping[str, Any], stats: Mapping[str, Any]
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """A batch norm in evaluation as y = gain * x + bias."""
    gain = bn["scale"] / jnp.sqrt(stats["var"] + EPSILON)
    return gain, bn["bias"] - stats["mean"] * gain


def _scale(
    kernel: Float[Array, "k k i o"], gain: Float[Array, " o"]
) -> Float[Array, "k k i o"]:
    return kernel * gain[None, None, None, :]
