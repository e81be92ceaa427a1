"""The commands that read a data set and write a file: what ends them at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image_sets import config, small
from tqgd_jax.commands import folds, pack
from tqgd_jax.commands.line import config_flags

ROOT = Path(__file__).parents[2]


def run(name: str, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tqgd_jax", name, *words],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "word", "says"),
    [
        ("folds", "--config.data.nope=1", "Data has no field 'nope'"),
        ("pack", "--config.data.hold_ot=1", "did you mean 'hold_out'?"),
        ("convert", "--config.hold_out=1", "did you mean 'data.hold_out'?"),
        ("pack", "stray", "unknown words ['stray']"),
        ("pack", "--config=nowhere.py", "No such file or directory: 'nowhere.py'; the"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line(tmp_path, name, word, says):
    words = [f"--out={tmp_path / 'new' / 'out.x'}", word]
    words += ["--format=coco"] * (name == "convert")
    done = run(name, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_shared_flags():
    said = run("pack", "--help").stdout
    assert "--data_dir" in said
    assert "--out" in said


@pytest.mark.parametrize("name", ["folds", "pack"])
def test_out_in_a_folder_that_is_not_there(tmp_path, name):
    cfg = config(small(tmp_path / "set"))
    out = tmp_path / "a" / "b" / ("f.json" if name == "folds" else "f.npz")
    if name == "pack":
        pack.pack(cfg, out)
    else:
        folds.make(cfg, out, 2, 0, "patient")
    assert [f.name for f in out.parent.iterdir()] == [out.name]


def test_no_room_is_told_before_the_data_are_read(tmp_path):
    (tmp_path / "file").write_text("x")
    nowhere = config(tmp_path / "no data")
    with pytest.raises(ValueError, match=r"--out: the folder .*file cannot be made"):
        pack.pack(nowhere, tmp_path / "file" / "x.npz")
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(ValueError, match=r"x\.npz is a folder; name a file"):
        pack.pack(nowhere, tmp_path / "x.npz")
    config_flags.make_room(tmp_path / "x.npz", folder=True)


def test_a_configuration_is_found_by_its_name_wherever_the_command_runs(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["x", "--config=configs/demo.py", "--config", "nuclei", "--config.seed=1"]
    monkeypatch.setattr(sys, "argv", [*words, "--config=nowhere.py"])
    config_flags.find_config()
    home = ROOT / "configs"
    assert sys.argv[1:] == [
        f"--config={home / 'demo.py'}",
        *("--config", str(home / "nuclei.py")),
        *("--config.seed=1", "--config=nowhere.py"),
    ]
    (tmp_path / "demo.py").touch()  # one's own comes first
    monkeypatch.setattr(sys, "argv", ["x", "--config=demo.py"])
    config_flags.find_config()
    assert sys.argv == ["x", "--config=demo.py"]


def test_help_that_nobody_reads_ends_without_a_word():
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "tqgd_jax", "pack", "--help"],
        stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.close(write)
    assert ended.stderr == b""
