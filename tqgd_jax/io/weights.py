"""A trained detector as one file: arrays and settings, safetensors, no pickle.

The file needs neither the run nor the training code. Names of arrays are paths in the
variables, such as `params/backbone/p1/conv/kernel`. A kernel whose values all are half
precision numbers (`rounded`) takes two bytes a value; reading gives float32 of the same.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float32
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
) -> None:
    """Writes the file in one go: aside, then renamed.

    Args:
      path: ends with `.safetensors`.
      variables: linen collections of arrays.
      meta: plain data.
      format: `FORMAT`, which `read` takes, or `DEPLOYED`.

    Raises:
      ValueError: another suffix, or the file cannot be written.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"{path}: a file of weights ends with {SUFFIX}")
    arrays = {
        name: np.ascontiguousarray(_smallest(np.asarray(value)))
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


def rounded(value: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """A kernel at the 11 bits of half precision; a vector as it is."""
    return value.astype(np.float16).astype(np.float32) if value.ndim > 1 else value


def _smallest(value: np.ndarray) -> np.ndarray:
    if value.dtype == np.float32 and value.ndim > 1:
        half = value.astype(np.float16)
        return half if np.array_equal(half.astype(np.float32), value) else value
    return value


def _single(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype == np.float16 else value
