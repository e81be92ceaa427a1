"""`tqgd explain` from a file of weights to a page."""

import dataclasses
import json

import numpy as np
import pytest
from absl import flags

from tests import image_sets
from tests.explain.tiny import SIDE, predictor, shallow
from tqgd_jax.commands import explain
from tqgd_jax.data.open import open_data

__all__ = ["shallow"]

GIVEN = {
    **{"input": None, "split": None, "data_dir": "", "module": "head"},
    **{"method": "gradcam++", "boxes": "top10", "slices": [], "count": 6},
    **{"min_score": None, "series": "", "checks": False, "out": None},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two files of weights, `a` and `b`, of one data set."""
    home = tmp_path_factory.mktemp("explain")
    data = image_sets.config(image_sets.small(home / "set"), image_size=SIDE).data
    for name, neck in (("a", "fpn"), ("b", "pan")):
        of = predictor((neck,), (3,), ("cac", "other"))
        few = dataclasses.replace(of.config.eval, max_detections=20)
        config = dataclasses.replace(of.config, data=data, eval=few)
        print_of = open_data(config)["test"].fingerprint
        provenance = of.provenance | {"data_fingerprint": print_of}
        of = dataclasses.replace(of, config=config, provenance=provenance)
        of.save(home / f"{name}.safetensors")
    return home


def run(home, models="a", **words):
    """Calls the command with flags."""
    paths = [f"{name.upper()}={home / name}.safetensors" for name in models]
    with pytest.MonkeyPatch.context() as patch:
        flagged = type("Flags", (), GIVEN | {"model": paths} | words)
        patch.setattr(flags, "FLAGS", flagged)
        explain._main([])


def test_two_networks_on_a_split_make_a_page(home, tmp_path, capsys):
    out = tmp_path / "out"
    run(home, "ab", split="test", out=str(out), checks=True, count=2)
    document = json.loads((out / "explain.json").read_text())
    assert document["schema"] == "tqgd_jax.explain/1"
    (row,) = document["rows"]  # t2 has no label
    assert row["slice"].startswith("t1")
    assert [entry["model"] for entry in row["columns"]] == ["A", "B"]
    assert [m["reads"] for m in document["models"]] == [
        {"p3": "fpn/p3"},
        {"p3": "pan/down3"},
    ]
    for entry in row["columns"]:
        assert 1 <= len(entry["boxes"]) <= 10
        for box in entry["boxes"]:
            assert np.load(out / box["raw"]).shape == (8, 8)
        assert {"random_above", "deletion", "insertion_gaussian"} <= {*entry["checks"]}
        assert 0 <= entry["energy"]["labels"] <= 1
    for name in ("grid.png", "01.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"
    page = (out / "explain.html").read_text()
    assert "no evidence" in page
    assert "Not a medical device" in page
    assert "://" not in page  # nothing is loaded
    assert "Eigen-CAM" not in page
    assert page.rstrip().endswith("</html>")
    assert "open" in capsys.readouterr().out
    with pytest.raises(ValueError, match="is there and not empty"):
        run(home, split="test", out=str(out))


@pytest.mark.slow
def test_each_box_is_a_row_and_modules_are_columns(home, tmp_path):
    path = home / "set" / "images" / "a.png"
    words = {"module": "fpn/p3,backbone/c3_4", "method": "eigencam", "input": str(path)}
    run(home, out=str(tmp_path / "all"), boxes="all", min_score=0.0, **words)
    document = json.loads((tmp_path / "all" / "explain.json").read_text())
    rows = document["rows"]
    assert len(rows) > 1
    assert [len(e["boxes"]) for row in rows for e in row["columns"]] == [1] * 2 * len(
        rows
    )
    scores = [row["columns"][0]["boxes"][0]["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    modules = [entry["module"] for entry in rows[0]["columns"]]
    assert modules == ["fpn/p3", "backbone/c3_4"]
    assert "is not of a detection" in (tmp_path / "all" / "explain.html").read_text()
    run(home, out=str(tmp_path / "one"), boxes="1", min_score=0.0, **words)
    one = json.loads((tmp_path / "one" / "explain.json").read_text())["rows"]
    assert one[0]["columns"][0]["boxes"][0]["score"] == pytest.approx(scores[1])
    run(home, out=str(tmp_path / "none"), min_score=1.0, **words)
    (none,) = json.loads((tmp_path / "none" / "explain.json").read_text())["rows"]
    assert all(entry["raw_best_candidate"] for entry in none["columns"])
    with pytest.raises(ValueError, match=r"--boxes=999: a.* has .* boxes, 0 to"):
        run(home, out=str(tmp_path / "x"), boxes="999", min_score=0.0, **words)
    assert not (tmp_path / "x").exists()
    assert {f.name for f in tmp_path.iterdir()} == {"all", "one", "none"}


def test_the_list_names_what_heads_read(home, capsys):
    run(home, module="list")
    lines = capsys.readouterr().out.splitlines()
    (read,) = [line for line in lines if "read by the head" in line]
    assert read.split()[:4] == ["fpn/p3", "8", "8", "64"]
    assert any(line.split()[0] == "backbone:p5" for line in lines)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"split": "test"}, "--out is missing"),
        ({"out": "x"}, "give one of --input and --split"),
        ({"out": "x", "split": "test", "input": "y"}, "give one of"),
        ({"out": "x", "input": "nowhere"}, "--input: no file or folder"),
        ({"out": "x", "split": "val"}, "has no split 'val'"),
        ({"out": "x", "split": "test", "slices": ["t9"]}, "no slice 't9'"),
        ({"out": "x", "split": "test", "module": "fpn/q3"}, "no module 'fpn/q3'"),
        ({"out": "x", "split": "test", "method": "cam"}, "no method 'cam'"),
        ({"out": "x", "split": "test", "boxes": "best"}, "--boxes=best: such as top10"),
        ({"models": "ab", "boxes": "0"}, "boxes of several networks do not pair"),
        ({"models": "aa", "out": "x", "split": "test"}, "--model: 'A' twice"),
    ],
)
def test_wrong_words_are_refused(home, words, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=reason):
        run(home, **words)
    assert not any(tmp_path.iterdir())


def test_a_folder_half_written_is_no_folder(home, tmp_path, monkeypatch):
    from tqgd_jax.explain import figure

    monkeypatch.setattr(figure, "_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(home, split="test", out=str(tmp_path / "out"))
    assert not any(tmp_path.iterdir())
