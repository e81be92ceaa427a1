"""Networks of other families on the way that detectors go: train, load, detect."""

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.training.tiny import Run, config, rows, squares
from tqgd_jax.config import Augment, Baseline, Data, Foellmer, Optim, Train
from tqgd_jax.network import Network, build, families
from tqgd_jax.trained import load

ROOT = Path(__file__).parents[2]
SMALL = {
    "foellmer": Baseline(
        "foellmer", width=0.125, foellmer=Foellmer(dropout=0.25, least_side=1)
    ),
}


def settings(name):
    return config(
        baseline=SMALL[name],
        augment=Augment(value=0.0),
        data=Data(image_size=32, batch_size=2),
        optim=Optim(warmup_epochs=0.0, warmup_min_steps=0),
        train=Train(epochs=1, devices=1, tensorboard=False, eval_every=0),
    )


def test_folders_are_the_families():
    assert families() == ("foellmer", "zair", "zhao")
    for name in families():
        still = config(baseline=Baseline(name), augment=Augment(value=0.0))
        assert isinstance(build(still, 1), Network)


def test_a_family_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"baseline\.family.*did you mean 'zair'"):
        build(config(baseline=Baseline("zaire")), 1)


@pytest.mark.parametrize(
    "settings_of_another",
    [{"width": 0.5}, {"weights": "x"}, {"foellmer": Foellmer(tasks="both")}],
)
def test_a_setting_that_nothing_reads_is_refused(settings_of_another):
    with pytest.raises(ValueError, match=r"baseline\..*does nothing"):
        Baseline(**settings_of_another)


@pytest.mark.parametrize("name", SMALL)
def test_a_segmentation_trains_loads_and_answers_in_native_pixels(name, tmp_path):
    images = squares(n=4)
    run = Run(settings(name), images, val=squares(n=2, seed=1))
    run.train(tmp_path / "run", stop=2)
    logged = rows(tmp_path / "run")
    assert [row["step"] for row in logged] == [1, 2, 2]
    assert np.isfinite([row["loss"] for row in logged[:2]]).all()
    predictor = load(tmp_path / "run")
    low, high = predictor.detect_at(images, (0.05, 0.5))
    for loose, strict in zip(low, high, strict=True):
        assert len(loose.boxes) == len(strict.boxes)
        for boxes in (loose.det_boxes, strict.det_boxes):
            assert ((boxes >= 0) & (boxes <= 64)).all()
        assert (strict.det_scores >= 0.5).all()
    predictor.save(tmp_path / "weights.safetensors")
    again = load(tmp_path / "weights.safetensors").detect(images)
    for one, other in zip(low, again, strict=True):
        np.testing.assert_array_equal(one.det_boxes, other.det_boxes)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("zhao", 41_936_350),
        ("foellmer", 1_931_698),
        ("segnet", 29_444_162),
        ("unet", 31_042_369),
        ("vgg16_fcn", 14_715_971),
    ],
)
def test_a_configuration_is_the_published_network(name, parameters, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "configs"))
    cfg = importlib.import_module(name).get_config()
    params = build(cfg, 1).init(0)["params"]
    assert sum(x.size for x in jax.tree.leaves(params)) == parameters
