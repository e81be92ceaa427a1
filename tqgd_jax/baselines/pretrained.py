"""ImageNet weights of a backbone from a local file in torchvision's names.

Nothing is downloaded. From a `.pth` file of PyTorch, with its own tools:
`safetensors.torch.save_file(torchvision.models.vgg16(weights=...).state_dict(), FILE)`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open

CLASSIFIER = ("fc.", "classifier.")
COUNTER = "num_batches_tracked"
TENSORS = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


class Weights(NamedTuple):
    """A file, and what a network reads of it.

    Attributes:
      file: safetensors.
      model: whose weights it must hold, by torchvision's name.
      names: path in the variables, such as `params/encoder/conv1_1/conv/kernel`, by the
        name of the tensor, such as `features.0.weight`.
    """

    file: Path
    model: str
    names: Mapping[str, str]


def with_weights(variables: dict[str, Any], weights: Weights) -> dict[str, Any]:
    """Variables whose backbone has the values of the file; the rest is unchanged.

    Kernels are turned from (out, in, k, k) to (k, k, in, out). A network of one input
    channel takes the sum of the first kernel over its three, which gives of a grey
    image nearly what the three gave of it repeated. Classifiers and counters are left out.

    Args:
      variables: `params` and `batch_stats`, with first values.
      weights: the file.

    Raises:
      ValueError: the file cannot be read, or the first of its tensors that has no place,
        the first that is missing, or the first of a wrong shape.
    """
    tensors = _read(weights.file)
    unknown = [name for name in tensors if name not in weights.names]
    missing = [name for name in weights.names if name not in tensors]
    way_out = f"this network reads the weights of torchvision's {weights.model}"
    if unknown:
        raise ValueError(
            f"{weights.file}: {unknown[0]!r} ({len(unknown)} in all) has no place; "
            f"{way_out}"
        )
    if missing:
        raise ValueError(
            f"{weights.file}: {missing[0]!r} ({len(missing)} in all) is missing; "
            f"{way_out}"
        )
    values: dict[str, Any] = flatten_dict(variables, sep="/", keep_empty_nodes=True)
    for name, path in weights.names.items():
        tensor, wanted = _as_here(tensors[name]), values[path].shape
        if tensor.shape[2:3] == (3,) and wanted[2:3] == (1,):
            tensor = tensor.sum(axis=2, keepdims=True)
        if tensor.shape != wanted:
            raise ValueError(
                f"{weights.file}: {name!r} is {tensors[name].shape}, which gives "
                f"{tensor.shape} here; {path} is {wanted}; {way_out}, at "
                "baseline.width=1 and with model.in_channels=3 or 1"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(
                f"{weights.file}: {name!r} has values that are not finite; write the "
                "file again"
            )
        values[path] = tensor
    return unflatten_dict(values, sep="/")


def resnet_names(variables: Mapping[str, Any], backbone: str) -> dict[str, str]:
    """Tensors of torchvision's ResNet, and where each belongs, by the modules' names.

    `layer1_0/downsample_1` with its `scale` and `mean` is `layer1.0.downsample.1` with
    its `weight` and `running_mean`.

    Args:
      variables: of the network.
      backbone: name of the ResNet in it.
    """
    names = {}
    for path in flatten_dict(dict(variables), sep="/"):
        _, room, *modules, value = path.split("/")
        if room == backbone:
            module = ".".join(modules).replace("_", ".")
            names[f"{module}.{TENSORS[value]}"] = path
    return names


def _as_here(tensor: np.ndarray) -> np.ndarray:
    """Float32, and a kernel with its axes in the order of this package."""
    tensor = tensor.astype(np.float32)
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor


def _read(file: Path) -> dict[str, np.ndarray]:
    """All tensors but those of a classifier and counters, in the order of their names."""
    try:
        with safe_open(file, "numpy") as opened:
            names = sorted(opened.keys(), key=_natural)
            return {
                name: opened.get_tensor(name)
                for name in names
                if not name.startswith(CLASSIFIER) and not name.endswith(COUNTER)
            }
    except (OSError, SafetensorError, TypeError) as error:
        raise ValueError(
            f"baseline.weights={file} cannot be read ({error}); give a safetensors file "
            "of float32 or float16 in torchvision's names, or leave it empty"
        ) from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Order by which features.2 comes before features.10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")
    ]
