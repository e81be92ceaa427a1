"""A trained detector as one file: arrays and settings, safetensors, no pickle.

The file needs neither the run nor the training code. Names of arrays are paths in the
variables, such as `params/backbone/p1/conv/kernel`. Kernels may be rounded to half
precision, two bytes a value; reading gives float32.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tqgd_jax.io import atomic

FORMAT = "tqgd_jax.weights/1"
DEPLOYED = "tqgd_jax.weights.deployed/1"  # Conv+BN folded: for other programs
SUFFIX = ".safetensors"


def write(
    path: Path,
    variables: dict[str, Any],
    meta: dict[str, Any],
    format: str = FORMAT,
    *,
    half: bool = False,
) -> None:
    """Writes the file in one go: aside, then renamed.

    Args:
      path: ends with `.safetensors`.
      variables: linen collections of arrays.
      meta: plain data.
      format: `FORMAT`, which `read` takes, or `DEPLOYED`.
      half: kernels are rounded to half precision.

    Raises:
      ValueError: another suffix, or the file cannot be written.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"{path}: a file of weights ends with {SUFFIX}")
    arrays = {
        name: np.ascontiguousarray(_rounded(np.asarray(value)) if half else value)
        for name, value in flatten_dict(variables, sep="/").items()
    }
    text = {"format": format, "meta": json.dumps(meta)}
    try:
        with atomic.file(path) as partial:
            save_file(arrays, partial, text)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path} cannot be written ({error}); name another file"
        ) from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables and plain data that `write` was given.

    Raises:
      ValueError: not there, damaged, or a file of something else.
    """
    try:
        with safe_open(path, "numpy") as file:
            text = file.metadata() or {}
            if text.get("format") != FORMAT:
                raise ValueError(
                    f"{path}: its format is {text.get('format')!r}, not {FORMAT!r}; "
                    "`tqgd export` writes such a file from a run"
                )
            arrays = {name: _single(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        # A network without batch norm has no batch statistics, but a place for them.
        variables = {"params": {}, "batch_stats": {}} | unflatten_dict(arrays, sep="/")
        return variables, json.loads(text["meta"])
    except (
        *(OSError, SafetensorError, KeyError),
        *(json.JSONDecodeError, RecursionError),
    ) as error:
        raise ValueError(
            f"{path}: no file of weights ({error}); it is incomplete or damaged: copy "
            "or export it again"
        ) from error


def _rounded(value: np.ndarray) -> np.ndarray:
    """A kernel in half precision; a vector as it is."""
    if value.ndim < 2:
        return value
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(
            f"a kernel reaches {np.abs(value).max():g}, more than half precision holds; "
            "write it without rounding"
        )
    return half


def _single(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype == np.float16 else value
