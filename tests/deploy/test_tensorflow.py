"""SavedModel and TFLite of a small program; TensorFlow stays in its own process."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tqgd_jax.deploy import tensorflow_files
from tqgd_jax.deploy.programs import Dense

pytestmark = pytest.mark.slow


def test_tflite_answers_with_names(tmp_path):
    kernel = jnp.arange(2.0).reshape(1, 1, 1, 2)

    def apply(image):
        y = jax.lax.conv_general_dilated(
            image, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y[..., :1], y[..., 1:]

    dense = Dense(apply, ("boxes", "scores"))
    images = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype(np.float32)
    answers = tensorflow_files.write(dense, tmp_path, "tflite", images)
    assert (tmp_path / "model.tflite").stat().st_size > 100
    for image, answer in zip(images, answers, strict=True):
        np.testing.assert_array_equal(answer["boxes"][0], 0)
        np.testing.assert_allclose(answer["scores"][0], image[::2, ::2], rtol=1e-6)


def test_what_tensorflow_cannot_convert_is_said(tmp_path, monkeypatch):
    dense = Dense(lambda x: (jnp.sin(x),), ("y",))
    monkeypatch.setattr(tensorflow_files, "CHILD", tmp_path / "missing.py")
    with pytest.raises(ValueError, match=r"--format=tflite: .*No such file"):
        tensorflow_files.write(dense, tmp_path, "tflite", np.zeros((1, 2, 2, 1), "f"))
    assert not (tmp_path / "model.tflite").exists()


def test_exporting_loads_no_tensorflow():
    code = "import sys, tqgd_jax.deploy.export; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b" tensorflow " not in done.stdout
