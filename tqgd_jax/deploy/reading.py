"""Which file an exported model is, and how it runs."""

from pathlib import Path
from typing import Any

from tqgd_jax.deploy import hub, onnx_file, stablehlo
from tqgd_jax.deploy.description import MODEL
from tqgd_jax.inference import Predict

ONNX = "model.onnx"
PROGRAMS = (".jaxexport", ".onnx")


def file_in(path: Path) -> Path:
    """Of a folder that `tqgd export` wrote the weights, else a program; else `path`.

    Weights come first because all that a run can do can be done with them.

    Raises:
      ValueError: the file is not what the folder's checksums say.
    """
    if path.is_dir():
        named = [n for n in (hub.WEIGHTS, MODEL, ONNX) if (path / n).is_file()]
        path = path / named[0] if named else path
    if path.is_file():
        hub.check(path.parent, path.name)
    return path


def read(path: Path) -> tuple[dict[str, Any], Predict]:
    """What `predictor.meta` was, and the program, of a file of `PROGRAMS`.

    Raises:
      ValueError: it cannot be read, or a package is missing.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `tqgd export` writes it from a run")
    if path.suffix == ".onnx":
        return onnx_file.read(path)
    return stablehlo.read(path.parent, path.name)
