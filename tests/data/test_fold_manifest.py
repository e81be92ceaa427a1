"""A manifest of folds is read whole or refused: damage, leaks, other data."""

import json
import re

import pytest

from tests.data.test_folds import TEN
from tqgd_jax.data.split.fold_manifest import read, write
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.data.split.folds import assign, check
from tqgd_jax.io import atomic


def test_a_slice_level_manifest_may_hold_a_patient_twice(tmp_path):
    leaky = assign(TEN, 5, 0, "slice")
    write(leaky, tmp_path / "f.json")
    assert read(tmp_path / "f.json") == leaky


def first(manifest: dict) -> dict:
    return manifest["slices"]["P0_0"]


# What a careless editor or program may do to a manifest, and the message.
TAMPERED = [
    (lambda m: first(m).update(fold=first(m)["fold"] % 5 + 1), "'P0' is in two folds"),
    (lambda m: first(m).update(fold=6), "'P0_0': fold must be in 1..5"),
    (lambda m: first(m).update(fold=0), "'P0_0': fold must be in 1..5"),
    (lambda m: first(m).update(fold="1"), "fold must be of type int, got '1' (patient"),
    (lambda m: first(m).update(fold=True), "fold must be of type int, got True"),
    (lambda m: first(m).update(patient=7), "patient must be of type str, got 7"),
    (lambda m: first(m).update(patient=""), "patient not empty"),
    (lambda m: first(m).update(sha256=None), "sha256 must be of type str"),
    (lambda m: first(m).update(note="x"), "must have the fields"),
    (lambda m: first(m).pop("sha256"), "must have the fields"),
    (lambda m: m["slices"].update(P0_0=1), "must have the fields"),
    (lambda m: m["slices"].pop("P0_0"), "5 slices, the row says"),
    (lambda m: m.update(note="x"), "must have the fields"),
    (lambda m: m.pop("seed"), "must have the fields"),
    (lambda m: m.update(seed="0"), "seed must be of type int"),
    (lambda m: m.update(seed=-1), "seed at least 0"),
    (lambda m: m.update(level="image"), "got 5, 0, 'image'"),
    (lambda m: m.update(folds=1), "folds must be at least 2"),
    (lambda m: m.update(folds=4), "must be in 1..4"),
    (lambda m: m.update(folds=6), "6 folds, but 5 rows"),
    (lambda m: m.update(slices=[]), "slices must be of type dict"),
    (lambda m: m.update(version=2), "kind and version"),
    (lambda m: m.update(kind="other"), "kind and version"),
    (lambda m: m["summary"].pop(), "5 folds, but 4 rows"),
    (lambda m: m["summary"].reverse(), "summary row 1"),
    (lambda m: m["summary"][1].update(patients=3), "fold 2 has 2 patients"),
    (lambda m: m["summary"][1].update(load="much"), "load must be of type float"),
    (lambda m: m["summary"][1]["scanners"].update(A=6.0), "A must be of type int"),
]


@pytest.mark.parametrize(("change", "message"), TAMPERED)
def test_a_tampered_manifest_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "folds.json"
    write(assign(TEN, 5, 0), path)
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read(path)
    assert str(error.value).startswith(str(path))


def test_a_slice_named_twice_in_the_file_is_refused(tmp_path):
    path = tmp_path / "folds.json"
    write(assign(TEN, 5, 0), path)
    path.write_text(path.read_text().replace('"P0_1":', '"P0_0":'))
    with pytest.raises(ValueError, match="'P0_0' is there 2 times"):
        read(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "\x00"])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="make"):
        read(path)


def test_other_data_are_refused_with_counts_and_names(tmp_path):
    manifest = assign(TEN, 5, 0)
    other = [*TEN[2:], Slice("new", "P0", "f" * 64, 0.0, "A")]
    other[0] = other[0]._replace(sha256="e" * 64)
    other[1] = other[1]._replace(patient="P9")
    with pytest.raises(ValueError, match="folds were made for other data") as error:
        check(manifest, other, tmp_path / "f.json")
    text = str(error.value)
    assert text.startswith(str(tmp_path / "f.json"))
    assert "2 slices missing in the data (P0_0, P0_1)" in text
    assert "1 slices not in the manifest (new)" in text
    assert "1 slices with other pixels (sha256) (P0_2)" in text
    assert "1 slices of another patient (P1_0)" in text
    with pytest.raises(
        ValueError, match=r"30 slices missing .*\(P0_0, P0_1, P0_2, ...\)"
    ):
        check(manifest, [], tmp_path / "f.json")


def test_a_failed_write_leaves_the_old_manifest(tmp_path, monkeypatch):
    path = tmp_path / "folds.json"
    write(assign(TEN, 5, 0), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(atomic, "flush", full)
    with pytest.raises(OSError, match="no space"):
        write(assign(TEN, 2, 0), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
