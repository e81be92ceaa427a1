"""A run is the same however it is cut, and ends in order."""

import copy
import itertools
import os
import signal
import time
import types

import jax
import numpy as np
import pytest

from tests.training.tiny import (
    Run,
    config,
    rows,
    same_bits,
    squares,
)
from tests.xla import JAXLIB
from tqgd_jax.config import Optim
from tqgd_jax.training import train as story
from tqgd_jax.training.inputs import Inputs
from tqgd_jax.training.non_finite import NonFinitePolicy
from tqgd_jax.training.records import checkpoint, log, run_records
from tqgd_jax.training.records.checkpoint import Checkpoints
from tqgd_jax.training.runtime import signals
from tqgd_jax.training.runtime.sharding import OutOfMemory
from tqgd_jax.training.runtime.signals import Stopped

pytestmark = pytest.mark.slow

# Sums gradients over two batches: all of the state is in use. Three steps an epoch.
WAITING = config(optim=Optim(nominal_batch=4, warmup_epochs=0.0, warmup_min_steps=4))


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
    return waiting.train(folder, 7), (folder / "metrics.jsonl").read_text()


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    waiting, whole, tmp_path
):
    # Five steps end in mid-epoch and in mid-accumulation.
    apply = waiting.plan.schedule.apply[:7]
    assert apply.tolist() == [1, 1, 0, 1, 0, 1, 0]
    waiting.train(tmp_path, 5)
    resumed = waiting.train(tmp_path, 7)
    same_bits(whole[0], resumed)
    assert int(resumed.step) == 7
    assert int(resumed.updates) == apply.sum() < 7
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


@pytest.mark.skipif(
    JAXLIB >= (0, 12) and "optimization_level=0" in os.environ["XLA_FLAGS"],
    reason="compiled quickly, jaxlib 0.12 rounds the two programs differently; "
    "`XLA_FLAGS= pytest` runs it",
)
def test_stream_trains_the_bits_of_resident_and_resumes_to_them(whole, tmp_path):
    cfg = config(optim=WAITING.optim)
    cfg.data.placement = "stream"
    run = Run(cfg, squares())
    run.train(tmp_path, 5)
    assert run.steps.at_most == 1  # and two a call of `whole`
    same_bits(whole[0], run.train(tmp_path, 7))
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


def test_nothing_is_compiled_after_the_first_steps(waiting, tmp_path):
    waiting.train(tmp_path, 12)
    found = [row["compilations"] for row in rows(tmp_path, "speed.jsonl")]
    assert len(found) > 2
    assert len(set(found)) == 1


def test_training_changes_everything_that_is_trained(waiting, whole):
    before, after = waiting.first(), whole[0]
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
    start = Inputs.start

    def interrupted(self, done):
        for i, batch in enumerate(start(self, done)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Inputs, "start", interrupted)
        with pytest.raises(Stopped, match="SIGTERM: saved step 3") as error:
            waiting.train(tmp_path, 7)
    assert error.value.signum == signal.SIGTERM
    same_bits(whole[0], waiting.train(tmp_path, 7))


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
            waiting.train(tmp_path, 7)
    saved = int(str(error.value).split("saved step ")[1].split(";")[0])
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, saved + 1))
    same_bits(whole[0], waiting.train(tmp_path, 7))
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

    monkeypatch.setattr(story, "validation", lambda *_: figures)
    validated = Run(waiting.config, squares(), squares(4, seed=1))
    validated.steps = waiting.steps
    with pytest.raises(Stopped, match="saved step 7"):
        validated.train(tmp_path, 7)
    same_bits(whole[0], validated.train(tmp_path, 7))
    assert len(judged) == 2
    assert judged[0] == judged[1]
    assert rows(tmp_path)[-1] == {"step": 7, "val": {"AP50": 0.5}}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.named("best") == 7
    assert checkpoints.restore(waiting.first())[1]["threshold_step"] == 7
    checkpoints.close()
    validated.train(tmp_path, 7)  # all done: nothing is judged again
    assert len(judged) == 2


def test_an_evaluation_that_no_checkpoint_has_is_done_again(
    waiting, tmp_path, monkeypatch
):
    """Killed after its line in the log and before the checkpoint that should have it."""
    results = {"AP50": 0.5, "AP50_95": None, "optimistic": {"threshold": 0.25}}
    monkeypatch.setattr(story, "validation", lambda *_: lambda ema: results)
    validated = Run(waiting.config, squares(), squares(4, seed=1))
    validated.steps = waiting.steps

    def killed(*_, **__):
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed)
        with pytest.raises(SystemExit):
            validated.train(tmp_path, 7)
    waiting.train(tmp_path, 7)  # a checkpoint of step 7, without figures
    validated.train(tmp_path, 7)
    assert [row["step"] for row in rows(tmp_path) if "val" in row] == [7]
    checkpoints = Checkpoints(tmp_path / "checkpoints", read_only=True)
    assert checkpoints.best() == 7
    checkpoints.close()


def test_a_signal_before_an_evaluation_leaves_it_out():
    with signals.Signals() as caught:
        signal.raise_signal(signal.SIGTERM)
        assert caught.interruptible(lambda: "done") is None
    assert caught.caught == signal.SIGTERM


def test_a_clock_that_jumps_changes_nothing(waiting, whole, tmp_path, monkeypatch):
    clock = itertools.cycle([2e9, 0.0, 1e9])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    same_bits(whole[0], waiting.train(tmp_path, 7))
    assert (tmp_path / "metrics.jsonl").read_text() == whole[1]


def test_a_full_disk_ends_the_run_when_it_is_noticed(
    waiting, whole, tmp_path, monkeypatch
):
    waiting.train(tmp_path, 4)

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "flush", full)
        with pytest.raises(OSError, match=r"7 could not be written .*No space left"):
            waiting.train(tmp_path, 7)
    with monkeypatch.context() as patch:
        patch.setattr(log.JsonLines, "_append", lambda *_: full(None))
        with pytest.raises(OSError, match=r"metrics.jsonl cannot be written"):
            waiting.train(tmp_path, 7)
    same_bits(whole[0], waiting.train(tmp_path, 7))


def test_a_torn_line_of_the_log_is_dropped_on_resume(waiting, tmp_path, caplog):
    waiting.train(tmp_path, 3)
    assert "stopped after 3 of 12 steps (1 of 4 epochs)" in caplog.text
    log = tmp_path / "metrics.jsonl"
    torn = log.read_bytes() + b'{"step": 4, "loss": 1.0}\n\xff\n5\n{"step": 5, "lo'
    log.write_bytes(torn)
    waiting.train(tmp_path, 4)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    assert rows(tmp_path)[3]["loss"] != 1.0


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
    assert "damaged-4" in caplog.text
    assert (tmp_path / "damaged-4-again" / "state").is_dir()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]


def test_out_of_memory_names_the_settings_and_changes_none(
    waiting, whole, tmp_path, monkeypatch
):
    reason = "RESOURCE_EXHAUSTED: Out of memory\nby 7 GiB"

    def at_once(*_):
        raise jax.errors.JaxRuntimeError(reason)

    before = copy.deepcopy(waiting.config)
    waiting.train(tmp_path, 4)
    # An accelerator may refuse only when its results are asked for.
    when_read = types.SimpleNamespace(asarray=at_once)
    for target, name, refusing in (
        (waiting.steps, "_compiled", at_once),
        (run_records, "np", when_read),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, refusing)
            with pytest.raises(OutOfMemory) as error:
                waiting.train(tmp_path, 7)
        for way in ("batch_size (2 now", "image_size (64 now", "precision=bf16 (fp32"):
            assert way in str(error.value)
        assert "placement=stream" in str(error.value)
        assert str(error.value).endswith("RESOURCE_EXHAUSTED: Out of memory")
    assert waiting.config == before
    same_bits(whole[0], waiting.train(tmp_path, 7))
    reason = "INTERNAL: something else"
    with monkeypatch.context() as patch:
        patch.setattr(waiting.steps, "_compiled", at_once)
        with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
            waiting.train(tmp_path / "other", 7)


def test_a_network_that_cannot_be_built_is_refused_and_leaves_no_folder(tmp_path):
    cfg = config()
    cfg.model.neck, cfg.model.gd.levels = ("gd",), (2, 3, 4, 5)
    with pytest.raises(ValueError, match="no later stage reads P2"):
        story.train(cfg, tmp_path / "new" / "run", {"train": squares()})
    assert not [*(tmp_path / "new").rglob("*")]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    with pytest.raises(ValueError, match="no later stage reads P2"):
        story.train(cfg, tmp_path / "notes", {"train": squares()})
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["mine.txt"]
