"""The package's side of the comparison: its own step and network, compiled and held."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from tqgd_jax import anchors
from tqgd_jax.network import build
from tqgd_jax.nn.blocks import Conv
from tqgd_jax.structures.batch import Targets, Views
from tqgd_jax.training.inputs import Inputs
from tqgd_jax.training.optim import Hyper
from tqgd_jax.training.plan import make_plan
from tqgd_jax.training.runtime.sharding import CompiledSteps
from tqgd_jax.training.state import create
from tqgd_jax.training.step import make_learn
from tqgd_jax.xla import compiler_options


def parameters(cfg):
    """Number of trainable values."""
    params = jax.eval_shape(lambda: create(build(cfg, 1), cfg)).params
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))


def nominal_gflops(cfg):
    """Of one image forward: 2 x products of all direct convolutions, padding included.

    Counted from shapes, not asked of XLA: what a convolution is computed by (1x1 as a
    matrix product, large kernels by FFT) does not change it. A training step counts as
    three times that.
    """
    count = []

    def each(call, args, kwargs, context):
        out = call(*args, **kwargs)
        if isinstance(context.module, Conv):
            k, i = context.module.kernel, args[0].shape[-1] // context.module.groups
            count.append(2 * out.size * k * k * i)
        return out

    size = cfg.data.image_size
    image = jax.ShapeDtypeStruct((1, size, size, cfg.model.in_channels), "float32")
    with nn.intercept_methods(each):
        jax.eval_shape(
            lambda x: build(cfg, 1).module.init(jax.random.key(0), x, train=False),
            image,
        )
    return sum(count) / 1e9


def boxes_of(cfg):
    """Anchors of the heads, px."""
    return anchors.choose(cfg.model, np.zeros((0, 2), np.float32), cfg.seed).boxes


def views_of(images, boxes, valid):
    """A batch of one class: images in [0, 1], NHWC; padded x0, y0, x1, y1 in px."""
    return Views(images, Targets(boxes, np.zeros(valid.shape, np.int32), valid))


class Compilation:
    """Compiles a `CompiledSteps` ahead of its first call, to time it and to look into it.

    Attributes:
      seconds: tracing, lowering and compiling.
      executable: JAX's, with `as_text` and `memory_analysis`.
    """

    def __init__(self, program):
        """The program then runs what was compiled here; nothing is compiled twice."""
        self.program, self._jitted = program, program._compiled
        program._compiled = self._first

    def _first(self, *args):
        start = time.perf_counter()
        self.executable = self._jitted.lower(*args).compile()
        self.seconds = time.perf_counter() - start
        self.program._compiled = self.executable
        return self.executable(*args)


class TrainStep:
    """`step.make_learn` in the loop of `CompiledSteps`: all but the augmentation."""

    def __init__(self, cfg, views, steps=1, network=None):
        """Puts state and images on the device and compiles.

        Args:
          cfg: of the run.
          views: see `views_of`.
          steps: of one call.
          network: whose loss it is [that of `cfg`].
        """
        if network is None:
            network = build(cfg, 1, jnp.asarray(boxes_of(cfg)))
        learn = make_learn(network, cfg)

        def step(state, views, row, hyper):
            # Nothing of the images may be prepared once for all steps of the loop.
            views, _ = lax.optimization_barrier((views, row))
            return learn(state, views, jax.random.key(0), hyper)

        program = CompiledSteps(cfg, step, constant=(views,), at_most=steps)
        self._inputs = [(np.arange(len(views.image), dtype=np.int32),)] * steps
        on, off = np.ones(steps, bool), np.zeros(steps, bool)
        rate = np.full(steps, 1e-3, np.float32)
        momentum = np.full(steps, 0.937, np.float32)
        self._hyper = Hyper(rate, rate, momentum, on, off)
        self._state = program.place(create(network, cfg))
        self._program, self._compilation = program, Compilation(program)
        self.metrics = self()
        self.compile_s = self._compilation.seconds
        self.executable = self._compilation.executable

    def __call__(self):
        """The steps of a call; waits and returns the metrics of the last."""
        self._state, metrics = self._program(self._state, self._inputs, self._hyper)
        return {k: float(v[-1]) for k, v in metrics.items()}


class Training:
    """The compiled steps of a run with everything in them, as `training.train` has them.

    Attributes:
      steps: `CompiledSteps`.
      done: steps done.
    """

    def __init__(self, cfg, source):
        """Puts state and images on the device; compiles at the first call."""
        self._plan = make_plan(cfg, source, validates=False)
        inputs = Inputs(cfg, source, self._plan)
        self.steps = CompiledSteps(cfg, inputs.step, inputs.constant, inputs.at_most)
        self._state = self.steps.place(create(build(cfg, len(source.classes)), cfg))
        self._inputs, self.done = inputs.start(0), 0

    def __call__(self):
        """As many steps as a call may do; returns metrics that may still be computed."""
        n = self.steps.at_most
        self._state, metrics = self.steps(
            self._state,
            list(itertools.islice(self._inputs, n)),
            self._plan.schedule.at(slice(self.done, self.done + n)),
        )
        self.done += n
        return metrics


class Inference:
    """The deployed network on one batch, without letterbox, decoding and NMS."""

    def __init__(self, cfg, images):
        """Folds, compiles, runs once."""
        state = create(build(cfg, 1), cfg)
        network, variables = build(cfg, 1).module.deployed(
            {"params": state.params, "batch_stats": state.batch_stats}
        )
        self._args = jax.device_put((variables, images))
        start = time.perf_counter()
        self.executable = (
            jax.jit(
                lambda v, x: network.apply(v, x, train=False),
                compiler_options=compiler_options(),
            )
            .lower(*self._args)
            .compile()
        )
        self.compile_s = time.perf_counter() - start
        self()

    def __call__(self):
        """Waits for the raw predictions."""
        return jax.block_until_ready(self.executable(*self._args))


def device_mib(executable):
    """Most that a call holds on the device by XLA's plan: arguments, results, scratch."""
    plan = executable.memory_analysis()
    if plan is None:
        return None
    held = plan.argument_size_in_bytes + plan.output_size_in_bytes
    return (held - plan.alias_size_in_bytes + plan.temp_size_in_bytes) / 2**20
