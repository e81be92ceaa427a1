"""SavedModel and TFLite at one image, made and tried in a process of their own.

TensorFlow never enters this one. Outputs are those of `programs.dense`, from an image
[1 s s c] in [0, 1].
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from tqgd_jax.deploy.programs import Dense

FORMATS = ("saved_model", "tflite")
NAMES = {"saved_model": "saved_model", "tflite": "model.tflite"}
CHILD = Path(__file__).with_name("tensorflow_child.py")


def write(
    dense: Dense, folder: Path, kind: str, images: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Writes one of `FORMATS`; what TensorFlow answers to each image.

    Args:
      dense: see `programs.dense`.
      folder: there already.
      kind: of `FORMATS`.
      images: [n s s c] in [0, 1].

    Raises:
      ValueError: TensorFlow is missing, or cannot convert the program.
    """
    shape = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    program = export.export(
        jax.jit(lambda image: dict(zip(dense.names, dense.apply(image), strict=True))),
        platforms=("cpu",),
    )(shape)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "program").write_bytes(bytes(program.serialize()))
        np.save(work / "images.npy", images)
        done = subprocess.run(
            [sys.executable, CHILD, kind, work, work / NAMES[kind]],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = [line for line in done.stderr.splitlines() if line.strip()]
            raise ValueError(
                f"--format={kind}: TensorFlow did not convert the program "
                f"({reason[-1] if reason else done.returncode}); --format=onnx or "
                "stablehlo do"
            )
        shutil.move(work / NAMES[kind], folder / NAMES[kind])
        answers: Any = np.load(work / "answers.npz")
        names = json.loads((work / "names.json").read_text())
        return [
            {name: answers[f"{i}/{name}"] for name in names} for i in range(len(images))
        ]
