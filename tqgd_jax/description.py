"""What a configuration amounts to, without data and without training."""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from tqgd_jax import anchors
from tqgd_jax.config import Config
from tqgd_jax.network import build, direct
from tqgd_jax.yolo import Yolo


def describe(config: Config, num_classes: int) -> dict[str, Any]:
    """Settings, size, work and memory of a run, as plain data.

    `gflops` is XLA's count for one image forward, a multiplication and an addition being
    two: of a detector in training form with direct convolutions, of another family all
    the way to its answer. `memory_mib` estimates a
    training step: parameters, their moving average, the optimiser's moments and gradients,
    and the activations that the backward pass reads before XLA merges any of them.
    """
    network = build(config, num_classes)
    module, variables = network.module, network.init(config.seed)
    counted_network = direct(network)
    used = variables
    if isinstance(network, Yolo):
        if config.model.anchors not in ("auto", "kmeans"):
            # Refuse what training would refuse.
            anchors.choose(config.model, np.zeros((0, 2), np.float32), config.seed)
        forward = partial(counted_network.module.apply, train=False)
        used = jax.eval_shape(lambda v: network.module.deployed(v)[1], variables)
    else:
        forward = counted_network.predict
    size = config.data.image_size
    image = jax.ShapeDtypeStruct((1, size, size, config.model.in_channels), "float32")

    counted = jax.jit(forward).lower(variables, image)
    cost = counted.cost_analysis() or {}

    batch = jax.ShapeDtypeStruct((config.data.batch_size, *image.shape[1:]), "float32")

    def residuals(v: Any, x: Any) -> Any:
        def run(params: Any) -> Any:
            return module.apply(
                {**v, "params": params},
                x,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(0)},
            )

        return jax.vjp(run, v["params"], has_aux=False)[1]

    held = jax.eval_shape(residuals, variables, batch)
    parameters = _numbers(variables["params"])
    # Beside the parameters, which the backward pass reads: average, gradient, momentum
    # and, of Adam, the second moment.
    copies = 4 if config.optim.method == "adam" else 3
    outputs = jax.tree.leaves(counted.out_info)
    return {
        "config": dataclasses.asdict(config),
        "classes": num_classes,
        "parameters": parameters,
        "parameters_fused": _numbers(used["params"]),
        "gflops": round(cost.get("flops", float("nan")) / 1e9, 3),
        "outputs": [list(x.shape) for x in outputs],
        "memory_mib": round((_bytes(held) + copies * 4 * parameters) / 2**20),
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
    }


def _numbers(tree: Any) -> int:
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree))


def _bytes(tree: Any) -> int:
    return sum(
        int(np.prod(x.shape)) * x.dtype.itemsize
        for x in jax.tree.leaves(tree)
        if hasattr(x, "dtype")
    )
