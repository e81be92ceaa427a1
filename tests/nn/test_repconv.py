"""Re-parameterisation keeps outputs and saves parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights import used
from tqgd_jax.config import Model
from tqgd_jax.detector import Detector
from tqgd_jax.nn.blocks import Mode
from tqgd_jax.nn.repconv import RepConv, fuse


def test_repconv_by_hand():
    # One channel, x = 1 everywhere, variance 1 - 1e-3 so that every gain is its scale.
    norm = {"mean": jnp.full(1, 0.5), "var": jnp.full(1, 0.999)}
    stats = {name: norm for name in ("bn3", "bn1", "bn0")}

    def bn(scale, bias):
        return {"scale": jnp.full(1, scale), "bias": jnp.full(1, bias)}

    params = {
        "conv3": {"kernel": jnp.full((3, 3, 1, 1), 1.0)},
        "conv1": {"kernel": jnp.full((1, 1, 1, 1), 4.0)},
        "bn3": bn(2.0, 0.1),
        "bn1": bn(3.0, 0.2),
        "bn0": bn(5.0, 0.3),
    }
    fused = fuse(params, stats)["conv"]
    # centre: 1 * 2 + 4 * 3 + 5; around: 1 * 2; bias: each b - 0.5 * scale
    expected = np.full((3, 3), 2.0)
    expected[1, 1] = 19.0
    np.testing.assert_allclose(fused["kernel"][:, :, 0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(fused["bias"], [0.6 - 5.0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["conv", "thr:light"])
def test_the_deployed_network_equals_the_trained_one(stem):
    model = Model(size="n", stem=stem, neck=("queen", "gd"))
    network = Detector(model, 2)
    image = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    variables = used(network, image)
    before = jax.tree.map(jnp.array, variables)

    deployed, fused = network.deployed(variables)
    for a, b in zip(
        jax.jit(lambda v: network.apply(v, image, train=False))(variables),
        jax.jit(lambda v: deployed.apply(v, image, train=False))(fused),
        strict=True,
    ):
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(a)
    jax.tree.map(np.testing.assert_array_equal, variables, before)

    def numbers(tree):
        return sum(x.size for x in jax.tree.leaves(tree))

    assert numbers(fused) < numbers(variables["params"])


def test_a_deployed_tree_holds_only_what_the_deployed_network_reads():
    network = Detector(Model(size="n"), 1)
    image = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(
        lambda k: network.init(k, image, train=False), jax.random.key(0)
    )
    fused = jax.eval_shape(lambda v: network.deployed(v)[1], variables)
    deployed = Detector(Model(size="n"), 1, deploy=True)
    expected = jax.eval_shape(
        lambda k: deployed.init(k, image, train=False), jax.random.key(0)
    )
    assert jax.tree.structure(fused) == jax.tree.structure(expected)


def test_channels_must_match_the_identity_branch():
    with pytest.raises(ValueError, match="identity branch"):
        RepConv(4, Mode()).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
