"""The command line as a user meets it."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tqgd_jax.config import Config, Model

ROOT = Path(__file__).parents[2]


def script(name: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, name, *args],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.optim.lrr=0.02", "Optim has no field 'lrr'; did you mean 'lr'?"),
        ("--config.optimm.lr=0.02", "Config has no field 'optimm'"),
        ("--config.lr=0.02", "did you mean 'optim.lr'?"),
        ("--config.optim.lr=fast", "could not convert string to float: 'fast'"),
        ("--config.model.size=xl", "model.size: unknown value 'xl'"),
        ("--config.model.neck=queen,gd", "must be a tuple of stage names"),
        ("--config.model=big", "is a section"),
        ("--config.data.window=(0,'a')", "must be a tuple of numbers, got (0, 'a')"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(argument, message):
    done = script("train.py", "--config=configs/tqgdnet.py", argument, "--dry_run")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("file", ["zhao.py", "foellmer.py", "segnet.py"])
def test_a_flag_that_a_competitor_does_not_read_is_refused(file):
    words = (f"--config=configs/{file}", "--config.model.size=s", "--dry_run")
    done = script("train.py", *words)
    assert done.returncode == 2
    assert "model.size does nothing with baseline.family=" in done.stderr


def test_dry_run_prints_one_json_object():
    done = script(
        "train.py",
        "--config=configs/nuclei.py",
        "--config.model.stem=conv",
        "--config.model.neck=('queen', 'gd')",
        "--config.model.neck=('pan',)",  # takes its place
        "--config.data.image_size=640",
        "--config.optim.lr=0.02",
        "--dry_run",
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["parameters"] == 1_765_270
    assert found["parameters_fused"] == 1_760_518
    assert found["gflops"] == pytest.approx(4.128, rel=0.02)
    assert found["outputs"] == [[1, n, n, 3, 6] for n in (80, 40, 20)]
    assert found["config"]["optim"]["lr"] == 0.02
    assert found["config"]["model"]["neck"] == ["pan"]
    assert found["memory_mib"] > 0


def test_the_settings_of_a_strangers_run_are_read_as_data(tmp_path):
    theirs = tmp_path / "config.json"
    settings = dataclasses.asdict(Config(model=Model(size="n", stem="conv")))
    theirs.write_text(json.dumps({"config": settings, "run": {"classes": ["a"]}}))
    asked = f"--config_json={theirs}"
    done = script("train.py", asked, "--config.data.image_size=64", "--dry_run")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["config"]
    assert (found["model"]["size"], found["data"]["image_size"]) == ("n", 64)
    assert found["model"]["neck"] == ["queen", "gd"]

    def refused(*args):
        done = script("train.py", *args, "--dry_run")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "exclude each other" in refused(asked, "--config=configs/tqgdnet.py")
    settings["model"]["dtype"] = "float32"
    theirs.write_text(json.dumps(settings))
    assert f"{theirs}: config.model: field: unknown value 'dtype'" in refused(asked)
    theirs.write_text(json.dumps({"config": {"model": 3}}))
    assert "a setting has a wrong type" in refused(asked)
    theirs.write_text("import os")
    assert f"{theirs} is no JSON" in refused(asked)
    assert "No such file" in refused(f"--config_json={tmp_path / 'none.json'}")


def test_help_comes_at_once():
    start = time.monotonic()
    done = script("train.py", "--help")
    assert time.monotonic() - start < 3
    assert "--[no]certify_resume" in done.stdout


def test_a_missing_data_set_is_named(tmp_path):
    done = script(
        "train.py",
        "--config=configs/nuclei.py",
        f"--config.data.dir={tmp_path / 'nowhere'}",
        f"--workdir={tmp_path / 'run'}",
    )
    assert done.returncode == 1
    assert str(tmp_path / "nowhere") in done.stderr
    assert "Traceback" not in done.stderr


def test_eval_takes_no_settings_because_they_are_those_of_the_run(tmp_path):
    done = script("eval.py", f"--workdir={tmp_path}", "--config.eval.nms_iou=0.1")
    assert done.returncode == 2
    assert "config.eval.nms_iou" in done.stderr


def test_a_folder_that_is_no_run_is_named(tmp_path):
    done = script("eval.py", f"--workdir={tmp_path}")
    assert done.returncode == 1
    assert f"{tmp_path} is not the workdir of a run" in done.stderr


def test_a_setting_without_dashes_or_without_a_config_is_refused():
    done = script("train.py", "--config=configs/demo.py", "config.optim.lr=3")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "unknown words ['config.optim.lr=3']" in done.stderr
    done = script("train.py", "--config.optim.lr=3")
    assert done.returncode == 2
    assert "--config is missing; for example" in done.stderr
