"""Whose detector `tqgd eval` judges, and where its results go."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import flags

from tqgd_jax import shipped
from tqgd_jax.commands import eval as command


def places(monkeypatch, **words):
    nothing = {"workdir": None, "split": "test", "data_dir": None, "out": None}
    monkeypatch.setattr(flags, "FLAGS", SimpleNamespace(**nothing | words))
    return command._places()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({}, "--workdir is missing"),
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
