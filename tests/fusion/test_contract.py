"""What every fusion stage must do; new files in tqgd_jax/fusion/ are found here."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights import fresh
from tqgd_jax import fusion
from tqgd_jax.config import Gd, Queen
from tqgd_jax.nn.blocks import Mode

FEATURES = (8, 16, 24, 32)

# Every stage as it is, and the readings of the paper that are settings of one.
STAGES = [
    *((name, {}) for name in fusion.names()),
    *(
        ("queen", {"queen": Queen(columns)})
        for columns in (("up", "up"), ("up",), ("up", "down"))
    ),
    ("gd", {"gd": Gd(gather=4)}),  # averages P2 and P3, interpolates P5
    ("gd", {"gd": Gd(laf=True)}),
    ("gd", {"gd": Gd(split=True, gate="hard_sigmoid", levels=(3, 4))}),
]
each_stage = pytest.mark.parametrize(("name", "settings"), STAGES, ids=str)


def pyramid():
    keys = jax.random.split(jax.random.key(0), 4)
    return tuple(
        jax.random.normal(key, (2, size, size, c))
        for key, size, c in zip(keys, (16, 8, 4, 2), FEATURES, strict=True)
    )


def stage(name, settings):
    offered = {"features": FEATURES, "repeats": 1, "embed": 8, "mode": Mode()}
    return fusion.build(name, **offered, **({"queen": Queen(), "gd": Gd()} | settings))


@each_stage
def test_sizes_are_kept(name, settings):
    levels = pyramid()
    out, _ = jax.eval_shape(
        lambda key: stage(name, settings).init_with_output(key, levels, train=False),
        jax.random.key(1),
    )
    assert [x.shape for x in out] == [x.shape for x in levels]


@pytest.mark.slow
@each_stage
def test_every_parameter_has_a_gradient(name, settings):
    module, levels = stage(name, settings), pyramid()
    variables = fresh(module, levels)

    @jax.jit
    def gradients(params):
        def total(params):
            out, _ = module.apply(
                {**variables, "params": params}, levels, train=True,
                mutable=["batch_stats"],
            )  # fmt: skip
            # Squares of shifted values: the sum of a batch norm's output has none.
            return sum(jnp.sum((x - 0.3) ** 3) for x in out)

        return jax.grad(total)(params)

    for path, g in jax.tree.leaves_with_path(gradients(variables["params"])):
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0, jax.tree_util.keystr(path)


@pytest.mark.slow
@each_stage
def test_jit_changes_nothing(name, settings):
    module, levels = stage(name, settings), pyramid()
    variables = fresh(module, levels)

    def apply(v, x):
        return module.apply(v, x, train=False)

    chex.assert_trees_all_close(
        apply(variables, levels), jax.jit(apply)(variables, levels), atol=1e-5
    )


def test_an_unknown_stage_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"'qeen'.*fpn.*did you mean 'queen'"):
        fusion.build("qeen", features=FEATURES)


def test_a_file_in_the_folder_is_a_stage(tmp_path, monkeypatch):
    (tmp_path / "halve.py").write_text(
        "import flax.linen as nn\n"
        "class Fusion(nn.Module):\n"
        "    features: tuple\n"
        "    def __call__(self, levels, *, train):\n"
        "        return tuple(x / 2 for x in levels)\n"
    )
    monkeypatch.setattr(fusion, "__path__", [*fusion.__path__, str(tmp_path)])
    assert "halve" in fusion.names()
    out = fusion.build("halve", features=FEATURES, mode=Mode()).apply(
        {}, pyramid(), train=False
    )
    chex.assert_trees_all_equal(out, tuple(x / 2 for x in pyramid()))
