"""Whose detector `tqgd eval` judges, and where its results go."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import flags

from tqgd_jax import shipped
from tqgd_jax.commands import eval as command
from tqgd_jax.config import Config, Crop, Data
from tqgd_jax.evaluation.inputs import held_out


def places(monkeypatch, **words):
    nothing = dict.fromkeys(("workdir", "data_dir", "out"))
    nothing |= {"split": "test", "slices": "all"}
    monkeypatch.setattr(flags, "FLAGS", SimpleNamespace(**nothing | words))
    return command._places()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({}, "--workdir is missing"),
        (
            {"workdir": "", "split": "all", "data_dir": "x", "out": "y"},
            "--workdir is mis",
        ),
        ({"workdir": __file__}, "is a file; say with --out"),
        (
            {"split": "all", "data_dir": "x", "out": "y", "slices": "trained"},
            "every sli",
        ),
        ({"split": "all"}, "it needs --data_dir and --out"),
        ({"split": "all", "data_dir": "x", "workdir": "run"}, "it needs --out"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, words, reason):
    with pytest.raises(ValueError, match=reason):
        places(monkeypatch, **words)


def test_a_set_of_ones_own_is_judged_by_the_detector_that_ships(monkeypatch):
    whose, out = places(monkeypatch, split="all", data_dir="x", out="y")
    assert (whose, out) == (shipped.FILE, Path("y"))
    assert places(monkeypatch, workdir="run", split="val")[1] == Path("run/eval-val")


def test_the_training_set_is_not_a_set_of_ones_own(tmp_path):
    config = Config(data=Data(dir=str(tmp_path / "a")))
    with pytest.raises(ValueError, match="is the data set of the run"):
        command._refuse_own(config, str(tmp_path / "b" / ".." / "a"))
    with pytest.raises(ValueError, match="is a packed set"):
        command._refuse_own(config, str(tmp_path / "a.npz"))
    command._refuse_own(config, str(tmp_path / "b"))


def test_what_finds_the_runs_own_files_is_left_behind():
    data = Data(format="masks", group="(.*)", fold=5, slices="positive", hold_out=0.1)
    data.crop = Crop(method="hearts.csv", margin_mm=7.0)
    given = Config(data=replace(data, split="folds.json", lesion_hu=90.0))
    alone = held_out.undivided(given).data
    assert (alone.split, alone.ratio, alone.hold_out) == ("ratio", (0, 0, 1), 0)
    assert (alone.format, alone.group, alone.slices) == ("auto", "", "all")
    assert (alone.crop.method, alone.crop.margin_mm) == ("anatomical", 7)
    assert alone.lesion_hu == 90  # what a lesion is stays
