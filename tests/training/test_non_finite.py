"""A step that is not finite stops the run, or is left out."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests.training.tiny import Run, config, rows, same_bits, squares
from tqgd_jax.training import step as step_module
from tqgd_jax.training.records.checkpoint import Checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory) -> Run:
    """A run whose fifth step sees an image of NaN."""
    true = step_module.augment

    def augment(key, batch, **how):
        views, counts = true(key, batch, **how)
        bad = jax.random.key_data(jax.random.fold_in(jax.random.key(0), 4))
        hit = jnp.all(jax.random.key_data(key) == bad)
        return views._replace(image=jnp.where(hit, jnp.nan, views.image)), counts

    run = Run(config(), squares())
    with pytest.MonkeyPatch.context() as patch:  # while it is traced
        patch.setattr(step_module, "augment", augment)
        run.train(tmp_path_factory.mktemp("traced"), 1)
    return run


def with_policy(run: Run, policy: str, limit: int = 10) -> Run:
    run.config.train = dataclasses.replace(
        run.config.train,
        non_finite=policy,
        non_finite_limit=limit,
        checkpoint_steps=3,
        log_every=1,
    )
    return run


def test_a_step_that_is_not_finite_stops_the_run_and_is_not_saved(poisoned, tmp_path):
    with pytest.raises(FloatingPointError, match="step 5: not finite") as error:
        with_policy(poisoned, "stop").train(tmp_path, 7)
    for image in poisoned.plan.indices(4).flat:
        assert f"image{image}" in str(error.value)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert int(checkpoints.restore(poisoned.first())[0].step) == 3
    checkpoints.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]


def test_skip_leaves_the_step_out_and_says_so(poisoned, tmp_path, caplog):
    run = with_policy(poisoned, "skip")
    before = run.train(tmp_path / "four", 4)
    after = run.train(tmp_path / "five", 5)
    for name in ("params", "batch_stats", "opt_state", "ema", "updates"):
        same_bits(getattr(before, name), getattr(after, name))
    assert int(after.step) == 5
    assert rows(tmp_path / "five")[4]["loss"] is None
    assert [row["skipped"] for row in rows(tmp_path / "five")] == [0, 0, 0, 0, 1]
    assert "step 5: not finite" in caplog.text
    assert "left out (train.non_finite=skip): 5" in caplog.text
    with pytest.raises(FloatingPointError, match="0 iterations were left out already"):
        with_policy(poisoned, "skip", limit=0).train(tmp_path / "none", 5)
