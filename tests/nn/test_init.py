"""First values of ThrConvs: where its kernels begin."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.config import Config, Model, Thr
from tqgd_jax.network import build
from tqgd_jax.nn.thrconvs import ThrConvs
from tqgd_jax.training.state import create


def test_kernels_of_thrconvs_may_begin_at_the_tap_of_the_pixel_itself():
    kernels = (8, 12, 1)
    model = Model(size="n", thr=Thr(kernels=kernels, init="centre"))
    of_run = create(build(Config(model=model), 1), Config(model=model)).params[
        "backbone"
    ]["thr_p1"]
    block = ThrConvs(kernels=kernels, first="centre")
    drawn = jax.jit(lambda key: block.init(key, jnp.zeros((1, 8, 8, 16)), train=False))(
        jax.random.key(0)
    )["params"]
    # Padded by (3, 4) and (6, 5): output i reads input i through tap 3, and tap 6.
    for tree in (of_run, drawn):
        for conv, tap, gain in (
            ("conv1", 3, 8 / 3),
            ("conv2", 6, 4.0),
            ("conv3", 0, 1),
        ):
            kernel = np.array(tree[conv]["conv"]["kernel"])
            own = kernel[tap, tap].copy()
            kernel[tap, tap] = 0
            assert not kernel.any()
            assert np.abs(own).max() <= gain / 4  # as a 1x1 kernel of 16 channels
            assert own.std() == pytest.approx(gain / 4 / math.sqrt(3), rel=0.1)
    # So at first X1 is a map of the pixels themselves: an impulse stays where it is.
    impulse = jnp.zeros((1, 32, 32, 16)).at[0, 16, 16].set(1.0)
    plain = ThrConvs(kernels=kernels, first="centre", norm="none", act="none")
    seen = plain.apply(
        plain.init(jax.random.key(0), impulse, train=False), impulse, train=False
    )
    assert np.argwhere(np.abs(seen[0]).sum(-1)).tolist() == [[16, 16]]


def test_other_parameters_begin_as_without():
    usual, centred = (
        create(build(Config(model=model), 1), Config(model=model)).params
        for model in (
            Model(size="n", thr=Thr(init=init)) for init in ("yolov5", "centre")
        )
    )
    for tree in (usual, centred):
        del tree["backbone"]["thr_p1"], tree["backbone"]["thr_p2"]
    jax.tree.map(np.testing.assert_array_equal, usual, centred)
