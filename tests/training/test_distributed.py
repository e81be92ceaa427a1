"""Two real processes train one model; one is killed, one gets a signal."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.image_sets import voc_set
from tests.training.tiny import config
from tests.xla import COMPILES_QUICKLY
from tqgd_jax import detector
from tqgd_jax.commands.pack import pack
from tqgd_jax.config import Data, Model, Train
from tqgd_jax.training.records.resume_check import outcome

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STEPS, LIMIT_S = 30, 600  # a launch that takes longer hangs
# One bottleneck a block: compiles quickly.
SMALL = """
import runpy
from tqgd_jax import detector
detector.SIZES["n"] = detector.Size(0.01, 0.125, 32)
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Path:
    """Eight images in one file, and a run of 30 steps on them as `config.json`."""
    root = tmp_path_factory.mktemp("processes")
    box = ("square", 10.0, 12.0, 30.0, 40.0)
    voc_set(root / "set", {f"i{i}": [box] for i in range(8)}, h=64, w=64)
    data = Data(
        str(root / "set"),
        image_size=64,
        batch_size=2,
        ratio=(1.0, 0.0, 0.0),
        prepared_dir=str(root / "prepared"),
    )
    cfg = config(
        model=Model(size="n", stem="conv", heads=(4,), neck=("fpn",)),
        data=data,
        train=Train(
            epochs=100,
            steps=STEPS,
            checkpoint_every=100,
            checkpoint_steps=5,
            log_every=3,
            tensorboard=False,
        ),
    )
    pack(cfg, root / "set.npz")
    cfg.data.dir, cfg.data.placement = str(root / "set.npz"), "stream"
    (root / "config.json").write_text(json.dumps(dataclasses.asdict(cfg)))
    return root / "config.json"


def start(
    settings: Path, workdir: Path, *more: str, second: tuple[str, ...] = ()
) -> list[subprocess.Popen[str]]:
    """Two processes of one device each; `second` are flags of one alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "TQGD_CACHE": os.environ.get("TQGD_CACHE", str(settings.parent / "cache")),
        "XLA_FLAGS": COMPILES_QUICKLY,
    }
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-c", SMALL, f"--config_json={settings}"),
                *(f"--workdir={workdir}", f"--coordinator=127.0.0.1:{port}"),
                *("--processes=2", f"--process={i}", *more, *(second if i else ())),
            ],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for i in range(2)
    ]


def ended(two: list[subprocess.Popen[str]]) -> list[str]:
    """What each wrote to stderr; a hang is a failure."""
    try:
        return [process.communicate(timeout=LIMIT_S)[1] for process in two]
    finally:
        for process in two:
            process.kill()


def after_checkpoint(two: list[subprocess.Popen[str]], workdir: Path, step: int):
    until = time.monotonic() + LIMIT_S
    while not (workdir / "checkpoints" / str(step)).exists():
        if any(p.poll() is not None for p in two) or time.monotonic() > until:
            pytest.fail("\n".join(ended(two)))
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """A run without a break."""
    workdir = tmp_path_factory.mktemp("whole")
    two = start(settings, workdir)
    told = ended(two)
    assert [p.returncode for p in two] == [0, 0], told
    return workdir


def hashes(workdir: Path) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(detector.SIZES, "n", detector.Size(0.01, 0.125, 32))
        return {name: found for name, (found, _) in outcome(workdir).items()}


def test_a_kill_and_a_signal_end_both_and_the_run_resumes_to_the_bit(
    settings, whole, tmp_path
):
    two = start(settings, tmp_path)
    after_checkpoint(two, tmp_path, 5)
    two[1].kill()
    told = ended(two)
    assert two[0].returncode not in (0, -signal.SIGKILL)
    last = told[0].strip().splitlines()[-1]
    assert "process 0 of 2 has ended before the run was done" in last
    assert "give the same commands again" in last

    two = start(settings, tmp_path)
    after_checkpoint(two, tmp_path, 15)
    two[1].send_signal(signal.SIGTERM)
    told = ended(two)
    assert [p.returncode for p in two] == [128 + signal.SIGTERM] * 2, told
    assert "resuming" in told[0]
    steps = {text.split("saved step ")[1].split(";")[0] for text in told}
    assert len(steps) == 1
    assert 15 <= int(steps.pop()) < STEPS
    assert "has ended before" not in told[0] + told[1]

    two = start(settings, tmp_path)
    told = ended(two)
    assert [p.returncode for p in two] == [0, 0], told
    assert hashes(tmp_path) == hashes(whole)


def test_processes_with_other_settings_are_refused(settings, tmp_path):
    two = start(settings, tmp_path, second=("--config.optim.lr=0.02",))
    told = ended(two)
    assert all(p.returncode == 1 for p in two), told
    assert "differs from the first in: optim.lr" in told[1]
    assert "nothing, but another does" in told[0]
    assert not (tmp_path / "config.json").exists()
