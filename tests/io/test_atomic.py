"""Files of a result are all new or all old."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from tqgd_jax.io.atomic import ASIDE, together

NAMES = ("table.csv", "picture.png", "last.json")


def put(folder, **files):
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def held(folder):
    return {f.name: f.read_text() for f in folder.iterdir()}


def test_new_files_replace_old_ones_and_stale_ones_go(tmp_path):
    put(tmp_path, table_csv="old", picture_png="old", last_json="old", mine_txt="kept")
    with together(tmp_path, NAMES, "last.json") as aside:
        put(aside, table_csv="new", last_json="new")
        assert held(tmp_path / ASIDE).keys() == {"table.csv", "last.json"}
    expected = {"table.csv": "new", "last.json": "new", "mine.txt": "kept"}
    assert held(tmp_path) == expected


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (ValueError("a patient is in two folds"), "two folds"),
    ],
)
def test_a_failure_leaves_what_was_there(tmp_path, error, raised):
    put(tmp_path, table_csv="old", last_json="old")

    def fail():
        with together(tmp_path, NAMES, "last.json") as aside:
            put(aside, table_csv="new")
            raise error

    with pytest.raises(ValueError, match=raised):
        fail()
    assert held(tmp_path) == {"table.csv": "old", "last.json": "old"}


def test_a_failure_leaves_no_folder_that_was_not_there(tmp_path):
    def fail():
        with together(tmp_path / "new", NAMES, "last.json"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    put(tmp_path, file_txt="x")

    def begin(out):
        with together(out, NAMES, "last.json"):
            pytest.fail("the work was begun")

    for out in (tmp_path / "file.txt", tmp_path / "file.txt" / "deeper"):
        with pytest.raises(ValueError, match="name a folder that can be made"):
            begin(out)


def test_after_a_kill_between_files_no_result_is_mixed(tmp_path):
    put(tmp_path, table_csv="old", last_json="old")
    # Killed when the first new file is in its place.
    code = f"""
import os, pathlib
from tqgd_jax.io.atomic import together
move = pathlib.Path.replace
def once(self, target):
    move(self, target)
    os.kill(os.getpid(), {int(signal.SIGKILL)})
pathlib.Path.replace = once
with together(pathlib.Path({str(tmp_path)!r}), {NAMES}, "last.json") as aside:
    (aside / "table.csv").write_text("new")
    (aside / "last.json").write_text("new")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "table.csv").read_text() == "new"
    assert not (tmp_path / "last.json").exists()  # so it is no result
    with together(tmp_path, NAMES, "last.json") as aside:
        put(aside, table_csv="newer", last_json="newer")
    assert held(tmp_path) == {"table.csv": "newer", "last.json": "newer"}
