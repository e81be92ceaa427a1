"""A run is the same however it is cut, and ends in order."""

import copy
import dataclasses
import itertools
import json
import os
import signal
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.tiny import Augment, Optim, Run, config, squares, train
from tqgd_jax import detector
from tqgd_jax.config import Data, Train
from tqgd_jax.data import dataset as data_source
from tqgd_jax.data.batches.resident import fits
from tqgd_jax.evaluation.evaluator import evaluate
from tqgd_jax.inference import detect, make_predict
from tqgd_jax.recalibration import make_recalibrate
from tqgd_jax.training import loop
from tqgd_jax.training import step as step_module
from tqgd_jax.training.loop import Stopped
from tqgd_jax.training.non_finite import NonFinitePolicy
from tqgd_jax.training.records import checkpoint
from tqgd_jax.training.records import log as journal
from tqgd_jax.training.records.checkpoint import Checkpoints
from tqgd_jax.training.runtime.sharding import OutOfMemory

pytestmark = pytest.mark.slow

# Sums gradients over two batches: all of the state is in use. Three steps an epoch.
WAITING = config(optim=Optim(nominal_batch=4, warmup_epochs=0.0, warmup_min_steps=4))


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """One bottleneck a block: the rules are the same, and it compiles quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(detector.SIZES, "n", detector.Size(0.01, 0.25, 64))
        yield


@pytest.fixture(scope="module")
def waiting() -> Run:
    """Two steps of an epoch in one call, then one."""
    cfg = config(optim=WAITING.optim)
    cfg.train.steps_per_call = 2
    return Run(cfg, squares())


@pytest.fixture(scope="module")
def whole(waiting, tmp_path_factory):
    """Seven steps without a break: the state and the log."""
    folder = tmp_path_factory.mktemp("whole")
    return train(waiting, folder, 7), (folder / "metrics.jsonl").read_text()


def same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def rows(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    waiting, whole, tmp_path
):
    # Five steps end in mid-epoch and in mid-accumulation.
    assert waiting.schedule.apply.tolist()[:7] == [1, 1, 0, 1, 0, 1, 0]
    train(waiting, tmp_path, 5)
    resumed = train(waiting, tmp_path, 7)
    same_bits(whole[0], resumed)
    assert int(resumed.step) == 7
    assert int(resumed.updates) == waiting.schedule.apply[:7].sum() < 7
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


def test_stream_trains_the_bits_of_resident_and_resumes_to_them(whole, tmp_path):
    cfg = config(optim=WAITING.optim)
    cfg.data.placement = "stream"
    run = Run(cfg, squares())
    assert run.program.steps == 1  # and two a call of `whole`
    train(run, tmp_path, 5)
    same_bits(whole[0], train(run, tmp_path, 7))
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


def test_nothing_is_compiled_after_the_first_steps(waiting, tmp_path):
    train(waiting, tmp_path, 12)
    found = [row["compilations"] for row in rows(tmp_path, "speed.jsonl")]
    assert len(found) > 2
    assert len(set(found)) == 1


def test_training_changes_everything_that_is_trained(waiting, whole):
    before, after = waiting.create(), whole[0]
    for name in ("params", "batch_stats", "ema"):
        moved = jax.tree.map(
            lambda a, b: float(np.abs(a - b).max()),
            getattr(before, name),
            getattr(after, name),
        )
        still = [p for p, x in jax.tree.leaves_with_path(moved) if x == 0]
        assert still == [], name


def test_sigterm_saves_first_and_the_same_command_goes_on(
    waiting, whole, tmp_path, monkeypatch
):
    inputs = waiting.inputs

    def interrupted(start):
        for i, found in enumerate(inputs(start)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(waiting, "inputs", interrupted)
        with pytest.raises(Stopped, match="SIGTERM: saved step 3") as error:
            train(waiting, tmp_path, 7)
    assert error.value.signum == signal.SIGTERM
    same_bits(whole[0], train(waiting, tmp_path, 7))


def test_a_signal_while_figures_are_read_loses_none(
    waiting, whole, tmp_path, monkeypatch
):
    look = NonFinitePolicy.look

    def interrupted(self, row):
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # schedulers may ask twice
        look(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(NonFinitePolicy, "look", interrupted)
        with pytest.raises(Stopped) as error:
            train(waiting, tmp_path, 7)
    saved = int(str(error.value).split("saved step ")[1].split(";")[0])
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, saved + 1))
    same_bits(whole[0], train(waiting, tmp_path, 7))
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


def test_sigterm_ends_an_evaluation_which_is_done_when_the_run_goes_on(
    waiting, whole, tmp_path, monkeypatch
):
    judged = []

    def figures(ema):
        judged.append(float(jax.tree.leaves(ema)[0].ravel()[0]))
        if len(judged) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the evaluation went on")
        return {"AP50": 0.5, "AP50_95": None, "optimistic": {"threshold": 0.25}}

    monkeypatch.setattr(waiting, "_evaluator", lambda: figures)
    with pytest.raises(Stopped, match="saved step 7"):
        train(waiting, tmp_path, 7)
    same_bits(whole[0], train(waiting, tmp_path, 7))
    assert len(judged) == 2
    assert judged[0] == judged[1]
    assert rows(tmp_path)[-1] == {"step": 7, "val": {"AP50": 0.5}}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.named("best") == 7
    assert checkpoints.restore(waiting.create())[1]["threshold_step"] == 7
    checkpoints.close()
    train(waiting, tmp_path, 7)  # all done: nothing is judged again
    assert len(judged) == 2


def test_a_clock_that_jumps_changes_nothing(waiting, whole, tmp_path, monkeypatch):
    clock = itertools.cycle([2e9, 0.0, 1e9])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    same_bits(whole[0], train(waiting, tmp_path, 7))
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


def test_a_full_disk_ends_the_run_when_it_is_noticed(
    waiting, whole, tmp_path, monkeypatch
):
    train(waiting, tmp_path, 4)

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "flush", full)
        with pytest.raises(OSError, match=r"7 could not be written .*No space left"):
            train(waiting, tmp_path, 7)
    with monkeypatch.context() as patch:
        patch.setattr(journal.JsonLines, "_append", lambda *_: full(None))
        with pytest.raises(OSError, match=r"metrics.jsonl cannot be written"):
            train(waiting, tmp_path, 7)
    same_bits(whole[0], train(waiting, tmp_path, 7))


def test_a_torn_line_of_the_log_is_dropped_on_resume(waiting, tmp_path):
    train(waiting, tmp_path, 3)
    log = tmp_path / "metrics.jsonl"
    torn = log.read_bytes() + b'{"step": 4, "loss": 1.0}\n\xff\n5\n{"step": 5, "lo'
    log.write_bytes(torn)
    train(waiting, tmp_path, 4)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    assert rows(tmp_path)[3]["loss"] != 1.0


def test_a_damaged_checkpoint_falls_back_to_the_one_before(waiting, tmp_path, caplog):
    train(waiting, tmp_path, 2)
    train(waiting, tmp_path, 4)
    newest = tmp_path / "checkpoints" / "4" / "state"
    for file in newest.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (tmp_path / "damaged-4" / "before").mkdir(parents=True)  # it happened once already
    # The run goes on from step 2 and can save again, also the step that was damaged.
    train(waiting, tmp_path, 3)
    train(waiting, tmp_path, 4)
    assert "damaged-4" in caplog.text
    assert (tmp_path / "damaged-4-again" / "state").is_dir()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]


@pytest.fixture(scope="module")
def poisoned() -> Run:
    """A run whose fifth step sees an image of NaN."""
    true = step_module.augment

    def augment(key, batch, **how):
        image, targets, counts = true(key, batch, **how)
        bad = jax.random.key_data(jax.random.fold_in(jax.random.key(0), 4))
        hit = jnp.all(jax.random.key_data(key) == bad)
        return jnp.where(hit, jnp.nan, image), targets, counts

    run = Run(config(), squares())
    step_module.augment = augment
    try:  # while it is traced
        state = run.program.place(run.create())
        first = run.schedule.at(slice(0, 1))
        run.program(state, [next(run.inputs(0))], first)
    finally:
        step_module.augment = true
    return run


def with_policy(run: Run, policy: str, limit: int = 10) -> Run:
    run._config.train = dataclasses.replace(
        run._config.train,
        non_finite=policy,
        non_finite_limit=limit,
        checkpoint_steps=3,
        log_every=1,
    )
    return run


def test_a_step_that_is_not_finite_stops_the_run_and_is_not_saved(poisoned, tmp_path):
    with pytest.raises(FloatingPointError, match="step 5: not finite") as error:
        train(with_policy(poisoned, "stop"), tmp_path, 7)
    for image in poisoned.indices(4).flat:
        assert f"image{image}" in str(error.value)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert int(checkpoints.restore(poisoned.create())[0].step) == 3
    checkpoints.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]


def test_skip_leaves_the_step_out_and_says_so(poisoned, tmp_path, caplog):
    run = with_policy(poisoned, "skip")
    before = train(run, tmp_path / "four", 4)
    after = train(run, tmp_path / "five", 5)
    for name in ("params", "batch_stats", "opt_state", "ema", "updates"):
        same_bits(getattr(before, name), getattr(after, name))
    assert int(after.step) == 5
    assert rows(tmp_path / "five")[4]["loss"] is None
    assert [row["skipped"] for row in rows(tmp_path / "five")] == [0, 0, 0, 0, 1]
    assert "step 5: not finite" in caplog.text
    assert "left out (train.non_finite=skip): 5" in caplog.text
    with pytest.raises(FloatingPointError, match="0 iterations were left out already"):
        train(with_policy(poisoned, "skip", limit=0), tmp_path / "none", 5)


def test_out_of_memory_names_the_settings_and_changes_none(
    waiting, whole, tmp_path, monkeypatch
):
    reason = "RESOURCE_EXHAUSTED: Out of memory\nby 7 GiB"

    def at_once(*_):
        raise jax.errors.JaxRuntimeError(reason)

    before = copy.deepcopy(waiting._config)
    train(waiting, tmp_path, 4)
    # An accelerator may refuse only when its results are asked for.
    when_read = types.SimpleNamespace(asarray=at_once)
    for target, name, refusing in (
        (waiting.program, "_compiled", at_once),
        (loop, "np", when_read),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, refusing)
            with pytest.raises(OutOfMemory) as error:
                train(waiting, tmp_path, 7)
        for way in ("batch_size (2 now", "image_size (64 now", "precision=bf16 (fp32"):
            assert way in str(error.value)
        assert "placement=stream" in str(error.value)
        assert str(error.value).endswith("RESOURCE_EXHAUSTED: Out of memory")
    assert waiting._config == before
    same_bits(whole[0], train(waiting, tmp_path, 7))
    reason = "INTERNAL: something else"
    with monkeypatch.context() as patch:
        patch.setattr(waiting.program, "_compiled", at_once)
        with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
            train(waiting, tmp_path / "other", 7)


def test_a_set_beyond_the_budget_streams_and_says_so(caplog):
    # 300 images of 64 x 64 bytes are 1.2 MiB.
    source = dataclasses.replace(squares(), names=[str(i) for i in range(300)])
    assert fits(source, config(data=Data(resident_mib=2)))
    assert not fits(source, config(data=Data(resident_mib=1)))
    assert "300 images as 64x64x1 need 1 MiB, the budget is 1 MiB" in caplog.text
    assert not fits(source, config(data=Data(placement="stream")))


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
    state = train(run, tmp_path, 200)
    predict = make_predict(run.detector, cfg, run.anchors)
    images = detect(predict, state.ema, data_source.in_order(source, 8), source.names)
    figures = evaluate(images, ["square"])
    assert figures["boxes"] == sum(map(len, source.boxes))
    assert figures["AP50"] > 0.95


@pytest.mark.parametrize(
    ("anchors", "lost"), [("coco", True), ("auto", False), ("60,60 61,61 62,62", True)]
)
def test_boxes_that_can_never_be_learnt_are_told(anchors, lost, caplog):
    cfg = config()
    cfg.model.anchors, cfg.model.heads = anchors, (5,)  # COCO's P5 is 116 px and more
    with caplog.at_level("INFO", "tqgd_jax"):
        run = Run(cfg, squares(12))
    origin = {"coco": "coco", "auto": "kmeans"}.get(anchors, "given")
    assert run.facts()["anchors_origin"] == origin
    assert f"anchors: {origin}" in caplog.text
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    boxes = sum(len(b) for b in squares(12).boxes)
    expected = f"of {boxes} training boxes match no anchor ({origin}) at 64 px"
    assert any(expected in text for text in told) == lost


def test_evaluations_take_batch_statistics_anew_where_asked():
    cfg = config(optim=WAITING.optim)
    cfg.eval.recalibrate = 2
    run = Run(cfg, squares(), squares(4, seed=1))
    ema = run.create().ema
    found = run._evaluator()(ema)
    detector = run.detector
    predict = make_predict(detector, cfg, run.anchors)
    val = squares(4, seed=1)

    def figures(variables):
        batches = data_source.in_order(val, cfg.eval.batch_size)
        return evaluate(detect(predict, variables, batches, val.names), ["square"])

    assert found == figures(make_recalibrate(detector, cfg, squares(), 2)(ema))
    assert found != figures(ema)


def test_a_network_that_cannot_be_built_is_refused_before_a_folder_is_made():
    cfg = config()
    cfg.model.neck, cfg.model.gd.levels = ("gd",), (2, 3, 4, 5)
    with pytest.raises(ValueError, match="no later stage reads P2"):
        Run(cfg, squares())
