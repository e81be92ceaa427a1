"""The state as a few vectors is the state as a tree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.config import Optim
from tqgd_jax.training.optim import Hyper, optimiser
from tqgd_jax.training.runtime.flat_state import Packed, pack, packed, unpack, unpacked


def tree(seed: int, of=np.asarray):
    """Two layers: a kernel, biases, a gain."""
    draw = np.random.default_rng(seed).standard_normal
    return {
        "head": {
            "bias": of(draw(3, np.float32)),
            "kernel": of(draw((2, 3), np.float32)),
        },
        "stem": {
            "bn": {"bias": of(draw(2, np.float32)), "scale": of(draw(2, np.float32))},
            "conv": {"kernel": of(draw((3, 3, 1, 2), np.float32))},
        },
    }


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_arrays_of_a_kind_lie_in_one_vector(of):
    found = pack(tree(0, of))
    assert {k: v.shape for k, v in found.vectors.items()} == {
        "kernel": (6 + 18,),
        "bias": (3 + 2,),
        "scale": (2,),
    }
    last = tree(0)["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(found.vectors["kernel"][6:], last.ravel())
    same(unpack(found), tree(0, of))


def test_only_nested_dicts_of_a_state_are_packed():
    state = (np.int32(3), {"params": tree(0), "batch_stats": tree(1)}, [tree(2)], {})
    found = packed(state)
    assert found[0] == 3
    assert found[3] == {}
    assert all(isinstance(x, Packed) for x in (*found[1].values(), found[2][0]))
    same(unpacked(found), state)


def test_another_type_is_refused_and_not_converted():
    with pytest.raises(ValueError, match=r"\['count'\] is int32"):
        pack({"stem": {"count": np.zeros(2, np.int32), "bias": np.zeros(2, "f4")}})


def test_the_gradient_of_what_is_packed_is_the_packed_gradient():
    def f(params):
        y = params["stem"]["conv"]["kernel"].sum() * params["head"]["bias"]
        return jnp.sin(params["head"]["kernel"] @ y).sum() + y.prod()

    params = tree(0, jnp.asarray)
    by_tree = jax.grad(f)(params)
    by_vectors = jax.jit(jax.grad(lambda p: f(unpack(p))))(pack(params))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7),
        unpack(by_vectors),
        by_tree,
    )
    # What f does not use has a gradient of zero, and is there.
    assert not by_vectors.vectors["scale"].any()


def test_the_optimiser_finds_its_groups_in_what_is_packed():
    cfg = Optim(weight_decay=0.1, clip_norm=1e9)
    hyper = Hyper(0.01, 0.1, 0.9, True, False)  # three groups, three outcomes
    tx = optimiser(cfg, 4, hyper)

    def two_updates(params, grads):
        state = tx.init(params)
        _, state = tx.update(grads, state, params)
        return tx.update(grads, state, params)

    updates, state = two_updates(tree(0), tree(1))
    again, held = two_updates(pack(tree(0)), pack(tree(1)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        unpacked((again, held)),
        (updates, state),
    )
