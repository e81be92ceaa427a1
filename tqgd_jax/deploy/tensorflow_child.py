"""A script, not a module: an exported program to SavedModel or TFLite, and its answers.

python tensorflow_child.py KIND WORK OUT: reads `program` and `images.npy` in WORK, writes
OUT, reads it again, runs it on the images, writes `answers.npz` and `names.json` to WORK.
It imports nothing of the project.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import tensorflow as tf
from jax import export
from jax.experimental import jax2tf


def main(kind: str, work: Path, out: Path) -> None:
    """Converts, reloads, runs."""
    program = export.deserialize(bytearray((work / "program").read_bytes()))
    images = np.load(work / "images.npy")
    (taken,) = program.in_avals
    spec = tf.TensorSpec(taken.shape, taken.dtype.name, name="image")
    convert = jax2tf.convert(program.call, with_gradient=False)
    function = tf.function(convert, input_signature=[spec], autograph=False)
    module: Any = tf.Module()
    module.serve = function
    saved = out if kind == "saved_model" else work / "saved"
    tf.saved_model.save(
        module, str(saved), signatures=function.get_concrete_function(spec)
    )
    if kind == "saved_model":
        run = tf.saved_model.load(str(out)).signatures["serving_default"]
        answers = [run(image=tf.constant(image[None])) for image in images]
        answers = [{k: v.numpy() for k, v in of_one.items()} for of_one in answers]
    else:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        out.write_bytes(converter.convert())
        interpreter = tf.lite.Interpreter(model_path=str(out))
        run = interpreter.get_signature_runner()
        answers = [run(image=image[None]) for image in images]
    named = {f"{i}/{k}": v for i, of in enumerate(answers) for k, v in of.items()}
    np.savez(work / "answers.npz", **named)
    (work / "names.json").write_text(json.dumps(sorted(answers[0])))


main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
