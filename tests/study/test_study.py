"""A study by its command: killed and run again, it has the bytes of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.xla import COMPILES_QUICKLY
from tqgd_jax.study import report

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = """
from dataclasses import replace
from paper import ROWS, get_study as paper

def get_study(preset):
    study = paper("smoke")
    base = study.base
    base = replace(
        base,
        model=replace(base.model, heads=(2,), anchors="2,2 3,3 4,4"),
        data=replace(base.data, batch_size=2, hold_out=0.3),
        augment=replace(base.augment, min_side=0.5),
        eval=replace(base.eval, min_score=0.0, max_detections=64),
        train=replace(base.train, steps=4, checkpoint_steps=1, tensorboard=False),
    )
    return replace(study, base=base, rows=ROWS[1:2], reference="Y-FPN")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A phantom, and a study on it that nobody disturbed, in `whole`."""
    home = tmp_path_factory.mktemp("study")
    (home / "config.py").write_text(CONFIG)
    words = ["phantom", "--patients=6", "--slices=6", "--size=128", "--workers=1"]
    tqgd(home, *words, f"--out={home / 'set'}")
    tqgd(
        home,
        "study",
        "run",
        "--config",
        "config.py",
        "--data",
        "ct=set",
        "--out",
        "whole",
    )
    return home


def environment(home: Path) -> dict[str, str]:
    """One device, and a cache of the module."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "TQGD_CACHE": str(home / "cache"),
        "XLA_FLAGS": COMPILES_QUICKLY,
    }


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tqgd_jax", *words],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def tqgd(home: Path, *words: str) -> str:
    with start(home, *words) as process:
        out, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    return out


def results(folder: Path) -> dict[str, bytes]:
    """What is judged, by cell; the folder of the study stands in it."""
    return {
        str(file.relative_to(folder).parent.parent): file.read_bytes().replace(
            str(folder).encode(), b"STUDY"
        )
        for file in folder.glob("*/*/*/*/eval-test/results.json")
    }


def test_every_cell_is_done_once(home):
    cells = [f"ct/Y-FPN/fold-{k}/seed-0" for k in (1, 2)]
    assert sorted(results(home / "whole")) == cells
    assert tqgd(home, "study", "list", "--out", "whole") == ""
    status = tqgd(home, "study", "status", "--out", "whole").splitlines()
    assert status[0].split() == ["done", "running", "stopped", "failed", "missing"]
    assert status[1].split() == ["ct", "Y-FPN", "2", "-", "-", "-", "-"]


def test_a_second_fold_compiles_no_program_of_training(home):
    """Each fold has other images, anchors and counts; the program is one."""
    programs = [f.name for f in (home / "cache").rglob("jit_loop-*-cache")]
    assert len(programs) == 1


def test_killed_and_run_again_it_has_the_same_bytes(home):
    design = json.loads((home / "whole" / "study.json").read_text())
    words = [
        "study",
        "run",
        "--config",
        "config.py",
        "--data",
        "ct=set",
        "--out",
        "cut",
    ]
    folder = home / "cut"
    first = folder / "ct" / "Y-FPN" / "fold-1" / "seed-0"
    process = start(home, *words)
    until = time.monotonic() + 300
    while not (first / "checkpoints" / "1").exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)  # the run and what it has started
    process.communicate()
    assert not (first / "eval-test").exists()
    tqgd(home, *words)
    assert json.loads((folder / "study.json").read_text()) == design
    assert results(folder) == results(home / "whole")


def test_the_report_is_made_from_the_files_at_any_time(home):
    shutil.copytree(home / "whole", home / "copy")
    shutil.rmtree(home / "copy" / "ct" / "Y-FPN" / "fold-2")
    tqgd(home, "study", "report", "--out", "copy", "--bootstraps=20", "--repeats=20")
    text = (home / "copy" / "report" / "ct" / "tables.md").read_text()
    assert "| YOLOv5\\*B + FPN | 1 of 2 | - | - |" in text
    page = (home / "copy" / "report" / report.PAGE).read_text("utf-8")
    assert page.rstrip().endswith("</html>")
    assert "the best of five folds" in page
