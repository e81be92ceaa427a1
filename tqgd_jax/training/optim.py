"""SGD with momentum warm-up, or Adam, as optax transformations, and the schedule (§3.1).

The schedule is computed once on the host in float64 for the whole run, because when a
step is taken depends on all steps before it (YOLOv5's accumulation).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Bool, Float

from tqgd_jax.config import Optim
from tqgd_jax.structures.batch import Arr


class Hyper(NamedTuple):
    """What varies from iteration to iteration; one entry each in a plan.

    Attributes:
      lr: learning rate of kernels and batch-norm gains.
      lr_bias: learning rate of biases.
      momentum: of SGD.
      apply: whether the optimiser steps after this iteration.
      reset: whether summed gradients are dropped before it (a new epoch begins).
    """

    lr: Float[Arr, "*n"]
    lr_bias: Float[Arr, "*n"]
    momentum: Float[Arr, "*n"]
    apply: Bool[Arr, "*n"]
    reset: Bool[Arr, "*n"]

    def at(self, i: int | slice) -> "Hyper":
        """The entries of iteration `i`, or of several."""
        return Hyper(*(a[i] for a in self))


def nominal_batch(cfg: Optim, batch_size: int) -> int:
    """Images per optimiser step once the warm-up is over."""
    return cfg.nominal_batch or batch_size


def accumulation(cfg: Optim, batch_size: int) -> int:
    """Iterations per optimiser step once the warm-up is over."""
    return max(round(nominal_batch(cfg, batch_size) / batch_size), 1)


def plan(cfg: Optim, *, batch_size: int, epochs: int, steps_per_epoch: int) -> Hyper:
    """Learning rates, momentum and accumulation of every iteration of a run.

    The learning rate is constant inside an epoch. While the warm-up lasts, three epochs
    but at least 100 iterations, everything moves linearly with the iteration. YOLOv5
    v7.0's rule; docs/design/0006-recipe.md.
    """
    total = epochs * steps_per_epoch
    i = np.arange(total)
    epoch = i // steps_per_epoch
    warmup = max(round(cfg.warmup_epochs * steps_per_epoch), cfg.warmup_min_steps)

    end = cfg.lr_end / cfg.lr
    if cfg.schedule == "linear":
        factor = (1 - epoch / epochs) * (1 - end) + end
    elif cfg.schedule == "steps":
        factor = 0.1 ** sum(epoch >= share * epochs for share in cfg.drops)
    else:
        factor = (1 - np.cos(epoch * np.pi / epochs)) / 2 * (end - 1) + 1
    target = cfg.lr * factor

    ramp = np.minimum(i / warmup, 1.0) if warmup else np.ones(total)
    momentum = cfg.warmup_momentum + (cfg.momentum - cfg.warmup_momentum) * (
        ramp if cfg.warmup == "ramp" else (i > warmup)
    )
    nominal = nominal_batch(cfg, batch_size)
    wait = np.maximum(np.rint(1 + (nominal / batch_size - 1) * ramp), 1)

    apply = np.zeros(total, bool)
    last = -1
    for k in range(total):
        if k - last >= wait[k]:
            apply[k], last = True, k
    return Hyper(
        lr=(target * ramp).astype(np.float32),
        lr_bias=(cfg.warmup_bias_lr + (target - cfg.warmup_bias_lr) * ramp).astype(
            np.float32
        ),
        momentum=momentum.astype(np.float32),
        apply=apply,
        reset=i % steps_per_epoch == 0,
    )


def is_kernel(params: Any) -> Any:
    """True where weight decay applies: kernels, not biases or batch-norm gains."""
    return jax.tree.map_with_path(lambda path, _: _name(path) == "kernel", params)


def is_bias(params: Any) -> Any:
    """True for biases, of batch norms and of the head."""
    return jax.tree.map_with_path(
        lambda path, _: _name(path).startswith("bias"), params
    )


def is_learnt_weight(params: Any) -> Any:
    """True for all parameters but the weights of losses, which a decay would bias."""
    return jax.tree.map_with_path(lambda path, _: _name(path) != "uncertainty", params)


def optimiser(
    cfg: Optim, batch_size: int, hyper: Hyper
) -> optax.GradientTransformation:
    """Clip, decay, momentum, learning rate per group; `hyper` may be traced.

    The state does not depend on `hyper`, so the
    transformation can be made anew in every step. The decay is coupled (added to the
    gradient, also for Adam, which makes it no AdamW) and scaled to the images that a
    step really sums, as YOLOv5 does.
    """
    wait = accumulation(cfg, batch_size)
    decay = cfg.weight_decay * batch_size * wait / nominal_batch(cfg, batch_size)
    mask = is_kernel if cfg.decay == "kernels" else is_learnt_weight
    if cfg.method == "adam":
        direction = optax.scale_by_adam(cfg.momentum, cfg.beta2)
    else:
        direction = optax.trace(hyper.momentum, nesterov=cfg.nesterov)
    return optax.chain(
        optax.clip_by_global_norm(cfg.clip_norm),
        optax.add_decayed_weights(decay, mask=mask),
        direction,
        _scale_by_learning_rate(hyper),
    )


def _scale_by_learning_rate(hyper: Hyper) -> optax.GradientTransformation:
    def update(updates: Any, params: Any) -> Any:
        del params
        return jax.tree.map(
            lambda g, bias: -(hyper.lr_bias if bias else hyper.lr) * g,
            updates,
            is_bias(updates),
        )

    return optax.stateless(update)


def ema_decay(cfg: Optim, updates: Arr) -> Array:
    """Decay of the moving average at the `updates`-th optimiser step, from 1."""
    return cfg.ema_decay * (1 - jnp.exp(-updates.astype(jnp.float32) / cfg.ema_tau))


def _name(path: tuple[Any, ...]) -> str:
    return str(path[-1].key)
