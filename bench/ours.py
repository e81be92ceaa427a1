"""The package's side of the comparison: functions that do one step and wait for it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tqgd_jax.anchors import COCO
from tqgd_jax.config import Config
from tqgd_jax.detector import Detector
from tqgd_jax.losses import detection_loss
from tqgd_jax.training.optim import Hyper, ema_decay, sgd
from tqgd_jax.training.state import create
from tqgd_jax.types import Targets

HEADS = (3, 4, 5)


def config(name, size, image_size, batch, dtype):
    """The run that `bench.speed` times."""
    cfg = Config()
    cfg.model.size, cfg.model.dtype = size, dtype
    if name == "yolov5":
        cfg.model.stem, cfg.model.neck = "conv", ("pan",)
    cfg.data.image_size, cfg.data.batch_size = image_size, batch
    return cfg


def parameters(cfg):
    """Number of trainable values."""
    params = jax.eval_shape(lambda: create(Detector(cfg.model, 1), cfg)).params
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))


def train_step(cfg, images, boxes, valid, options=None):
    """Forward, assignment, loss, backward, SGD, EMA on images that are ready in [0, 1].

    `training.step` without its augmentation, which PyTorch would do in other processes.

    Returns:
      A function that does one step and returns the loss.
    """
    detector = Detector(cfg.model, 1)
    state = create(detector, cfg)
    anchors = jnp.array([COCO[n] for n in HEADS], jnp.float32)
    targets = Targets(
        jnp.asarray(boxes), jnp.zeros(valid.shape, jnp.int32), jnp.asarray(valid)
    )
    images = jnp.asarray(images)
    hyper = Hyper(
        lr=jnp.float32(1e-3),
        lr_bias=jnp.float32(1e-3),
        momentum=jnp.float32(0.937),
        apply=jnp.bool_(True),
        reset=jnp.bool_(False),
    )

    def step(state, images, targets):
        def objective(params):
            preds, mutated = detector.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            loss, _ = detection_loss(
                preds,
                targets,
                anchors,
                tuple(2**n for n in HEADS),
                cfg=cfg.loss,
                num_classes=1,
                image_size=cfg.data.image_size,
            )
            return loss, mutated["batch_stats"]

        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        tx = sgd(cfg.optim, cfg.data.batch_size, hyper)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = ema_decay(cfg.optim, state.updates + 1)
        ema = jax.tree.map(
            lambda a, x: decay * a + (1 - decay) * x,
            state.ema,
            {"params": params, "batch_stats": stats},
        )
        return state._replace(
            updates=state.updates + 1,
            params=params,
            batch_stats=stats,
            opt_state=opt_state,
            ema=ema,
        ), loss

    compiled = (
        jax.jit(step, donate_argnums=0, compiler_options=options)
        .lower(state, images, targets)
        .compile()
    )
    held = [state]

    def run():
        held[0], loss = compiled(held[0], images, targets)
        return float(loss)

    return run


def inference(cfg, images, options=None):
    """The fused network on one batch; returns a function that waits for its output."""
    detector = Detector(cfg.model, 1)
    state = create(detector, cfg)
    network, variables = detector.deployed(
        {"params": state.params, "batch_stats": state.batch_stats}
    )
    images = jnp.asarray(images)
    compiled = (
        jax.jit(lambda v, x: network.apply(v, x, train=False), compiler_options=options)
        .lower(variables, images)
        .compile()
    )
    return lambda: jax.block_until_ready(compiled(variables, images))
