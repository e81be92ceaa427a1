"""Schedules and the optimiser, against golden values of YOLOv5 v7.0 and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.config import Optim
from tqgd_jax.training.optim import Hyper, accumulation, ema_decay, optimiser, plan

ORCASCORE = {"batch_size": 4, "epochs": 200, "steps_per_epoch": 33}


def test_warm_up_of_rates_and_momentum():
    found = plan(Optim(nominal_batch=64), **ORCASCORE)
    assert found.lr[50] == pytest.approx(0.004975, abs=5e-7)
    assert found.lr_bias[50] == pytest.approx(0.054975, abs=5e-7)
    assert found.momentum[50] == pytest.approx(0.8685)
    assert found.lr[100] == found.lr_bias[100] == pytest.approx(0.0098515)
    assert found.momentum[100] == pytest.approx(0.937)
    assert found.lr[0] == 0
    assert found.lr_bias[0] == pytest.approx(0.1)
    assert found.momentum[0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("schedule", "last"), [("linear", 1.495e-4), ("cosine", 1.006e-4)]
)
def test_learning_rate_of_the_last_epoch(schedule, last):
    found = plan(Optim(schedule=schedule), **ORCASCORE)
    assert found.lr[-1] == pytest.approx(last, rel=1e-3)
    assert found.lr[-33] == found.lr[-1]  # constant inside an epoch


def test_learning_rate_that_drops_after_epochs_133_and_183():
    lr = plan(Optim(lr=0.005, schedule="steps", warmup_min_steps=0), **ORCASCORE).lr
    by_epoch = lr[::33]
    for epoch, rate in ((132, 5e-3), (133, 5e-4), (182, 5e-4), (183, 5e-5)):
        assert by_epoch[epoch] == pytest.approx(rate)


def test_step_warm_up_keeps_the_first_momentum_for_three_epochs():
    found = plan(Optim(warmup="step"), **ORCASCORE)
    assert set(found.momentum[:101]) == {np.float32(0.8)}
    assert set(found.momentum[101:]) == {np.float32(0.937)}


def test_without_warm_up_the_first_step_is_a_full_one():
    found = plan(Optim(warmup_epochs=0.0, warmup_min_steps=0), **ORCASCORE)
    assert found.lr[0] == found.lr_bias[0] == pytest.approx(0.01)
    assert found.momentum[0] == pytest.approx(0.937)


@pytest.mark.parametrize(
    ("steps_per_epoch", "nominal", "steps"),
    [(33, 64, 425), (33, 4, 6600), (52, 64, 669), (52, 4, 10400)],
)
def test_optimiser_steps_of_a_run(steps_per_epoch, nominal, steps):
    found = plan(
        Optim(nominal_batch=nominal),
        batch_size=4,
        epochs=200,
        steps_per_epoch=steps_per_epoch,
    )
    assert found.apply.sum() == steps


def test_sums_are_dropped_where_an_epoch_begins():
    found = plan(Optim(nominal_batch=64), batch_size=4, epochs=3, steps_per_epoch=5)
    assert np.flatnonzero(found.reset).tolist() == [0, 5, 10]


def hyper(lr=0.1, lr_bias=0.2, momentum=0.5):
    return Hyper(
        *map(jnp.float32, (lr, lr_bias, momentum)),
        *map(jnp.asarray, (True, False)),
    )


def test_sgd_by_hand():
    cfg = Optim(weight_decay=0.1, clip_norm=1e9)
    params = {"kernel": jnp.float32(2), "bias": jnp.float32(2), "scale": jnp.float32(2)}
    grads = jax.tree.map(lambda _: jnp.float32(1), params)
    tx = optimiser(cfg, 4, hyper())
    state = tx.init(params)
    first, state = tx.update(grads, state, params)
    # Kernel: g = 1 + 0.1 * 2, v = g, step = g + 0.5 v = 1.8; others: g = 1, step 1.5.
    assert first["kernel"] == pytest.approx(-0.1 * 1.8)
    assert first["bias"] == pytest.approx(-0.2 * 1.5)
    assert first["scale"] == pytest.approx(-0.1 * 1.5)
    second, _ = tx.update(grads, state, params)
    # v = 0.5 * 1.2 + 1.2 = 1.8, step = 1.2 + 0.5 * 1.8 = 2.1
    assert second["kernel"] == pytest.approx(-0.1 * 2.1)


def test_sgd_without_nesterov_and_decay_of_all_but_the_weights_of_losses():
    cfg = Optim(weight_decay=0.1, clip_norm=1e9, decay="all", nesterov=False)
    params = {
        name: jnp.float32(2) for name in ("kernel", "bias", "scale", "uncertainty")
    }
    tx = optimiser(cfg, 4, hyper(lr_bias=0.1))
    state = tx.init(params)
    grads = jax.tree.map(lambda _: jnp.float32(1), params)
    _, state = tx.update(grads, state, params)
    second, _ = tx.update(grads, state, params)
    # g = 1 + 0.1 * 2, v = 0.5 * 1.2 + 1.2
    for name in ("kernel", "bias", "scale"):
        assert second[name] == pytest.approx(-0.1 * 1.8)
    assert second["uncertainty"] == pytest.approx(-0.1 * 1.5)


@jax.numpy_dtype_promotion("standard")  # optax multiplies its counter with floats
def test_adam_by_hand_with_the_decay_before_it():
    cfg = Optim(
        method="adam", momentum=0.5, beta2=0.75, weight_decay=0.5, clip_norm=1e9
    )
    params = {"kernel": jnp.float32(2), "bias": jnp.float32(2)}
    tx = optimiser(cfg, 4, hyper(lr_bias=0.1))
    state = tx.init(params)

    def both(gradient):
        return dict.fromkeys(params, jnp.float32(gradient))

    first, state = tx.update(both(3), state, params)
    # m / (1 - .5) = g and v / (1 - .75) = g^2: the sign of the gradient.
    assert first["kernel"] == pytest.approx(-0.1)
    second, _ = tx.update(both(0), state, params)
    # Bias: g = 3, 0: m = .75, v = 1.6875; m / .75 = 1, v / .4375 = 3.857143.
    assert second["bias"] == pytest.approx(-0.1 / np.sqrt(3.857143))
    # Kernel: g = 4, 1: m = 1.5, v = 3.25; m / .75 = 2, v / .4375 = 7.428571.
    assert second["kernel"] == pytest.approx(-0.1 * 2 / np.sqrt(7.428571))


def test_the_clip_acts_on_the_raw_gradient_of_all_parameters():
    params = {"a": {"kernel": jnp.zeros(1)}, "b": {"bias": jnp.zeros(1)}}
    grads = {"a": {"kernel": jnp.full(1, 30.0)}, "b": {"bias": jnp.full(1, 40.0)}}
    tx = optimiser(Optim(clip_norm=10.0), 4, hyper(1.0, 1.0, 0.0))
    updates, _ = tx.update(grads, tx.init(params), params)
    # Norm 50 becomes 10.
    np.testing.assert_allclose(updates["a"]["kernel"], [-6.0], rtol=1e-6)
    np.testing.assert_allclose(updates["b"]["bias"], [-8.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("nominal", "batch", "wait", "decay"),
    [(64, 4, 16, 5e-4), (0, 4, 1, 5e-4), (64, 24, 3, 5e-4 * 72 / 64)],
)
def test_decay_is_scaled_to_the_images_of_a_step(nominal, batch, wait, decay):
    cfg = Optim(nominal_batch=nominal, clip_norm=1e9)
    assert accumulation(cfg, batch) == wait
    params = {"kernel": jnp.full(1, 1.0)}
    tx = optimiser(cfg, batch, hyper(1.0, 1.0, 0.0))
    updates, _ = tx.update({"kernel": jnp.zeros(1)}, tx.init(params), params)
    np.testing.assert_allclose(updates["kernel"], [-decay], rtol=1e-6)


@pytest.mark.parametrize(
    ("k", "decay"), [(1, 0.0005), (100, 0.0488), (1000, 0.3934), (10000, 0.9932)]
)
def test_decay_of_the_moving_average(k, decay):
    assert ema_decay(Optim(), jnp.int32(k)) == pytest.approx(decay, abs=6e-5)
