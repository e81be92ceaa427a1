"""A run is the same however it is cut, and ends in order."""

import json
import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.tiny import Augment, Optim, Run, anchors, config, squares
from tqgd_jax.config import Train
from tqgd_jax.data import source as data_source
from tqgd_jax.inference import detect, make_predict
from tqgd_jax.metrics.evaluate import evaluate
from tqgd_jax.training.loop import Stopped
from tqgd_jax.training.parallel import Program


@pytest.fixture(scope="module")
def waiting() -> Run:
    """A run that sums gradients over two batches: all of the state is in use."""
    cfg = config(optim=Optim(nominal_batch=4, warmup_epochs=0.0, warmup_min_steps=4))
    return Run(cfg, squares())


def same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(waiting, tmp_path):
    # Three steps an epoch; five steps end in mid-epoch and in mid-accumulation.
    assert waiting.schedule.apply.tolist()[:7] == [1, 1, 0, 1, 0, 1, 0]
    whole = waiting.train(tmp_path / "whole", 7)
    waiting.train(tmp_path / "cut", 5)
    resumed = waiting.train(tmp_path / "cut", 7)
    same_bits(whole, resumed)
    assert int(whole.step) == 7
    assert int(whole.updates) == waiting.schedule.apply[:7].sum() < 7
    logs = [
        (tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut")
    ]
    assert logs[0] == logs[1]


def test_training_changes_everything_that_is_trained(waiting, tmp_path):
    before = waiting.create()
    after = waiting.train(tmp_path, 3)
    for name in ("params", "batch_stats", "ema"):
        moved = jax.tree.map(
            lambda a, b: float(np.abs(a - b).max()),
            getattr(before, name),
            getattr(after, name),
        )
        still = [p for p, x in jax.tree.leaves_with_path(moved) if x == 0]
        assert still == [], name


def test_sigterm_saves_first_and_the_same_command_goes_on(waiting, tmp_path):
    def inputs():
        for i in range(7):
            if i == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield (waiting.rows(i),)

    with pytest.raises(Stopped, match="SIGTERM: saved step 3") as error:
        waiting.train(tmp_path / "cut", 7, inputs())
    assert error.value.signum == signal.SIGTERM
    resumed = waiting.train(tmp_path / "cut", 7)
    same_bits(waiting.train(tmp_path / "whole", 7), resumed)


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(waiting, tmp_path):
    waiting.train(tmp_path, 3)
    create = waiting.create

    def inputs():
        yield from ((waiting.rows(i),) for i in range(3, 7))

    step = waiting.program.step

    def poisoned(state, *args):
        state, metrics = step(state, *args)
        bad = state.step == 5
        return state, metrics | {"loss": jnp.where(bad, jnp.nan, metrics["loss"])}

    waiting.program.step = poisoned
    try:
        with pytest.raises(FloatingPointError, match="step 5: not finite") as error:
            waiting.train(tmp_path, 7, inputs())
    finally:
        waiting.program.step = step
    for row in waiting.rows(4).flat:
        assert waiting.source.names[row] in str(error.value)
    from tqgd_jax.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.latest() == 3
    assert int(checkpoints.restore(create())[0].step) == 3
    checkpoints.close()


def test_a_torn_line_of_the_log_is_dropped_on_resume(waiting, tmp_path):
    waiting.train(tmp_path, 3)
    log = tmp_path / "metrics.jsonl"
    log.write_text(log.read_text() + '{"step": 4, "loss": 1.0}\n{"step": 5, "lo')
    waiting.train(tmp_path, 4)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[3]["loss"] != 1.0


def test_a_damaged_checkpoint_falls_back_to_the_one_before(waiting, tmp_path, caplog):
    waiting.train(tmp_path, 2)
    waiting.train(tmp_path, 4)
    newest = tmp_path / "checkpoints" / "4" / "state"
    for file in newest.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (tmp_path / "damaged-4" / "before").mkdir(parents=True)  # it happened once already
    # The run goes on from step 2 and can save again, also the step that was damaged.
    waiting.train(tmp_path, 3)
    waiting.train(tmp_path, 4)
    assert "checkpoints/4 cannot be read" in caplog.text
    assert (tmp_path / "damaged-4-again" / "state").is_dir()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]


def losses(folder, devices, parallel="jit"):
    """Four steps of the same run, spread in some way."""
    train = Train(epochs=4, devices=devices, parallel=parallel, tensorboard=False)
    # Without the high first rate of biases, which makes any rounding grow fast.
    cfg = config(train=train, optim=Optim(warmup_bias_lr=0.0))
    cfg.data.batch_size = 4
    Run(cfg, squares(8)).train(folder, 4)
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(row)["loss"] for row in rows]


def test_two_devices_give_the_losses_of_one(tmp_path):
    chex.assert_devices_available(2, "cpu")
    one = losses(tmp_path / "one", 1)
    assert len(one) == 4
    for parallel in ("jit", "pmap"):
        two = losses(tmp_path / parallel, 2, parallel)
        # Batch norm over the four pixels of P5 sums in another order on two devices.
        np.testing.assert_allclose(one, two, rtol=5e-5, err_msg=parallel)


def test_more_devices_than_there_are_or_than_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="JAX sees 2"):
        Program(config(train=Train(devices=3)), lambda *_: _)
    cfg = config(train=Train(devices=2))
    cfg.data.batch_size = 3
    with pytest.raises(ValueError, match="does not divide by 2"):
        Program(cfg, lambda *_: _)


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
    predict = make_predict(run.detector, cfg, jnp.asarray(anchors(cfg)))
    images = detect(predict, state.ema, data_source.in_order(source, 8), source.names)
    figures = evaluate(images, 1, None)
    assert figures["boxes"] == sum(map(len, source.boxes))
    assert figures["AP50"] > 0.95
