"""Weights for tests, drawn on the host: nothing is compiled."""

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.nn.init import initial


def shapes(module, *inputs, train=False):
    """Variables of a module as shapes."""
    return jax.eval_shape(
        lambda key, *x: module.init(key, *x, train=train), jax.random.key(0), *inputs
    )


def fresh(module, *inputs):
    """First values, as a run starts with."""
    return jax.tree.map(jnp.asarray, initial(shapes(module, *inputs), 0))


def used(module, *inputs):
    """With random batch-norm gains, biases, means and variances, as after training."""
    rng = np.random.default_rng(0)

    def draw(path, x):
        low, high = {"scale": (0.5, 2), "var": (0.2, 1.0)}.get(
            path[-1].key, (-0.5, 0.5)
        )
        if path[-1].key in ("scale", "var", "bias", "mean"):
            return jnp.asarray(rng.uniform(low, high, x.shape), jnp.float32)
        return x

    return jax.tree.map_with_path(draw, fresh(module, *inputs))
