"""Parameters and work of the published networks, counted without computing."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights import shapes
from tqgd_jax.baselines.foellmer.unet import MultiTaskUNet
from tqgd_jax.baselines.zair.fcn import FCN8s
from tqgd_jax.baselines.zair.segnet import SegNet
from tqgd_jax.baselines.zair.unet import UNet

foellmer = partial(MultiTaskUNet, hu_window=(-1200.0, 1800.0), lesion_hu=130.0)


@cache
def variables(module, channels):
    return shapes(module, jnp.zeros((1, 32, 32, channels)))


def count(tree):
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree))


# PyTorch's counts of the same networks.
@pytest.mark.parametrize(
    ("module", "channels", "parameters"),
    [
        (SegNet(), 3, 29_444_162),
        (SegNet(classes=1), 3, 29_443_585),
        (SegNet(classes=1), 1, 29_442_433),
        (UNet(), 1, 31_042_369),
        (UNet(bias=False), 1, 31_036_481),
        (UNet(norm=False), 1, 31_030_593),
        (UNet(width=0.5), 1, 7_765_409),
        (FCN8s(), 3, 14_715_971),
        (FCN8s(batch_norm=True), 3, 14_724_419),
        (foellmer(regions=True), 1, 3_109_130),
        (foellmer(regions=False), 1, 1_931_698),
    ],
)
def test_parameters(module, channels, parameters):
    assert count(variables(module, channels)["params"]) == parameters


def test_parameters_of_segnets_encoder_and_decoder():
    params = dict(variables(SegNet(), 3)["params"])
    assert count(params.pop("encoder")) == 14_723_136
    assert count(params) == 14_721_026


DOWN = [6464, 17536, 25728, 69888, 102656, 102656, 279040, 410112]
REGION = [442880, 147712, 110848, 110848, 36992, 27776, 9280, 6976]
LESION = [590336, 184576, 147712, 147712, 46208, 36992, 11584, 23744]


def test_parameters_of_the_blocks_of_foellmer():
    params = variables(foellmer(regions=True), 1)["params"]
    for name, counts in (("down", DOWN), ("region", REGION), ("lesion", LESION)):
        assert [count(params[f"{name}{i}"]) for i in range(1, 9)] == counts
    assert count(params["stem1"]) + count(params["stem2"]) == 7232
    assert count(params["region_head"]) == 728
    assert count(params["lesion_head"]) == 4914


@pytest.mark.parametrize(
    ("module", "channels", "side", "gflops"),
    [
        (SegNet(classes=1), 3, 512, 320.4),
        (UNet(), 1, 512, 384.7),
        (FCN8s(), 3, 512, 160.4),
        (foellmer(regions=True), 1, 512, 30.81),
    ],
)
def test_work_of_an_image(module, channels, side, gflops):
    counted = dataclasses.replace(module, direct=True)
    image = jax.ShapeDtypeStruct((1, side, side, channels), "float32")
    lowered = jax.jit(partial(counted.apply, train=False)).lower(
        variables(module, channels), image
    )
    # XLA leaves out products with padding.
    assert lowered.cost_analysis()["flops"] / 1e9 == pytest.approx(gflops, rel=0.02)
