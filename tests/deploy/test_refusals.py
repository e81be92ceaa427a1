"""What `tqgd export` refuses, before any work."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from tests.training.tiny import config
from tqgd_jax import trained
from tqgd_jax.commands import export
from tqgd_jax.config import Baseline
from tqgd_jax.deploy import export as deploy
from tqgd_jax.deploy import onnx_file, programs, stablehlo
from tqgd_jax.io import weights as io_weights
from tqgd_jax.predictor import Predictor
from tqgd_jax.report.text import terminal
from tqgd_jax.training.runtime import compile_cache

GIVEN = {
    **{"format": ["safetensors"], "step": None, "batch": "B", "nms": False},
    **{"pixels": "int16", "image_size": None, "precision": None, "half": False},
    **{"threshold": None, "license": "apache-2.0", "workdir": "nowhere"},
}


def run(out, **words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            flags, "FLAGS", type("Flags", (), GIVEN | {"out": str(out)} | words)
        )
        export._main([])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"format": ["onx"]}, "unknown value 'onx'; .* did you mean 'onnx'"),
        ({"format": []}, "--format is empty; there are: safetensors"),
        ({"batch": "0"}, "--batch=0: give a number of images from 1, or a name"),
        ({"batch": "a b"}, "--batch=a b"),
    ],
)
def test_wrong_words(tmp_path, words, reason):
    with pytest.raises(ValueError, match=reason):
        run(tmp_path / "out", **words)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="is there and not empty"):
        run(tmp_path)
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(ValueError, match="is there already; name another file"):
        run(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "words",
    [
        *({"format": ["onnx"]}, {"batch": "4"}, {"nms": True}, {"pixels": "uint8"}),
        {"license": "mit"},
    ],
    ids=str,
)
def test_a_file_of_weights_takes_no_flag_of_a_folder(tmp_path, words):
    (name,) = words
    with pytest.raises(ValueError, match=f"--{name}=.* is one file of weights"):
        run(tmp_path / "a.safetensors", **words)


def test_only_one_file_is_rounded(tmp_path):
    with pytest.raises(ValueError, match="--half is for one file"):
        run(tmp_path / "a", half=True)


@pytest.fixture
def loaded(monkeypatch):
    """A run at step 7 with a threshold of its own."""
    anchors, source = np.ones((1, 3, 2), np.float32), {"run": "a", "step": 7}
    weights = {"params": {"a": np.ones(2, np.float32)}}
    made = Predictor(config(), ("calcium",), anchors, weights, 0.4, True, source)
    monkeypatch.setattr(trained, "load", lambda *_: made)
    monkeypatch.setattr(compile_cache, "use_cache", lambda: None)
    return made


def test_a_file_of_weights_has_the_size_and_precision_of_the_flags(
    loaded, tmp_path, capsys
):
    path = tmp_path / "a.safetensors"
    run(path, image_size=96, precision="bf16", format=None)
    _, meta = io_weights.read(path)
    changed = meta["config"]
    assert changed["data"]["image_size"] == 96
    assert changed["model"]["precision"] == "bf16"
    assert meta["threshold"] is None  # 0.4 was chosen at 64 px
    assert "Not a medical device." in capsys.readouterr().out
    run(tmp_path / "c.safetensors", image_size=96, threshold=0.1)
    _, meta = io_weights.read(tmp_path / "c.safetensors")
    assert (meta["threshold"], meta["provenance"]["validated_threshold"]) == (0.1, 0.1)
    run(tmp_path / "b.safetensors", image_size=64)
    assert io_weights.read(tmp_path / "b.safetensors")[1]["threshold"] == 0.4


@pytest.mark.parametrize(
    ("inputs", "words", "figures", "threshold"),
    [
        ({}, {}, "AP 0.5", 0.4),
        ({}, {"image_size": 64}, "AP 0.5", 0.4),  # the run's
        ({"step": "3"}, {}, "", 0.4),
        ({"recalibrate": "8"}, {}, "", 0.4),
        ({}, {"image_size": 96}, "", 0.25),
        ({}, {"precision": "bf16"}, "", 0.25),
    ],
)
def test_the_card_has_figures_of_this_model_only(
    loaded, tmp_path, monkeypatch, inputs, words, figures, threshold
):
    of_run = {"step": "7", "precision": "fp32", "recalibrate": "0"}
    (tmp_path / "eval-test").mkdir()
    (tmp_path / "eval-test" / "results.json").write_text(
        json.dumps({"inputs": of_run | inputs})
    )
    monkeypatch.setattr(terminal, "summary", lambda _: "AP 0.5")
    given = []

    def write(predictor, folder, options):
        given.append((options.figures, predictor.threshold, predictor.chosen))
        return {"formats": []}

    monkeypatch.setattr(deploy, "export", write)
    run(tmp_path / "out", workdir=str(tmp_path), **words)
    assert given == [(figures, threshold, threshold == 0.4)]


def test_a_check_of_nothing_is_said(loaded, tmp_path, monkeypatch, capsys):
    nothing = {"px": 0.0, "detections": 0}
    write = {"stablehlo": lambda *_: lambda _: nothing}
    monkeypatch.setattr(deploy, "_WRITERS", write)
    run(tmp_path / "out", format=["stablehlo"])
    (row,) = json.loads((tmp_path / "out" / "export.json").read_text())["formats"]
    assert "no box or score was compared" in row["caution"]
    assert f"Caution: stablehlo: {row['caution']}" in capsys.readouterr().out


def detector(family):
    settings = dataclasses.replace(
        config(), baseline=Baseline(family=family, width=0.1)
    )
    return Predictor(
        settings, ("calcium",), np.zeros((0, 3, 2), np.float32), {}, 0.25, False, {}
    )


def test_two_stages_are_no_dense_outputs():
    with pytest.raises(ValueError, match=r"baseline\.family='zhao': its second stage"):
        programs.dense(detector("zhao"))


def test_maps_have_no_boxes_to_suppress():
    with pytest.raises(ValueError, match="--nms: a segmentation has no boxes"):
        onnx_file._suppress(None, None, detector("zair"))


def test_a_missing_package_is_named_with_its_command():
    with pytest.raises(ValueError, match=r"ONNX needs no_such .*`make export-tools`"):
        onnx_file.required("no_such")


def test_a_program_of_another_name_is_not_read_in_place_of_its_neighbour(tmp_path):
    with pytest.raises(
        ValueError, match=r"mine\.jaxexport: a program is called model\.jaxexport or"
    ):
        stablehlo.read(tmp_path, "mine.jaxexport")


def test_the_example_without_its_two_files_says_how_it_is_called(tmp_path):
    (tmp_path / "onnxruntime.py").touch()
    example = Path(__file__).parents[2] / "examples" / "detect.py"
    done = subprocess.run(
        [sys.executable, example, "model.onnx"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    usage = "usage: python examples/detect.py MODEL.onnx SLICE.npy"
    assert done.stderr.splitlines() == [usage]
