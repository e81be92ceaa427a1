"""What a configuration amounts to, without data and without training."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax import anchors
from tqgd_jax.config import Config
from tqgd_jax.detector import Detector


def describe(config: Config, num_classes: int) -> dict[str, Any]:
    """Settings, size, work and memory of a run, as plain data.

    `gflops` is XLA's count for one image forward in training form with direct
    convolutions, a multiplication and an addition being two. `memory_mib` estimates a
    training step: parameters, their moving average, momentum and gradients, and the
    activations that the backward pass reads before XLA merges any of them.
    """
    if config.model.anchors not in ("auto", "kmeans"):
        # Refuse what training would refuse.
        anchors.choose(config.model, np.zeros((0, 2), np.float32), config.seed)
    size = config.data.image_size
    detector = Detector(config.model, num_classes)
    direct = Detector(config.model, num_classes, direct=True)
    variables = jax.eval_shape(
        lambda key: detector.init(
            key, jnp.zeros((1, 64, 64, config.model.in_channels)), train=False
        ),
        jax.random.key(0),
    )
    fused = jax.eval_shape(lambda v: detector.deployed(v)[1], variables)
    image = jax.ShapeDtypeStruct((1, size, size, config.model.in_channels), "float32")

    counted = jax.jit(partial(direct.apply, train=False)).lower(variables, image)
    cost = counted.cost_analysis() or {}

    batch = jax.ShapeDtypeStruct((config.data.batch_size, *image.shape[1:]), "float32")

    def residuals(v: Any, x: Any) -> Any:
        def run(params: Any) -> Any:
            return detector.apply(
                {**v, "params": params}, x, train=True, mutable=["batch_stats"]
            )

        return jax.vjp(run, v["params"], has_aux=False)[1]

    held = jax.eval_shape(residuals, variables, batch)
    parameters = _numbers(variables["params"])
    return {
        "config": dataclasses.asdict(config),
        "classes": num_classes,
        "parameters": parameters,
        "parameters_fused": _numbers(fused["params"]),
        "gflops": round(cost.get("flops", float("nan")) / 1e9, 3),
        "outputs": [list(x.shape) for x in counted.out_info],
        "memory_mib": round((_bytes(held) + 3 * 4 * parameters) / 2**20),
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
