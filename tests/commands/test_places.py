"""A place that cannot be written ends in one line that names it, in every command."""

import errno
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from tests import image_sets
from tests.study.test_plan import STUDY
from tqgd_jax.__main__ import _main
from tqgd_jax.commands.line import config_flags, places
from tqgd_jax.config import Config, Data
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.prepared.prepare import prepare
from tqgd_jax.io import atomic, cache
from tqgd_jax.report import result_folder
from tqgd_jax.report.comparison import models
from tqgd_jax.study import study_file
from tqgd_jax.training.records import workdir
from tqgd_jax.training.runtime import compile_cache


@pytest.fixture
def no_folder(tmp_path) -> Path:
    """A file where a folder should be: nobody, not even root, can write there."""
    file = tmp_path / "file"
    file.touch()
    return file / "x"


def command(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["tqgd", *words])
    with pytest.raises(SystemExit) as ended:
        _main()
    assert ended.value.code == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "wants",
    [
        lambda file: discover(Data(dir=str(file))),
        workdir.read,
        study_file.read,
        lambda file: study_file.check(STUDY, file),
        models.results_of,
        result_folder.read_results,
        config_flags.refuse_full,
    ],
)
def test_a_file_where_a_folder_is_wanted_is_called_one(no_folder, wants):
    file = no_folder.parent
    with pytest.raises(ValueError, match=rf"{file}'?:? is a file; (name|--config)"):
        wants(file)


def test_the_picture_of_check(tmp_path, no_folder, monkeypatch, capsys):
    image_sets.small(tmp_path / "set")
    picture = str(no_folder / "a.png")
    line = command(
        monkeypatch, capsys, "check", str(tmp_path / "set"), "--picture", picture
    )
    assert line.startswith(f"tqgd check: {no_folder}: Not a directory; ")


def test_the_folder_of_phantom(no_folder, monkeypatch, capsys):
    words = ("--patients=1", "--slices=2", "--size=128", "--workers=1")
    line = command(monkeypatch, capsys, "phantom", "--out", str(no_folder), *words)
    assert str(no_folder) in line
    assert "Not a directory" in line


def test_the_cache_of_prepared_sets(tmp_path, no_folder, monkeypatch):
    root = image_sets.small(tmp_path / "set")
    monkeypatch.setenv("TQGD_CACHE", str(no_folder))
    way = r"Not a directory\); set data\.prepared_dir or \$TQGD_CACHE to another folder"
    with pytest.raises(ValueError, match=f"{no_folder} cannot be written .{way}"):
        prepare(Config(data=Data(dir=str(root))))
    monkeypatch.delenv("TQGD_CACHE")
    monkeypatch.setenv("HOME", str(no_folder))
    with pytest.raises(ValueError, match=rf"{no_folder}/\.cache/tqgd_jax cannot"):
        prepare(Config(data=Data(dir=str(root))))


def test_without_a_cache_of_programs_only_time_is_lost(no_folder, monkeypatch, caplog):
    monkeypatch.setenv("TQGD_CACHE", str(no_folder))
    before = (
        jax.config.jax_compilation_cache_dir,
        jax.config.jax_enable_compilation_cache,
    )
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", True)
    try:
        assert compile_cache.use_cache() is None
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before[0])
        jax.config.update("jax_enable_compilation_cache", before[1])
    assert f"{no_folder}/xla/" in caplog.text
    assert "set $TQGD_CACHE to another folder" in caplog.text


def test_a_user_without_a_home(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TQGD_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(
        ValueError, match=r"home directory.*set \$TQGD_CACHE to a folder"
    ):
        cache.home()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_errors_of_places_are_one_line_and_others_are_not(number):
    assert places.line(OSError(number, "why", "x")) == (
        "x: why; make room, or name another place"
    )
    assert places.line(OSError(errno.EINTR, "why", "x")) == ""
    assert places.line(OSError("no number")) == ""
    assert places.line(KeyError("x")) == ""


def test_a_folder_that_is_made_can_be_written(tmp_path):
    assert atomic.made(tmp_path / "a" / "b", "") == tmp_path / "a" / "b"
    assert [*(tmp_path / "a" / "b").iterdir()] == []


def test_scripts_too(tmp_path, no_folder):
    """`train.py` and others have a runner of their own."""
    code = (
        "import sys; sys.argv = ['train.py']\n"
        "from tqgd_jax.commands.line import cli\n"
        f"cli.run(lambda _: open({str(no_folder)!r}, 'w'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"train.py: {no_folder}: Not a directory; make room, or name another place"
    ]
