"""The tutorial runs from its first cell to its last, at sizes a test can bear."""

import json
from pathlib import Path

import matplotlib
import pytest

from tqgd_jax import detector, fusion

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
SIZES = "PATIENTS, SLICES, SIDE, STEPS = 12, 12, 256, 400"


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQGD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(detector.SIZES, "n", detector.Size(0.01, 0.25, 64))
    monkeypatch.setattr(fusion, "_added", {})
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    codes = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    assert SIZES in codes[0]
    codes[0] = codes[0].replace(SIZES, "PATIENTS, SLICES, SIDE, STEPS = 6, 6, 64, 2")
    # too few boxes to fit anchors to
    few = 'heads=(2, 3), anchors="2,2 3,3 4,4|5,5 6,6 8,8"'
    codes = [code.replace("heads=(2, 3)", few) for code in codes]
    names: dict[str, object] = {}
    for code in codes:
        exec(compile(code, str(NOTEBOOK), "exec"), names)
    printed = capsys.readouterr().out
    assert "Agatston" in printed
    assert "'AP50'" in printed
    assert (tmp_path / "runs" / "tutorial" / "slice.png").stat().st_size > 1000
