"""What is special about each stage."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax import fusion
from tqgd_jax.config import Gd
from tqgd_jax.fusion.gd import Inject

S = (64, 128, 256, 512)  # channels of P2..P5 at size s


def tree(name, **settings):
    levels = tuple(
        jax.ShapeDtypeStruct((1, n, n, c), "float32")
        for n, c in zip((16, 8, 4, 2), S, strict=True)
    )
    module = fusion.build(name, features=S, **settings)
    return jax.eval_shape(
        lambda key, x: module.init(key, x, train=False), jax.random.key(0), levels
    )["params"]


def numbers(tree):
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def test_queen_nodes_join_the_neighbours_of_equation_5():
    # Channels in and parameters of each node, counted independently in PyTorch.
    table = {
        "a5": (512 + 256, 1_313_792),
        "a4": (256 + 512 + 128 + 512, 591_360),
        "a3": (128 + 256 + 64 + 256, 148_224),
        "a2": (64 + 128 + 128, 35_200),
        "q2": (64 + 128, 27_008),
        "q3": (128 + 256 + 64 + 64, 123_648),
        "q4": (256 + 512 + 128 + 128, 493_056),
        "q5": (512 + 256 + 256, 1_444_864),
    }
    params = tree("queen")
    found = {
        name: (node["a"]["conv"]["kernel"].shape[2], numbers(node))
        for name, node in params.items()
    }
    assert found == table


def test_queen_computes_no_level_coarser_than_asked():
    assert set(tree("queen", levels=(3, 4))) == {
        "a2", "a3", "a4", "a5", "q2", "q3", "q4",
    }  # fmt: skip


def test_gd_parameters_by_part():
    params = tree("gd", levels=(3, 4, 5), embed=128)
    assert numbers(params["embed"]) == 123_136
    assert sum(numbers(params[f"fuse{i}"]) for i in range(3)) == 493_824
    parts = {
        level: [numbers(params[f"inject{level}"][p]) for p in ("local", "act", "rep0")]
        for level in (3, 4, 5)
    }
    assert parts == {
        3: [16_640, 16_640, 164_608],
        4: [66_048, 33_280, 656_896],
        5: [263_168, 66_560, 2_624_512],
    }


def test_gd_gathers_all_levels_at_the_smallest_size():
    assert tree("gd")["embed"]["conv"]["kernel"].shape == (1, 1, 960, 128)


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_injection_is_equation_10(gate):
    # One channel, no RepConv: local * gate(act) + embed, batch norms switched off.
    module = Inject(1, Gd(out_blocks=0, gate=gate))
    q, i_r = jnp.full((1, 4, 4, 1), 3.0), jnp.full((1, 2, 2, 1), 1.0)
    variables = module.init(jax.random.key(0), q, i_r, train=False)
    weights = {"local": 2.0, "act": 1.5, "embed": 0.25}
    norm = {"scale": jnp.sqrt(jnp.full(1, 1.001)), "bias": jnp.zeros(1)}
    params = {
        name: {"conv": {"kernel": jnp.full((1, 1, 1, 1), w)}, "bn": norm}
        for name, w in weights.items()
    }
    y = module.apply({**variables, "params": params}, q, i_r, train=False)
    opened = 1 / (1 + math.exp(-1.5)) if gate == "sigmoid" else (1.5 + 3) / 6
    np.testing.assert_allclose(y, np.full((1, 4, 4, 1), 6 * opened + 0.25), rtol=5e-6)


def test_pan_reaches_p2_only_when_asked():
    assert "down2" not in tree("pan")
    assert "down2" in tree("pan", levels=(2, 3, 4, 5))
