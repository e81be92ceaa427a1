"""Parameters and work of the published network, counted with PyTorch for the same layers.

The same counting gives torchvision's published 41,755,286 for its plain Faster R-CNN.
"""

import jax
import numpy as np
import pytest

from tqgd_jax.baselines.resnet import ResNet
from tqgd_jax.baselines.zhao.fpn import FPN
from tqgd_jax.baselines.zhao.guided import GuidedAnchors
from tqgd_jax.baselines.zhao.roi import RoiHead
from tqgd_jax.nn.blocks import Mode

MODE = Mode(direct=True)


def shape(*sides):
    return jax.ShapeDtypeStruct(sides, "float32")


def numbers(tree):
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree))


def first(module, *inputs, **options):
    return jax.eval_shape(
        lambda key, *x: module.init(key, *x, **options), jax.random.key(0), *inputs
    )


def counted(module, *inputs, **options):
    """Parameters, 10^9 operations and outputs."""
    variables = first(module, *inputs, **options)
    lowered = jax.jit(lambda v, *x: module.apply(v, *x, **options)).lower(
        variables, *inputs
    )
    work = lowered.cost_analysis()["flops"] / 1e9
    return numbers(variables["params"]), work, lowered.out_info


@pytest.fixture(scope="module")
def stages_behind():
    """First and second stage at 640 px, which are the same for all backbones."""
    levels = tuple(shape(1, n, n, 256) for n in (160, 80, 40, 20, 10))
    anchors = counted(GuidedAnchors(256, "deformable", MODE), levels)
    regions = counted(RoiHead(1024, 1, MODE), levels[:4], shape(1, 300, 4))
    return anchors[:2], regions[:2]


@pytest.mark.parametrize(
    ("depth", "backbone", "neck", "total", "gflops"),
    [
        (50, 23508032, 3344384, 41936350, 202.1),
        (34, 21284672, 2607104, 38975710, 190.4),
        (18, 11176512, 2607104, 28867550, 160.2),
    ],
)
def test_parameters_and_work(stages_behind, depth, backbone, neck, total, gflops):
    net = ResNet(depth, "batch", mode=MODE)
    parts = [counted(net, shape(1, 640, 640, 3), train=False)]
    parts.append(counted(FPN(256, MODE), parts[0][2]))
    assert [part[0] for part in parts] == [backbone, neck]
    parts += stages_behind
    assert [part[0] for part in parts[2:]] == [1182104, 13901830]
    assert sum(part[0] for part in parts) == total
    assert sum(part[1] for part in parts) == pytest.approx(gflops, rel=0.02)


def test_parts():
    stem, *stages = (
        {"conv1", "bn1"},
        *({f"layer{i}_{j}" for j in range(6)} for i in (1, 2, 3, 4)),
    )
    backbone = first(ResNet(50, "group"), shape(1, 64, 64, 3), train=False)["params"]
    parts = [
        numbers({name: part for name, part in backbone.items() if name in names})
        for names in (stem, *stages)
    ]
    assert parts == [9536, 215808, 1219584, 7098368, 14964736]
    assert backbone["conv1"]["kernel"].shape == (7, 7, 3, 64)


@pytest.mark.parametrize(
    ("adaption", "parts", "total"),
    [("deformable", 144 + 589824, 1182104), ("conv", 594432, 1186568)],
)
def test_adaption(adaption, parts, total):
    rpn = first(GuidedAnchors(256, adaption), (shape(1, 4, 4, 256),))["params"]
    assert {name: numbers(part) for name, part in rpn.items()} == {
        "conv": 590080,
        "location": 257,
        "shape": 514,
        "adaption": parts,
        "score": 257,
        "delta": 1028,
    }
    assert numbers(rpn) == total
