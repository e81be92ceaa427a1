"""Our variables into PyTorch modules, by name."""

import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch import nn

NAMES = {"scale": "weight", "kernel": "weight", "mean": "running_mean"} | {
    "var": "running_var"
}


def as_torch(module, kernel):
    """A kernel in the order of the module's axes."""
    if isinstance(module, nn.ConvTranspose2d):
        return kernel.transpose(2, 3, 0, 1)
    if isinstance(module, nn.Conv2d):
        return kernel.transpose(3, 2, 0, 1)
    return kernel.T


def places(net, tree):
    """(name in PyTorch, array in its order) of each value of a tree like `params`."""
    modules = dict(net.named_modules())
    for path, value in flatten_dict(dict(tree)).items():
        *room, last = path
        module, value = modules[".".join(room)], np.asarray(value)
        if last == "kernel":
            if room[-1] == "fc1":  # ours reads bins first, PyTorch's channels first
                bins = value.reshape(7, 7, -1, value.shape[1])
                value = bins.transpose(2, 0, 1, 3).reshape(value.shape)
            value = as_torch(module, value)
        yield ".".join([*room, NAMES.get(last, last)]), value


def copy(net, variables):
    """All of them; refuses a value of either side that has no place in the other."""
    there = dict(net.state_dict(keep_vars=True))
    for tree in (variables["params"], variables["batch_stats"]):
        for name, value in places(net, tree):
            tensor = there.pop(name)
            if tensor.shape != value.shape:
                raise ValueError(
                    f"{name}: {value.shape} here, {tuple(tensor.shape)} there"
                )
            tensor.data.copy_(torch.from_numpy(np.array(value)))
    left = [name for name in there if not name.endswith("num_batches_tracked")]
    if left:
        raise ValueError(f"not in our variables: {left}")
