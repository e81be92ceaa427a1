"""Readings of the paper that are settings, and controls: counted by hand, all learnt."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters.partial_eval import dce_jaxpr

from tests.test_detector import count, shapes
from tests.weights import used
from tqgd_jax.config import Config, Gd, Model, Queen
from tqgd_jax.description import describe
from tqgd_jax.detector import Detector


def c3(i: int, o: int, n: int = 1) -> int:
    """Parameters of a C3 (YOLOv5): convolutions, then gain and bias of batch norms."""
    h = o // 2
    return 2 * i * h + 2 * h * o + 10 * n * h * h + 2 * (2 * h + o) + 4 * n * h


def plain(c: int, hidden: int) -> int:
    """Parameters of three 3x3 convolutions c -> hidden -> hidden -> c."""
    return 9 * (2 * c * hidden + hidden * hidden) + 2 * (2 * hidden + c)


# Channels that a node of size s joins in a column that goes up, P2 to P5 (Eq. 5).
UP = {
    64: 64 + 128,
    128: 128 + 256 + 64 + 64,
    256: 256 + 512 + 128 * 2,
    512: 512 + 256 * 2,
}
TQGDNET, QUEEN, YOLO = 14_399_798, 4_177_152, 7_022_326
COLUMN = sum(c3(i, o) for o, i in UP.items())
THR = 278_720 + 1_114_496  # both ThrConvs blocks


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (Model(queen=Queen(("up", "up"))), TQGDNET - QUEEN + 2 * COLUMN),
        (Model(queen=Queen(("up",))), TQGDNET - QUEEN + COLUMN),
        # The backbone's SPPF stands behind Queen: nothing is added, nothing lost.
        (Model(stem="conv", neck=("queen", "sppf", "pan")), YOLO + QUEEN),
        (Model(gd=Gd(gather=4)), TQGDNET),
        # In each level the neighbours' 1x1 convolutions to its width, then one of all.
        (
            Model(gd=Gd(laf=True)),
            TQGDNET
            + sum(
                sum(near) * c + 2 * len(near) * c + len(near) * c * c + 2 * c
                for c, near in (
                    (128, (64, 128, 256)),
                    (256, (128, 256, 512)),
                    (512, (256, 512)),
                )
            ),
        ),
        # As Gold-YOLO: without the injection into P5.
        (
            Model(gd=Gd(levels=(3, 4))),
            TQGDNET - 263_168 - 2 * 66_560 - 2_624_512,
        ),
        # P2 too: local 64, act and embed from 128, RepConv 64; a head of 18 outputs.
        (
            Model(heads=(2, 3, 4, 5), gd=Gd(levels=(2, 3, 4, 5))),
            TQGDNET
            + (64 * 64 + 2 * 64)
            + 2 * (128 * 64 + 2 * 64)
            + (10 * 64 * 64 + 3 * 2 * 64)
            + (64 * 18 + 18),
        ),
        (
            Model(c3_in_a_row=3),
            TQGDNET
            + 2 * (c3(64, 64) + c3(128, 128, 2) + c3(256, 256, 3) + c3(512, 512)),
        ),
        # A bias for gain and bias of each batch norm.
        (Model(stem="thr:linear"), TQGDNET - 3 * (32 + 64)),
        # 9 w^2 + 18 c w = 272 c^2: w = 4.588 c.
        (Model(stem="thr:plain"), TQGDNET - THR + plain(32, 147) + plain(64, 294)),
        (Model(stem="conv", neck=("pan",), heads=(2, 3, 4, 5)), 7_166_216),
    ],
)
def test_counts_of_the_switches_by_hand(model, parameters):
    assert count(model) == parameters


def test_the_plain_control_has_the_work_of_thrconvs():
    with_thr = describe(Config(model=Model(stem="thr")), 1)
    control = describe(Config(model=Model(stem="thr:plain")), 1)
    # ThrConvs' kernels cover more padding, which XLA does not count: 3 GFLOPs.
    assert control["gflops"] == pytest.approx(144.36, rel=0.01)
    assert with_thr["gflops"] == pytest.approx(control["gflops"], rel=0.03)


@pytest.mark.parametrize(
    "model",
    [
        Model(),
        Model(stem="conv", neck=("pan",), heads=(2, 3, 4, 5)),
        Model(neck=("queen", "sppf", "pan")),
        Model(neck=("queen", "sppf", "pan", "gd")),
        Model(neck=("gd", "queen")),
        Model(queen=Queen(("up",))),
        Model(queen=Queen(("up", "up"))),
        Model(queen=Queen(("up", "down")), heads=(2, 3)),
        Model(queen=Queen(("down",))),
        Model(heads=(2, 3, 4, 5), gd=Gd(gather=4, laf=True, levels=(2, 3, 4, 5))),
        Model(gd=Gd(levels=(3, 4), split=True)),
        Model(c3_in_a_row=3),
        Model(stem="thr:linear"),
        Model(stem="thr:plain"),
    ],
    ids=str,
)
def test_a_head_reads_every_parameter(model):
    """Else it would never be learnt, and the counts above would be counts of nothing."""
    model = dataclasses.replace(model, size="n")
    variables = shapes(model)

    def outputs(params, stats):
        image = jnp.zeros((1, 64, 64, 3))
        return Detector(model).apply(
            {"params": params, "batch_stats": stats}, image, train=False
        )

    traced = jax.make_jaxpr(outputs)(variables["params"], variables["batch_stats"])
    _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    paths = [p for p, _ in jax.tree.leaves_with_path(variables["params"])]
    names = zip(map(jax.tree_util.keystr, paths), used, strict=False)
    assert [name for name, read in names if not read] == []


def test_a_level_that_nobody_reads_gets_no_injection():
    with pytest.raises(
        ValueError, match=r"gd\.levels=.*reads P2.*add 2 to model\.heads"
    ):
        shapes(Model(gd=Gd(levels=(2, 3, 4, 5))))


@pytest.mark.parametrize("stem", ["thr:linear", "thr:plain"])
def test_stems_without_batch_norm_or_large_kernels_deploy_to_the_same_outputs(stem):
    model = Model(size="n", stem=stem, neck=("fpn",))
    network = Detector(model)
    image = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    variables = used(network, image)
    deployed, fused = network.deployed(variables)
    before = jax.jit(lambda v: network.apply(v, image, train=False))(variables)
    after = jax.jit(lambda v: deployed.apply(v, image, train=False))(fused)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
