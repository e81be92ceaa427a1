"""A checkpoint is whole or it is not there, and damage is always noticed."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.training.records import checkpoint
from tqgd_jax.training.records.checkpoint import Checkpoints, digests, leaves
from tqgd_jax.training.state import TrainState


def state(value: float, width: int = 3) -> TrainState:
    """All kinds of leaves; the values tell which one it is."""
    tree = {"kernel": np.full((2, width), value, np.float32)}
    return TrainState(
        step=np.int32(value),
        updates=np.int32(value),
        params=tree,
        batch_stats={"bn": {"mean": np.zeros(width, np.float32)}},
        opt_state=((), (tree, ())),
        ema={"params": tree, "batch_stats": {}},
        grads={},
    )


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, state(step), {"left_out": [step]})
    checkpoints.wait()
    return checkpoints


def test_what_was_saved_comes_back(tmp_path):
    found, meta = saved(tmp_path, 3, 7).restore(state(0))
    jax.tree.map(np.testing.assert_array_equal, found, state(7))
    assert jax.tree.structure(found) == jax.tree.structure(state(7))
    assert meta == {"left_out": [7]}
    found, meta = Checkpoints(tmp_path, read_only=True).restore(state(0), 3)
    assert (int(found.step), meta) == (3, {"left_out": [3]})


def test_the_state_may_be_given_up_right_after(tmp_path):
    live = jax.tree.map(jnp.asarray, state(5))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, live, {})
    for leaf in jax.tree.leaves(live):
        leaf.delete()
    checkpoints.wait()
    jax.tree.map(
        np.testing.assert_array_equal, checkpoints.restore(state(0))[0], state(5)
    )


def test_sums_are_those_of_the_system(tmp_path):
    saved(tmp_path, 1)
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this system")
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(
        check, cwd=tmp_path / "1", capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == sum(
        p.is_file() and p.name != "SHA256SUMS" for p in (tmp_path / "1").rglob("*")
    )


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def test_orbax_alone_would_not_notice_a_changed_bit_of_a_large_array(tmp_path):
    # If this fails, Orbax checks by itself and `checkpoint` may become simpler.
    noise = np.random.default_rng(0).normal(size=(2, 400_000)).astype(np.float32)
    wanted = state(1)._replace(params={"kernel": noise})
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, wanted, {})
    checkpoints.wait()
    files = [p for p in (tmp_path / "1").rglob("*") if p.is_file()]
    flip(max(files, key=lambda p: p.stat().st_size))
    found, _ = checkpoint._read(tmp_path / "1", wanted)
    assert not np.array_equal(found.params["kernel"], noise)
    assert checkpoint.damage(tmp_path / "1").startswith("state/")


@pytest.mark.parametrize("damage", [truncate, flip, shorten, Path.unlink])
def test_any_damaged_file_falls_back_to_the_step_before(tmp_path, caplog, damage):
    saved(tmp_path / "whole", 1, 2)
    newest = tmp_path / "whole" / "2"
    files = [p.relative_to(newest) for p in newest.rglob("*") if p.is_file()]
    assert {str(f) for f in files} >= {"meta.json", "SHA256SUMS", "state/_METADATA"}
    tried = 0
    for file in files:
        hurt = tmp_path / "hurt"
        shutil.copytree(tmp_path / "whole", hurt)
        if (hurt / "2" / file).stat().st_size:
            damage(hurt / "2" / file)
            caplog.clear()
            found, meta = Checkpoints(hurt).restore(state(0))
            assert (int(found.step), meta) == (1, {"left_out": [1]}), file
            assert f"{hurt}/2 is damaged" in caplog.text
            assert "going on from step 1 instead" in caplog.text
            tried += 1
        shutil.rmtree(hurt)
    assert tried >= 8


def test_when_all_are_damaged_it_says_so(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    for step in "12":
        truncate(tmp_path / step / "meta.json")
    with pytest.raises(ValueError, match=r"checkpoints \[1, 2\] .* are damaged; rest"):
        checkpoints.restore(state(0))
    with pytest.raises(FileNotFoundError, match="no complete checkpoint of step 5"):
        checkpoints.restore(state(0), 5)


def test_repair_moves_damaged_steps_away_so_that_they_can_be_saved_again(tmp_path):
    checkpoints = saved(tmp_path / "c", 1, 2)
    flip(tmp_path / "c" / "2" / "meta.json")
    checkpoints.restore(state(0), repair=True)
    assert (tmp_path / "damaged-2" / "SHA256SUMS").exists()
    checkpoints.save(2, state(2), {})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]


def test_a_whole_checkpoint_of_another_network_is_no_damage(tmp_path):
    checkpoints = saved(tmp_path / "c", 1)
    with pytest.raises(
        ValueError, match=r"another network .*: batch_stats/bn/mean has"
    ):
        checkpoints.restore(state(0, width=4), repair=True)
    assert checkpoints.steps() == [1]


def test_the_newest_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, best in enumerate([0.1, 0.5, 0.5, None, 0.3, None, None], 1):
        checkpoints.save(step, state(step), {}, best=best)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 6, 7]
    assert checkpoints.best() == checkpoints.named("best") == 2
    assert (checkpoints.named("6"), checkpoints.named(None)) == (6, None)
    with pytest.raises(ValueError, match="number or best"):
        checkpoints.named("bets")
    with pytest.raises(ValueError, match=r"no step .* was judged"):
        saved(tmp_path / "unjudged", 1).named("best")


def test_writing_goes_on_in_the_background(tmp_path, monkeypatch):
    let_go, sums = threading.Event(), checkpoint._sums

    def slow(folder):
        assert let_go.wait(30)
        return sums(folder)

    monkeypatch.setattr(checkpoint, "_sums", slow)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1), {})
    assert checkpoints.steps() == []
    checkpoints.check()  # does not wait
    let_go.set()
    checkpoints.wait()
    assert checkpoints.steps() == [1]


def test_a_write_that_fails_leaves_nothing_and_is_told(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path, 1)

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "flush", full)
        checkpoints.save(2, state(2), {})
        with pytest.raises(OSError, match=r"2 could not be written .*No space left"):
            checkpoints.wait()
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert int(checkpoints.restore(state(0))[0].step) == 1
    checkpoints.save(2, state(2), {})  # there is room again
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_leaves_the_step_before_and_says_what_to_do(
    small_disk, caplog, monkeypatch
):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # is put back
    # 3.2 MB each: the third does not fit.
    noise = np.random.default_rng(0).normal(size=(2, 200_000)).astype(np.float32)
    full = state(1)._replace(params={"kernel": noise}, grads={"kernel": noise + 1})
    checkpoints = Checkpoints(small_disk)
    checkpoints.save(1, full, {})
    checkpoints.save(2, full, {})
    checkpoints.save(3, full, {})
    said = (
        r"/3 could not be written \(No space left on device\)\..* give the same command"
    )
    with pytest.raises(OSError, match=said):
        checkpoints.wait()
    assert caplog.messages == []  # nothing of Orbax, whose threads tell it too
    assert (checkpoints.steps(), len(list(small_disk.iterdir()))) == ([1, 2], 2)
    found, _ = checkpoints.restore(full, repair=True)
    np.testing.assert_array_equal(found.params["kernel"], noise)
    checkpoints.close()


def test_what_a_killed_run_left_is_removed(tmp_path):
    saved(tmp_path, 1)
    for name in (".writing-2", ".old-0"):
        shutil.copytree(tmp_path / "1", tmp_path / name)
    Checkpoints(tmp_path, read_only=True)
    assert len(list(tmp_path.iterdir())) == 3
    Checkpoints(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_the_newest_step_may_be_replaced_and_is_never_gone(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    checkpoints.save(2, state(2), {"again": True}, best=0.5)
    checkpoints.wait()
    assert checkpoints.restore(state(0))[1] == {"again": True}
    assert (checkpoints.best(), len(list(tmp_path.iterdir()))) == (2, 2)
    # Killed between the two renames: the old one comes back.
    shutil.copytree(tmp_path / "2", tmp_path / ".writing-2")
    (tmp_path / "2").rename(tmp_path / ".replaced-2")
    assert Checkpoints(tmp_path).steps() == [1, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_older_step_is_not_saved_over_a_newer_one(tmp_path):
    with pytest.raises(RuntimeError, match="already holds step 7"):
        saved(tmp_path, 7, 3)


def test_no_file_can_run_code(tmp_path):
    saved(tmp_path, 1)
    for file in tmp_path.rglob("*"):
        # A pickle of protocol 2 or later starts with these two bytes, and ends with "."
        assert not file.is_file() or file.read_bytes()[:1] != b"\x80"
    assert json.loads((tmp_path / "1" / "meta.json").read_text())["best"] is None


def test_digests_tell_every_tensor_apart():
    names = leaves(state(1))
    assert set(names) == {
        *("step", "updates", "params/kernel", "batch_stats/bn/mean"),
        *("opt_state/0000", "ema/params/kernel"),
    }
    one, two = digests(state(1)), digests(state(2))
    assert {k for k in one if one[k] == two[k]} == {"batch_stats/bn/mean"}
    assert (
        one["batch_stats/bn/mean"]
        == hashlib.sha256(b"<f4 (3,) " + bytes(12)).hexdigest()
    )
