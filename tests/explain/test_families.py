"""Maps of the competitors: the score is theirs, the way to the map is the same."""

import dataclasses
import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from tests.explain.test_command import run
from tests.explain.tiny import spot
from tests.training.tiny import config
from tqgd_jax.baselines.explained import lesion_pixels
from tqgd_jax.baselines.zhao.network import Proposal
from tqgd_jax.commands import explain
from tqgd_jax.config import Augment, Baseline, Foellmer, Zair, Zhao
from tqgd_jax.explain import Explainer, figure, modules
from tqgd_jax.network import build
from tqgd_jax.predictor import Boxes, Predictor
from tqgd_jax.trained import load

SMALL = Zhao(depth=18, channels=8, hidden=8, adaption="conv")
NETWORKS = {
    "zhao": Baseline("zhao", width=0.125, zhao=SMALL),
    "unet": Baseline("zair", width=0.125, zair=Zair("unet")),
    "vgg16_fcn": Baseline("zair", width=0.125, zair=Zair("vgg16_fcn")),
    "segnet": Baseline("zair", width=0.125),
    "foellmer": Baseline("foellmer", width=0.125, foellmer=Foellmer(least_side=1)),
}
PAGE = ("zhao", "vgg16_fcn")
BOX = np.array([20.0, 28, 28, 36], np.float32)  # of the bright square, and a px around


@cache
def predictor(name):
    """First weights; FCN-8s with a bias that puts pixels on both sides of p = .5."""
    settings = config(baseline=NETWORKS[name], augment=Augment(value=0.0))
    few = dataclasses.replace(settings.eval, max_detections=20)
    settings = dataclasses.replace(settings, eval=few)
    anchors, start = np.zeros((1, 3, 2), np.float32), {"run": name, "step": 1}
    empty = Predictor(settings, ("calcium",), anchors, {}, 0.0, False, start)
    variables = jax.tree.map(jnp.asarray, empty.network.init(0))
    if name == "vgg16_fcn":
        variables["params"]["score8"]["bias"] += 0.45
    return dataclasses.replace(empty, variables=variables)


@cache
def explainer(name, *asked):
    return Explainer(predictor(name), asked)


def pixels():
    image = np.repeat(spot()[None, :, :, None], 3, axis=-1)
    return jnp.asarray(image, jnp.float32) / 255


@pytest.mark.parametrize(
    ("name", "read", "side", "parts"),
    [
        (
            "zhao",
            {
                2: "neck/layer_0",
                3: "neck/layer_1",
                4: "neck/layer_2",
                5: "neck/layer_3",
            },
            64,
            ["roi", "rpn", "neck", "backbone"],
        ),
        ("unet", {0: "up0_2"}, 64, ["logits", "up", "down"]),
        ("segnet", {0: "deconv1_1"}, 64, ["logits", "deconv", "encoder"]),
        ("vgg16_fcn", {2: "encoder/conv3_3"}, 64, ["score", "encoder"]),
        # 64 px do not divide by 256, so it is padded
        ("foellmer", {0: "lesion8"}, 256, ["lesion_head", "lesion", "down", "stem"]),
    ],
)
def test_what_a_head_reads_and_what_lies_before_it(name, read, side, parts):
    places = explainer(name).places
    assert (places.read, places.side, [*places.parts]) == (read, side, parts)
    for level, module in read.items():
        assert places.shapes[module][0] == side // 2**level
    assert places.part_of(f"{parts[-1]}1" if name == "foellmer" else read[min(read)])


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("zhao", "neck/layer_0"),
        ("vgg16_fcn", "encoder/conv3_3"),
        ("foellmer", "lesion8"),
    ],
)
def test_the_gradient_is_that_of_a_central_difference(name, module):
    of, image = explainer(name, "head"), pixels()
    network, variables = of.predictor.network, of.predictor.variables
    subject = of.programs.subject(variables, image, jnp.asarray(BOX), jnp.int32(0))
    read = of.programs.read(variables, image, subject)
    # The steepest way where it is smooth: zeros of ReLU are ties for the next maximum.
    way = np.where(read.maps[module] > 0, read.gradients[module], 0).astype(float)
    way /= np.linalg.norm(way)

    @jax.jit
    def score(variables, delta):
        raw = modules.watch(network.module, variables, image, {module: delta}).raw
        return network.evidence(variables, raw, subject)[0]

    step = 1e-2
    low, none, high = (
        float(score(variables, jnp.asarray(sign * step * way, jnp.float32)[None]))
        for sign in (-1, 0, 1)
    )
    got = float((np.asarray(read.gradients[module]) * way).sum())
    assert got == pytest.approx((high - low) / (2 * step), rel=0.03)
    assert float(read.score) == pytest.approx(none, rel=1e-3, abs=1e-5)


def test_the_module_nearest_to_the_score_is_explained():
    """The score is a weighted sum of its map, so the gradient is those weights."""
    of, image = explainer("unet", "logits"), pixels()
    variables = of.predictor.variables
    subject = of.programs.subject(variables, image, jnp.asarray(BOX), jnp.int32(0))
    read = of.programs.read(variables, image, subject)
    gradient, maps = read.gradients["logits"], read.maps["logits"]
    np.testing.assert_allclose(gradient[..., 0], subject, rtol=1e-6)
    score = (np.asarray(maps)[..., 0] * np.asarray(subject)).sum()
    assert float(read.score) == pytest.approx(score, rel=1e-5)


def test_weights_of_losses_are_no_part_of_a_network():
    both = Baseline("foellmer", foellmer=Foellmer("both", least_side=1))
    both = dataclasses.replace(both, width=0.125)
    of = build(config(baseline=both, augment=Augment(value=0.0)), 3)
    variables = of.init(0)
    assert "uncertainty" in variables["params"]
    parts = modules.places(of, variables, 64, 3).parts
    assert [*parts][-1] == "stem"
    assert "uncertainty" not in parts


def test_watching_changes_no_output():
    of = predictor("vgg16_fcn")

    @jax.jit
    def both(variables, image):
        plain = of.network.module.apply(variables, image, train=False)
        return plain, modules.watch(of.network.module, variables, image).raw

    np.testing.assert_array_equal(*both(of.variables, pixels()))


def test_the_pixels_of_a_box_are_the_likely_ones_that_it_touches():
    p = np.array([[0.9, 0.6, 0.4], [0.01, 0.2, 0.7], [0.02, 0.03, 0.99]])
    logit = jnp.asarray(np.log(p / (1 - p)), jnp.float32)

    def pixels_of(*box):
        return np.asarray(lesion_pixels(logit, jnp.asarray(box, jnp.float32)))

    three = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 1]]) / 4
    np.testing.assert_allclose(pixels_of(0, 0, 3, 3), three)
    np.testing.assert_array_equal(pixels_of(0.4, 1.0001, 1.9, 2)[1], [0, 1, 0])  # .2
    np.testing.assert_allclose(pixels_of(0, 2, 2, 3)[2], [0.5, 0.5, 0])  # all alike


def test_evidence_of_a_segmentation_is_the_mean_of_log_odds():
    network = predictor("vgg16_fcn").network
    raw = jnp.asarray([[2.0, -1], [0, 1]])[None, :, :, None]
    subject = network.subject({}, raw, jnp.array([0.0, 0, 2, 2]), jnp.int32(0))
    # 2, 0 and 1 have p >= .5
    assert float(network.evidence({}, raw, subject)[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("box", "level"),
    [((0, 0, 111, 111), 2), ((0, 0, 112, 112), 3), ((0, 0, 224, 224), 4)],
)
def test_a_box_is_read_where_roi_align_reads_it(box, level):
    network = predictor("zhao").network
    subject = Proposal(jnp.array(box, jnp.float32), jnp.int32(0))
    assert network.level(subject) == level


@pytest.mark.parametrize("name", ["zhao", "vgg16_fcn"])
def test_a_box_is_explained_from_end_to_end(name):
    of = explainer(name, "head")
    image = spot()[4:60]  # letterboxed
    every = of.candidates(image, 0.0)
    alike = of.predictor(image, 0.0)
    np.testing.assert_array_equal(every.boxes, alike.boxes)
    assert len(alike.scores) > 0
    back = every.network_boxes - np.array([0, 4, 0, 4])
    np.testing.assert_allclose(back, alike.boxes, atol=1e-4)
    best = of.candidates(image, 1.0)
    assert best.raw_best
    assert best.scores.tolist() == alike.scores[:1].tolist()
    seen = of.explain(best)["head"]
    assert seen.modules[0] in of.places.read.values()
    assert seen.map.shape == (56, 64)


def test_the_command_explains_competitors_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        explain, "_explainers", lambda *_: {n: explainer(n, "head") for n in PAGE}
    )
    run(tmp_path, module="list")
    lines = capsys.readouterr().out.splitlines()
    read = [line.split()[:4] for line in lines if "read by the head" in line]
    assert read[-1] == ["encoder/conv3_3", "16", "16", "32"]
    Image.fromarray(spot()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    run(tmp_path, input=str(tmp_path / "a.png"), out=str(out), checks=True)
    (row,) = json.loads((out / "explain.json").read_text())["rows"]
    for name, entry in zip(PAGE, row["columns"], strict=True):
        assert entry["model"] == name
        assert [*entry["checks"]["random_by_part"]] == [*explainer(name).places.parts]
        assert 0 < entry["checks"]["deletion"] < 1
        assert len(entry["checks"]["shift_cells"]) == 2
    assert "no evidence" in (out / "explain.html").read_text()


def test_a_file_of_weights_needs_no_file_that_training_began_with(tmp_path):
    of = predictor("vgg16_fcn")
    gone = dataclasses.replace(of.config.baseline, weights="gone.safetensors")
    of = dataclasses.replace(of, config=dataclasses.replace(of.config, baseline=gone))
    with pytest.raises(ValueError, match=r"gone\.safetensors cannot be read"):
        of.network.init(0, pretrained=True)
    of.save(tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors").config.baseline.weights == gone.weights


def test_an_image_without_a_box_has_an_empty_map(monkeypatch):
    of = explainer("unet", "head")
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int)
    none = Boxes(*none)
    monkeypatch.setattr(Predictor, "__call__", lambda *_: none)
    empty = of.candidates(spot())
    assert (len(empty.number), empty.raw_best) == (0, False)
    seen = of.explain(empty)["head"]
    assert seen.flat
    assert seen.boxes.shape == (0, 4)
    assert figure._cell(seen).note == figure.EMPTY
    assert figure._boxes("2", {"a": empty}, "a") == [()]
