"""Parameter counts, work and shapes of every variant.

The counts come from an independent PyTorch instantiation of the same graphs; YOLOv5's
rows equal the figures that YOLOv5 v7.0 publishes.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.weights import fresh, used
from tqgd_jax.config import Config, Gd, Model, Thr
from tqgd_jax.description import describe
from tqgd_jax.detector import SIZES, Backbone, Detector
from tqgd_jax.nn.blocks import Mode
from tqgd_jax.nn.head import Head, bias_prior
from tqgd_jax.nn.init import initial


def shapes(model: Model, classes: int = 1):
    """Variables as shapes only; nothing is computed."""
    image = jnp.zeros((1, 64, 64, model.in_channels))
    return jax.eval_shape(
        lambda key: Detector(model, classes).init(key, image, train=False),
        jax.random.key(0),
    )


def count(model: Model, classes: int = 1) -> int:
    return sum(
        math.prod(x.shape) for x in jax.tree.leaves(shapes(model, classes)["params"])
    )


# The nine rows of Tables 1-3: parameters, and GFLOPs of the convolutions at 640 px.
GRID = [
    ("conv", ("pan",), 7_022_326, 15.754),
    ("conv", ("fpn",), 5_987_830, 14.496),
    ("conv", ("queen",), 8_364_790, 22.67),
    ("conv", ("gd",), 8_829_430, 18.00),
    ("conv", ("queen", "gd"), 13_006_582, 30.27),
    ("thr", ("pan",), 8_415_542, 129.84),
    ("thr", ("queen",), 9_758_006, 136.76),
    ("thr", ("gd",), 10_222_646, 132.09),
    ("thr", ("queen", "gd"), 14_399_798, 144.36),
]


def inside(n: int, k: int) -> float:
    """Share of a kernel's taps along one axis that fall inside n pixels."""
    before, after = (k - 1) // 2, k // 2
    cut = before * (before + 1) / 2 + after * (after + 1) / 2
    return 1 - cut / (n * k)


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "neck", "parameters", "gflops"), GRID)
def test_the_grid_of_tables_1_to_3(stem, neck, parameters, gflops):
    found = describe(Config(model=Model(stem=stem, neck=neck)), 1)
    assert found["parameters"] == parameters
    if stem == "thr":  # XLA leaves out products with padding, which the table counts
        gflops -= sum(
            2 * n * n * c * c * k * k * (1 - inside(n, k) ** 2) / 1e9
            for n, c in ((320, 32), (160, 64))
            for k in (8, 12, 8)
        )
    assert found["gflops"] == pytest.approx(gflops, rel=0.02)
    assert found["outputs"] == [[1, n, n, 3, 6] for n in (80, 40, 20)]


@pytest.mark.parametrize(
    ("size", "neck", "classes", "parameters"),
    [
        ("n", "pan", 80, 1_872_157),
        ("n", "pan", 1, 1_765_270),
        ("s", "pan", 80, 7_235_389),
        ("m", "pan", 80, 21_190_557),
        ("m", "pan", 1, 20_871_318),
        ("l", "pan", 80, 46_563_709),
        ("l", "pan", 1, 46_138_294),
        ("s", "fpn", 80, 6_200_893),
        ("m", "fpn", 80, 18_495_261),
        ("m", "fpn", 1, 18_176_022),
        ("s", "queen3", 1, 7_608_886),
    ],
)
def test_yolov5_counts(size, neck, classes, parameters):
    assert count(Model(size=size, stem="conv", neck=(neck,)), classes) == parameters


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (Model(heads=(3, 4)), 11_369_764),
        (Model(heads=(2, 3, 4)), 11_433_142),
        (Model(heads=(2, 3, 4, 5)), 14_463_176),
        (Model(stem="conv", neck=("pan",), heads=(2, 3, 4, 5)), 7_166_216),
        (Model(size="m", stem="conv", neck=("pan",), heads=(2, 3, 4, 5)), 21_285_672),
        (Model(in_channels=1), 14_397_494),
    ],
)
def test_counts_of_other_heads_and_inputs(model, parameters):
    assert count(model) == parameters


@pytest.mark.parametrize(
    ("model", "millions"),
    [
        (Model(size="n"), 3.81),
        (Model(size="m"), 39.07),
        (Model(size="l"), 80.14),
        (Model(size="n", stem="thr:snapshot"), 3.47),
        (Model(size="m", stem="thr:snapshot"), 35.97),
        (Model(stem="thr:snapshot"), 13.02),
        (Model(stem="thr:light"), 13.03),
        (Model(thr=Thr(positions=("p1",))), 13.29),
        (Model(thr=Thr(positions=("p2",))), 14.12),
        (Model(thr=Thr(positions=("in",))), 13.01),
        (Model(thr=Thr(kernels=(8, 12, 3))), 14.12),
        (Model(thr=Thr(kernels=(8, 12, 1))), 14.08),
        (Model(thr=Thr(kernels=(8, 8, 8, 12, 12, 12))), 14.97),
        (Model(thr=Thr(kernels=(3, 3, 3))), 13.15),
        (Model(thr=Thr(kernels=(7, 11, 7))), 14.13),
        (Model(gd=Gd(out_blocks=4)), 24.74),
        (Model(stem="conv", neck=("pan", "gd")), 11.66),
    ],
)
def test_counts_of_readings_in_millions(model, millions):
    assert count(model) / 1e6 == pytest.approx(millions, abs=0.005)


def test_parts_of_tqgdnet_s():
    tree = shapes(Model())["params"]
    numbers = {
        "/".join(path): sum(math.prod(x.shape) for x in jax.tree.leaves(sub))
        for path, sub in {
            ("backbone",): tree["backbone"],
            ("backbone", "thr_p1"): tree["backbone"]["thr_p1"],
            ("backbone", "thr_p2"): tree["backbone"]["thr_p2"],
            ("queen",): tree["queen"],
            ("gd",): tree["gd"],
            ("head",): tree["head"],
        }.items()
    }
    assert numbers == {
        "backbone": 5_564_672,
        "backbone/thr_p1": 278_720,
        "backbone/thr_p2": 1_114_496,
        "queen": 4_177_152,
        "gd": 4_641_792,
        "head": 2_322 + 4_626 + 9_234,
    }


def test_batch_norms_fold_away_in_the_deployed_counts():
    found = describe(Config(model=Model(stem="conv", neck=("pan",))), 1)
    assert found["parameters_fused"] == 7_012_822


@pytest.mark.parametrize("stem", ["conv", "thr", "thr:snapshot", "thr:light"])
@pytest.mark.parametrize(
    "gd", [Gd(), Gd(gather=4, split=True), Gd(gather=3, laf=True, gate="hard_sigmoid")]
)
def test_every_switch_builds(stem, gd):
    model = Model(size="n", stem=stem, gd=gd, heads=(2, 4))
    image = jnp.zeros((1, 64, 96, 3))
    network = Detector(model, 3)
    preds = jax.eval_shape(
        lambda key: network.init_with_output(key, image, train=False)[0],
        jax.random.key(0),
    )
    assert [p.shape for p in preds] == [(1, 16, 24, 3, 8), (1, 4, 6, 3, 8)]


def test_head_bias_expects_eight_objects_an_image():
    # log(8 / (640 / stride)^2) and log(0.6 / 0.00001), beside the random part, whose
    # bound is 1 / sqrt(channels).
    network = Detector(Model(size="n", heads=(3, 4, 5), neck=("gd",)))
    head = fresh(network, jnp.zeros((1, 32, 32, 3)))["params"]["head"]
    for level, obj, channels in ((3, -6.685, 64), (4, -5.298, 128), (5, -3.912, 256)):
        bias = np.asarray(head[f"bias{level}"]).reshape(3, 6)
        bound = 1 / math.sqrt(channels)
        assert (np.abs(bias[:, :4]) <= bound).all()
        assert (np.abs(bias[:, 4] - obj) <= bound + 1e-3).all()
        assert (np.abs(bias[:, 5] - 11.002) <= bound + 1e-3).all()


def test_kernels_are_uniform_within_one_over_the_root_of_their_inputs():
    network = Detector(Model(size="n", neck=("gd",)))
    params = fresh(network, jnp.zeros((1, 32, 32, 3)))["params"]["backbone"]
    for name, inputs in (("p1", 6 * 6 * 3), ("thr_p1", 8 * 8 * 16)):
        block = params[name] if name == "p1" else params[name]["conv1"]
        kernel = np.asarray(block["conv"]["kernel"])
        bound = 1 / math.sqrt(inputs)
        assert np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_the_modules_draw_from_the_same_distributions():
    # `module.init` and the host's draws differ in numbers, not in bounds.
    levels = tuple(jnp.zeros((1, 1, 1, c)) for c in (8, 64, 128, 256))
    head = Head((3, 4, 5), 2)
    drawn = jax.jit(lambda key: head.init(key, levels))(jax.random.key(0))["params"]
    shaped = jax.eval_shape(lambda key: head.init(key, levels), jax.random.key(0))
    host = initial({"params": {"head": shaped["params"]}}, 0)["params"]["head"]
    for level, channels in ((3, 64), (4, 128), (5, 256)):
        bound = 1 / math.sqrt(channels)
        for tree in (drawn, host):
            prior = bias_prior(21, 2**level)
            assert np.abs(tree[f"bias{level}"] - prior).max() <= bound * 1.0001
            kernel = np.asarray(tree[f"p{level}"]["kernel"])
            assert np.abs(kernel).max() <= bound
            assert kernel.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_an_image_that_does_not_divide_by_32_is_refused():
    with pytest.raises(ValueError, match="multiples of 32"):
        Detector(Model()).init(
            jax.random.key(0), jnp.zeros((1, 100, 64, 3)), train=False
        )


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32():
    model = Model(size="n", stem="conv", neck=("pan",), precision="bf16")
    network = Detector(model)
    image = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    variables = used(network, image)
    single = Detector(Model(size="n", stem="conv", neck=("pan",)))
    half = jax.jit(lambda v: network.apply(v, image, train=False))(variables)
    full = jax.jit(lambda v: single.apply(v, image, train=False))(variables)
    assert all(p.dtype == jnp.float32 for p in half)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    for a, b in zip(half, full, strict=True):
        # Eight bits of mantissa through some sixty layers.
        assert 0 < np.linalg.norm(a - b) < 0.05 * np.linalg.norm(b)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize(
    ("model", "path", "kernel", "tap"),
    [
        (Model(size="n", stem="conv"), ("p1", "conv"), 6, 2),
        (
            Model(size="n", thr=Thr(positions=("in",))),
            ("thr_in", "conv1", "conv"),
            *(8, 3),
        ),
    ],
)
def test_the_first_convolution_sees_every_hounsfield_unit(
    precision, model, path, kernel, tap
):
    """A kernel of one tap gives the image back: through the cast, at most 0.5 HU off."""
    hu = np.minimum(np.arange(-1200, -1200 + 56 * 56), 1800).reshape(56, 56)
    image = jnp.float32((hu.repeat(2, 0).repeat(2, 1) + 1200) / 3000)
    image = jnp.pad(image, 8)[None, :, :, None].repeat(3, 3)
    model = dataclasses.replace(model, precision=precision)
    backbone = Backbone(SIZES["n"], model.resolved_thr(), mode=Mode(precision))
    variables = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype),
        jax.eval_shape(
            lambda key: backbone.init(key, image, train=False), jax.random.key(0)
        ),
    )
    of_conv = functools.reduce(lambda tree, name: tree[name], path, variables["params"])
    of_conv["kernel"] = of_conv["kernel"].at[tap, tap, 0, 0].set(1.0)

    @jax.jit
    def seen(variables, image):
        _, state = backbone.apply(
            variables,
            image,
            train=False,
            capture_intermediates=lambda module, _: module.path == path,
            mutable=["intermediates"],
        )
        return jax.tree.leaves(state)[0]

    steps = 1 if kernel == 8 else 2
    back = np.asarray(seen(variables, image)[0, :, :, 0], np.float64) * 3000 - 1200
    back = back[
        8 // steps : -8 // steps : 2 // steps, 8 // steps : -8 // steps : 2 // steps
    ]
    assert np.abs(back - hu).max() <= 0.5
    # A CPU computes tf32 as float32; what a GPU may round, the program says.
    text = seen.lower(variables, image).as_text()
    (conv,) = (x for x in text.splitlines() if "stablehlo.convolution" in x)
    assert "HIGHEST" in conv
    assert "bf16" not in conv
