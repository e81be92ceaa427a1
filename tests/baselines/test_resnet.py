"""Group norm against its formula in float64; torchvision's names."""

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.baselines.blocks import scaled
from tqgd_jax.baselines.resnet import ResNet
from tqgd_jax.nn.norm import GroupNorm


def test_group_norm_of_narrow_layers_has_groups_that_divide_them():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (2, 4, 5, 24))
    scale, bias = rng.normal(size=(2, 24))
    groups = x.reshape(2, 20, 8, 3)  # 32 and 24 have the divisor 8
    mean = groups.mean((1, 3), keepdims=True)
    var = groups.var((1, 3), keepdims=True)
    want = ((groups - mean) / np.sqrt(var + 1e-5)).reshape(x.shape) * scale + bias
    params = {
        "scale": jnp.asarray(scale, "float32"),
        "bias": jnp.asarray(bias, "float32"),
    }
    for train in (True, False):
        got = GroupNorm().apply(
            {"params": params}, jnp.asarray(x, "float32"), train=train
        )
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_names_are_those_of_torchvision():
    """Of its resnet18 state dict, without fc; `layer1.0.conv1` is `layer1_0/conv1`."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    variables = jax.eval_shape(
        lambda key, x: ResNet(18, "batch").init(key, x, train=False),
        jax.random.key(0),
        image,
    )
    want = {"conv1", "bn1"} | {f"layer{i}_{j}" for i in (1, 2, 3, 4) for j in (0, 1)}
    assert set(variables["params"]) == set(variables["batch_stats"]) | {"conv1"} == want
    plain = {"conv1", "bn1", "conv2", "bn2"}
    assert set(variables["params"]["layer1_0"]) == plain
    assert set(variables["params"]["layer2_0"]) == plain | {
        "downsample_0",
        "downsample_1",
    }


def test_widths_are_multiples_of_8():
    assert [scaled(64, w) for w in (1.0, 0.5, 0.3, 0.01)] == [64, 32, 16, 8]
