"""What `tqgd export` refuses, before any work."""

import dataclasses

import numpy as np
import pytest
from absl import flags

from tests.training.tiny import config
from tqgd_jax.commands import export
from tqgd_jax.config import Baseline
from tqgd_jax.deploy import onnx_file, programs, stablehlo
from tqgd_jax.predictor import Predictor

GIVEN = {
    **{"format": ["safetensors"], "step": None, "batch": "B", "nms": False},
    **{"pixels": "int16", "image_size": None, "precision": None},
    **{"license": "apache-2.0", "workdir": "nowhere"},
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
