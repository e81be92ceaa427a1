"""Where compiled programs are kept, and how many."""

import os

import jax
import pytest

from tqgd_jax.training.runtime import compile_cache


@pytest.fixture
def no_folder():
    """JAX's own setting is none, as for a user, and is put back."""
    before = jax.config.jax_compilation_cache_dir
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def test_what_was_not_used_for_longest_goes_first(tmp_path, monkeypatch, no_folder):
    monkeypatch.setenv("TQGD_CACHE", str(tmp_path))
    monkeypatch.setattr(compile_cache, "MOST", 250)
    for machine, name, used in (("a", "old", 1), ("b", "new", 4), ("a", "between", 2)):
        file = tmp_path / "xla" / machine / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(100))
        os.utime(file, (used, 0))
    assert compile_cache.use_cache().parent == tmp_path / "xla"
    left = {p.name for p in (tmp_path / "xla").rglob("*") if p.is_file()}
    assert left == {"new", "between"}


def test_a_cache_that_cannot_be_written_is_told_and_none(
    tmp_path, monkeypatch, no_folder, caplog
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TQGD_CACHE", str(tmp_path / "file"))
    assert compile_cache.use_cache() is None
    assert jax.config.jax_compilation_cache_dir is None
    (said,) = caplog.messages
    assert "cannot be written (Not a directory)" in said
    assert "set $TQGD_CACHE to another folder" in said
