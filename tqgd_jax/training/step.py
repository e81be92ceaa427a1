"""One iteration as a pure function: augment, forward, loss, backward, SGD, EMA."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jaxtyping import Float

from tqgd_jax.augment import augment
from tqgd_jax.config import Config
from tqgd_jax.detector import Detector
from tqgd_jax.losses import detection_loss
from tqgd_jax.training.optim import Hyper, accumulation, ema_decay, sgd
from tqgd_jax.training.state import TrainState
from tqgd_jax.types import Batch

Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch, Hyper], tuple[TrainState, Metrics]]


def make_train_step(
    detector: Detector, config: Config, anchors: Float[Array, "l a 2"]
) -> Step:
    """The uncompiled step; `training.parallel` compiles it for one or many devices.

    With `detector.axis_name` it runs under pmap on one device's share of the batch and
    gives what the whole batch would give.

    Args:
      detector: in training form.
      config: of the run.
      anchors: px, per head.
    """
    axis = detector.axis_name
    strides = tuple(2**n for n in config.model.heads)
    waits = accumulation(config.optim, config.data.batch_size) > 1

    def step(
        state: TrainState, batch: Batch, hyper: Hyper
    ) -> tuple[TrainState, Metrics]:
        images = batch.index.shape[0]
        image, targets, counts = augment(
            jax.random.fold_in(jax.random.key(config.seed), state.step),
            batch,
            cfg=config.augment,
            data=config.data,
            channels=config.model.in_channels,
            first=0 if axis is None else lax.axis_index(axis) * images,
        )

        def objective(params: Any) -> tuple[Array, tuple[Metrics, Any]]:
            preds, mutated = detector.apply(
                {"params": params, "batch_stats": state.batch_stats},
                image,
                train=True,
                mutable=["batch_stats"],
            )
            loss, terms = detection_loss(
                preds,
                targets,
                anchors,
                strides,
                cfg=config.loss,
                num_classes=detector.num_classes,
                image_size=config.data.image_size,
                axis_name=axis,
            )
            return loss, (terms, mutated["batch_stats"])

        (loss, (terms, batch_stats)), grads = jax.value_and_grad(
            objective, has_aux=True
        )(state.params)
        if axis is not None:
            grads = lax.pmean(grads, axis)
            counts = lax.psum(counts, axis)
        metrics = {"loss": loss, **terms, "grad_norm": optax.tree.norm(grads), **counts}

        state = state._replace(step=state.step + 1, batch_stats=batch_stats)
        if not waits:
            return _update(state, grads, config, hyper), metrics
        grads = jax.tree.map(
            lambda total, g: jnp.where(hyper.reset, 0.0, total) + g, state.grads, grads
        )
        state = state._replace(grads=grads)
        return lax.cond(
            hyper.apply,
            lambda s: _update(s, grads, config, hyper)._replace(
                grads=optax.tree.zeros_like(grads)
            ),
            lambda s: s,
            state,
        ), metrics

    return step


def _update(state: TrainState, grads: Any, config: Config, hyper: Hyper) -> TrainState:
    """One optimiser step, then the moving average."""
    tx = sgd(config.optim, config.data.batch_size, hyper)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = ema_decay(config.optim, state.updates + 1)
    ema = jax.tree.map(
        lambda average, x: decay * average + (1 - decay) * x,
        state.ema,
        {"params": params, "batch_stats": state.batch_stats},
    )
    return state._replace(
        updates=state.updates + 1, params=params, opt_state=opt_state, ema=ema
    )
