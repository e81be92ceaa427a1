"""One iteration as a pure function: augment, forward, loss, backward, SGD, EMA."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jaxtyping import PRNGKeyArray

from tqgd_jax.augment import augment
from tqgd_jax.config import Config
from tqgd_jax.network import Network
from tqgd_jax.structures.batch import Batch, Views
from tqgd_jax.training.optim import Hyper, accumulation, ema_decay, optimiser
from tqgd_jax.training.runtime.flat_state import packed_like, unpacked
from tqgd_jax.training.runtime.sharding import axis_name
from tqgd_jax.training.state import TrainState

Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch, Hyper], tuple[TrainState, Metrics]]
Learn = Callable[[TrainState, Views, PRNGKeyArray, Hyper], tuple[TrainState, Metrics]]


def make_train_step(network: Network, config: Config, key: Array | None = None) -> Step:
    """The uncompiled step; `runtime.sharding` compiles it for one or many devices.

    With `config.train.parallel="pmap"` it runs on one device's share of the batch and
    gives what the whole batch would give, but for dropout.

    Args:
      network: of the run.
      config: of the run.
      key: of all that is random [from `config.seed`].
    """
    axis = axis_name(config)
    key = jax.random.key(config.seed) if key is None else key
    learn = make_learn(network, config)

    def step(
        state: TrainState, batch: Batch, hyper: Hyper
    ) -> tuple[TrainState, Metrics]:
        # Where the batch comes from must not decide how the rest is fused and rounded.
        batch = lax.optimization_barrier(batch)
        images = batch.index.shape[0]
        with jax.named_scope("augment"):
            key_of_step = jax.random.fold_in(key, state.step)
            views, counts = augment(
                key_of_step,
                batch,
                cfg=config.augment,
                data=config.data,
                channels=config.model.in_channels,
                num_classes=network.num_classes,
                first=0 if axis is None else lax.axis_index(axis) * images,
            )
        if axis is not None:
            counts = lax.psum(counts, axis)
        state, metrics = learn(state, views, key_of_step, hyper)
        return state, metrics | counts

    return step


def make_learn(network: Network, config: Config) -> Learn:
    """The step without augmentation: from images in [0, 1] and targets in network px.

    Of the state, `params` and all that go with it may be packed (`runtime.flat_state`).

    A loss or gradient that is not finite leaves the state as it was but for `step`;
    `skipped` in the metrics tells.
    """
    axis = axis_name(config)
    sums = accumulation(config.optim, config.data.batch_size)
    waits = sums > 1

    def learn(
        state: TrainState, views: Views, key: PRNGKeyArray, hyper: Hyper
    ) -> tuple[TrainState, Metrics]:
        def objective(params: Any) -> tuple[Array, tuple[Metrics, Any]]:
            variables = unpacked({"params": params, "batch_stats": state.batch_stats})
            raw, mutated = network.module.apply(
                variables,
                views.image,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key_of_dropout},
            )
            with jax.named_scope("loss"):
                loss, terms = network.loss(variables, raw, views, key_of_loss)
            return loss, (terms, mutated.get("batch_stats", {}))

        key_of_dropout, key_of_loss = (jax.random.fold_in(key, i) for i in (1, 2))
        if axis is not None:  # dropout alone is another than on one device
            key_of_dropout = jax.random.fold_in(key_of_dropout, lax.axis_index(axis))

        (loss, (terms, stats)), grads = jax.value_and_grad(objective, has_aux=True)(
            state.params
        )
        with jax.named_scope("optimiser"):
            if axis is not None:
                grads = lax.pmean(grads, axis)
            if waits and network.averages:
                grads = jax.tree.map(lambda g: g / sums, grads)
            norm = optax.tree.norm(grads)
            used = jnp.isfinite(loss) & jnp.isfinite(norm)
            metrics = {"loss": loss, **terms, "grad_norm": norm, "skipped": ~used}
            state = state._replace(step=state.step + 1)
            if waits:
                summed = jax.tree.map(
                    lambda total: jnp.where(hyper.reset, 0.0, total), state.grads
                )
                state = state._replace(grads=summed)
            seen = state._replace(batch_stats=packed_like(stats, state.batch_stats))
            learnt = _learnt(seen, grads, config, hyper, waits=waits)
            state = jax.tree.map(
                lambda new, old: jnp.where(used, new, old), learnt, state
            )
        return state, metrics

    return learn


def _learnt(
    state: TrainState, grads: Any, config: Config, hyper: Hyper, *, waits: bool
) -> TrainState:
    """The state after an update, or with the gradients of one more batch summed."""
    if not waits:
        return _update(state, grads, config, hyper)
    grads = jax.tree.map(jnp.add, state.grads, grads)
    return lax.cond(
        hyper.apply,
        lambda s: _update(s, grads, config, hyper)._replace(
            grads=optax.tree.zeros_like(grads)
        ),
        lambda s: s,
        state._replace(grads=grads),
    )


def _update(state: TrainState, grads: Any, config: Config, hyper: Hyper) -> TrainState:
    """One optimiser step, then the moving average."""
    tx = optimiser(config.optim, config.data.batch_size, hyper)
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
