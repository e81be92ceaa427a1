"""Files and folders are whole or not there; a lock has one holder."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tqgd_jax.io import atomic

NAMES = ("table.csv", "picture.png", "last.json")


def put(folder, **files):
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def held(folder):
    return {f.name: f.read_text() for f in folder.iterdir()}


def test_new_files_replace_old_ones_and_stale_ones_go(tmp_path):
    put(tmp_path, table_csv="old", picture_png="old", last_json="old", mine_txt="kept")
    with atomic.files(tmp_path, NAMES, "last.json") as partial:
        put(partial, table_csv="new", last_json="new")
        assert held(tmp_path / atomic.ASIDE).keys() == {"table.csv", "last.json"}
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
        with atomic.files(tmp_path, NAMES, "last.json") as partial:
            put(partial, table_csv="new")
            raise error

    with pytest.raises(ValueError, match=raised):
        fail()
    assert held(tmp_path) == {"table.csv": "old", "last.json": "old"}


def test_a_failure_leaves_no_folder_that_was_not_there(tmp_path):
    def fail():
        with atomic.files(tmp_path / "new", NAMES, "last.json"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    put(tmp_path, file_txt="x")

    def begin(out):
        with atomic.files(out, NAMES, "last.json"):
            pytest.fail("the work was begun")

    for out in (tmp_path / "file.txt", tmp_path / "file.txt" / "deeper"):
        with pytest.raises(ValueError, match="name a folder that can be made"):
            begin(out)


def test_after_a_kill_between_files_no_result_is_mixed(tmp_path):
    put(tmp_path, table_csv="old", last_json="old")
    # Killed when the first new file is in its place.
    code = f"""
import os, pathlib
from tqgd_jax.io import atomic
move = pathlib.Path.replace
def once(self, target):
    move(self, target)
    os.kill(os.getpid(), {int(signal.SIGKILL)})
pathlib.Path.replace = once
with atomic.files(pathlib.Path({str(tmp_path)!r}), {NAMES}, "last.json") as partial:
    (partial / "table.csv").write_text("new")
    (partial / "last.json").write_text("new")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "table.csv").read_text() == "new"
    assert not (tmp_path / "last.json").exists()  # so it is no result
    with atomic.files(tmp_path, NAMES, "last.json") as partial:
        put(partial, table_csv="newer", last_json="newer")
    assert held(tmp_path) == {"table.csv": "newer", "last.json": "newer"}


def fill(way, path, error):
    with way(path) as partial:
        (partial if way is atomic.file else partial / "f").write_text("new")
        assert partial.parent == path.parent
        if error is not None:
            raise error


@pytest.mark.parametrize("way", [atomic.file, atomic.folder])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full; .*: free so"),
        (RuntimeError("write: No space left on device"), "disk is full; .*: free some"),
        (ValueError("a patient is in two folds"), "^a patient is in two folds$"),
    ],
)
def test_a_file_or_folder_is_whole_or_not_there(tmp_path, way, error, raised):
    path = tmp_path / "it"
    with pytest.raises(ValueError, match=raised):
        fill(way, path, error)
    assert not [*tmp_path.iterdir()]
    (tmp_path / ".it.partial").mkdir()  # of one that was killed
    fill(way, path, None)
    assert (path if way is atomic.file else path / "f").read_text() == "new"
    if way is atomic.folder:
        assert [*tmp_path.iterdir()] == [path]
    else:
        fill(way, path, None)  # replaces


def test_a_lock_keeps_others_out_by_name(tmp_path):
    path = tmp_path / ".lock"
    busy = f"{tmp_path} is in use by process {os.getpid()}; wait for it"
    with atomic.lock(path), pytest.raises(RuntimeError, match=busy), atomic.lock(path):
        pytest.fail("two have it")
    with atomic.lock(path):  # given back
        pass


def test_a_lock_is_waited_for(tmp_path, caplog):
    caplog.set_level("INFO")
    order = []

    def wait():
        with atomic.lock(tmp_path / ".lock", "waiting for another"):
            order.append("second")

    with atomic.lock(tmp_path / ".lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        while "waiting for another" not in caplog.text:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
