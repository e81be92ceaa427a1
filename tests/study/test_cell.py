"""A cell runs its processes once, whoever kills what; small programs stand for them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tqgd_jax.config import Config
from tqgd_jax.study import cell as cells
from tqgd_jax.study import run as runs
from tqgd_jax.study.design import Cell

CELL = Cell("set", "row", 1, 0, Config())
DONE = "os.mkdir('eval-test'); open('eval-test/results.json', 'w')"
RUNNER = """
import sys
from pathlib import Path
from tqgd_jax.config import Config
from tqgd_jax.study import cell
from tqgd_jax.study.design import Cell
cell.commands = lambda *_: [[sys.executable, "-c", sys.argv[2]]]
cell.run(Cell("set", "row", 1, 0, Config()), Path(sys.argv[1]))
"""


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Sets what the cell runs: Python programs, in its folder."""

    def given(*texts: str) -> Path:
        def commands(cell: Cell, root: Path) -> list[list[str]]:
            folder = root / cell.name
            first = f"import os, sys, time; os.chdir({str(folder)!r}); "
            return [[sys.executable, "-c", first + text] for text in texts]

        monkeypatch.setattr(cells, "commands", commands)
        return tmp_path / CELL.name

    return given


def test_a_cell_that_is_done_is_not_run_again(programs, tmp_path):
    folder = programs("open('a', 'a').write('x')", DONE)
    assert cells.state(CELL, tmp_path) == "missing"
    for _ in range(2):
        cells.run(CELL, tmp_path)
    assert (folder / "a").read_text() == "x"
    assert cells.state(CELL, tmp_path) == "done"
    assert json.loads((folder / "settings.json").read_text())["seed"] == 0
    assert runs.missing([CELL], tmp_path, again=True) == []


@pytest.mark.parametrize(
    ("reason", "times"),
    [("segmentation fault", 2), ("step 5: not finite: loss=nan", 1)],
)
def test_a_failure_is_tried_again_unless_it_would_come_again(
    programs, tmp_path, reason, times
):
    folder = programs(f"open('a', 'a').write('x'); sys.exit('first\\n{reason}')", DONE)
    with pytest.raises(cells.Failed, match=f"set/row/fold-1/seed-0: {reason}"):
        cells.run(CELL, tmp_path)
    assert (folder / "a").read_text() == "x" * times
    assert cells.state(CELL, tmp_path) == "failed"
    assert cells.failure(CELL, tmp_path) == reason
    assert runs.missing([CELL], tmp_path, again=False) == []
    assert runs.missing([CELL], tmp_path, again=True) == [CELL]
    programs(DONE)
    cells.run(CELL, tmp_path)
    assert cells.state(CELL, tmp_path) == "done"


def test_a_second_try_may_do(programs, tmp_path):
    programs("os.path.exists('a') or (open('a', 'w'), os.kill(os.getpid(), 9))", DONE)
    cells.run(CELL, tmp_path)
    assert cells.state(CELL, tmp_path) == "done"


def test_a_cell_that_fails_does_not_end_the_others(programs, tmp_path):
    programs("sys.exit('not finite')")
    other = Cell("set", "row", 2, 0, Config())
    runs.foreground([CELL, other], tmp_path)
    assert [cells.state(c, tmp_path) for c in (CELL, other)] == ["failed"] * 2


def test_sigterm_goes_on_to_the_run_which_is_given_back(programs, tmp_path):
    folder = programs(
        "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
        "open('a', 'w'); time.sleep(60)",
        DONE,
    )

    def term() -> None:
        while not (folder / "a").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=term)
    thread.start()
    with pytest.raises(cells.Interrupted, match="the same command goes on") as error:
        cells.run(CELL, tmp_path)
    thread.join()
    assert error.value.status == 143
    assert not (folder / "failed.json").exists()


def test_what_outlives_its_runner_keeps_the_cell(programs, tmp_path):
    """The runner is killed; its child goes on; a second runner waits for that child."""
    folder = programs("open('a', 'a').write('y')", DONE)
    child = f"import time; open({str(folder / 'a')!r}, 'a').write('x'); time.sleep(2)"
    words = [sys.executable, "-c", RUNNER, str(tmp_path), child]
    with subprocess.Popen(words) as runner:
        while not (folder / "a").exists():
            time.sleep(0.01)
        runner.kill()
    assert cells.state(CELL, tmp_path) == "running"
    start = time.monotonic()
    cells.run(CELL, tmp_path)
    assert time.monotonic() - start > 1
    assert (folder / "a").read_text() == "xy"


def test_the_words_of_a_cell_run_it_anywhere(tmp_path):
    words = cells.words(CELL, tmp_path)
    assert words[1:] == [
        *("-m", "tqgd_jax", "study", "cell"),
        *("set/row/fold-1/seed-0", "--out", str(tmp_path)),
    ]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "study.json is missing" in done.stderr
