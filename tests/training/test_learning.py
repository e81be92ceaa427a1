"""A network learns eight images by heart; its evaluations use the statistics asked for."""

import pytest

from tests.training.tiny import Run, config, squares
from tqgd_jax.config import Augment, Optim, Train
from tqgd_jax.data import dataset
from tqgd_jax.evaluation.evaluator import evaluate
from tqgd_jax.inference import detect, make_predict
from tqgd_jax.recalibration import make_recalibrate
from tqgd_jax.training.train import validation

pytestmark = pytest.mark.slow


def test_overfitting_eight_images_finds_all_boxes(tmp_path):
    calm = Augment(mosaic=0.0, scale=0.0, translate=0.0, flip=0.0, value=0.0)
    source = squares(8)
    cfg = config(
        augment=calm,
        optim=Optim(warmup_min_steps=20),
        train=Train(epochs=200, devices=1, tensorboard=False, checkpoint_every=100),
    )
    cfg.data.batch_size = 8
    run = Run(cfg, source)
    state = run.train(tmp_path, 200)
    predict = make_predict(cfg, 1, run.plan.anchors)
    images = detect(predict, state.ema, dataset.in_order(source, 8), source.names)
    figures = evaluate(images, ["square"])
    assert figures["boxes"] == sum(map(len, source.boxes))
    assert figures["AP50"] > 0.95


def test_evaluations_take_batch_statistics_anew_where_asked():
    cfg = config(optim=Optim(nominal_batch=4, warmup_epochs=0.0, warmup_min_steps=4))
    cfg.eval.recalibrate = 2
    run = Run(cfg, squares(), squares(4, seed=1))
    ema = run.first().ema
    found = validation(cfg, squares(), squares(4, seed=1), run.plan)(ema)
    predict = make_predict(cfg, 1, run.plan.anchors)
    val = squares(4, seed=1)

    def figures(variables):
        batches = dataset.in_order(val, cfg.eval.batch_size)
        return evaluate(detect(predict, variables, batches, val.names), ["square"])

    assert found == figures(make_recalibrate(cfg, squares(), 2)(ema))
    assert found != figures(ema)
