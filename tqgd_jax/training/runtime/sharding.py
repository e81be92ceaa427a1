"""Steps as one compiled program, on one device or many. Only this module knows which.

`jit` shards the batch over a mesh; the program is one, so batch norm and losses see the
whole batch. `pmap` runs the same step on each device's share; it is in maintenance mode
in JAX and kept for those who build on it.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tqgd_jax import heap
from tqgd_jax.config import Config
from tqgd_jax.training.optim import Hyper
from tqgd_jax.training.runtime.flat_state import Packed, packed, unpacked
from tqgd_jax.training.state import TrainState
from tqgd_jax.xla import compiler_options

AXIS = "data"
NO_MEMORY = ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "ALLOC_FAILED")
# Of a call that `train.steps_per_call=0` chooses. Not less for a short epoch: a program
# that depends on the number of images would be compiled anew for each fold.
STEPS_OF_A_CALL = 100


class OutOfMemory(RuntimeError):
    """A device has no memory left; the message names the settings that change it."""


def devices(config: Config) -> list[Any]:
    """The devices of a run.

    Raises:
      ValueError: fewer there are, or the batch does not divide by them.
    """
    available = jax.devices()
    wanted = config.train.devices or len(available)
    if wanted > len(available):
        raise ValueError(
            f"train.devices={wanted}, but JAX sees {len(available)}: {available}; "
            "0 means all that there are"
        )
    if config.data.batch_size % wanted:
        raise ValueError(
            f"data.batch_size={config.data.batch_size} does not divide by {wanted} "
            "devices; change it, or set train.devices to a divisor"
        )
    if jax.process_count() > 1 and (
        wanted < len(available) or config.train.parallel != "jit"
    ):
        raise ValueError(
            f"train.devices={wanted} and train.parallel={config.train.parallel}: "
            f"several processes use all of their devices (train.devices=0, here "
            f"{len(available)}) and train.parallel=jit"
        )
    return available[:wanted]


def axis_name(config: Config) -> str | None:
    """The name of the axis of devices inside a step; None where a step sees the batch."""
    return AXIS if config.train.parallel == "pmap" else None


def rows(config: Config) -> slice:
    """The rows of each batch that the devices of this process compute."""
    used = devices(config)
    own = [i for i, d in enumerate(used) if d.process_index == jax.process_index()]
    share = config.data.batch_size // len(used)
    assert own == list(range(own[0], own[-1] + 1)), used  # JAX lists them by process
    return slice(own[0] * share, (own[-1] + 1) * share)


def steps_per_call(config: Config, *, resident: bool) -> int:
    """Most steps that the device does without the host, see `Train.steps_per_call`."""
    if not resident:
        return 1
    if config.train.steps_per_call:
        return config.train.steps_per_call
    on_cpu = devices(config)[0].platform == "cpu"
    return 1 if on_cpu else STEPS_OF_A_CALL


class CompiledSteps:
    """Steps `(state, *constant, *inputs, hyper) -> (state, metrics)`, compiled once.

    It is a loop of up to `at_most` steps on the device, whose number is an argument: what
    a step computes is the same however many go before or after it in one call.

    The state that a step gets is packed (`runtime.flat_state`), see `place` and `one`.

    Every leaf of a step's inputs has the batch as its first axis, of which a process
    gives its `rows`; `constant` lies whole on every device.
    """

    def __init__(
        self,
        config: Config,
        step: Callable[..., Any],
        constant: tuple[Any, ...] = (),
        at_most: int = 1,
    ):
        """Compiles lazily, at the first call."""
        self.at_most = at_most
        self.devices = devices(config)
        self._config = config
        self._pmap = config.train.parallel == "pmap"
        self._several = jax.process_count() > 1
        # CPU devices that are several steps apart wait for each other for ever: those
        # that are ahead hold all threads.
        self._share_threads = len(self.devices) > 1 and (
            self.devices[0].platform == "cpu"
        )
        self._mesh = Mesh(np.array(self.devices), (AXIS,))
        self._whole = NamedSharding(self._mesh, PartitionSpec())
        self._split = NamedSharding(self._mesh, PartitionSpec(None, AXIS))
        self._trimmed = False
        loop = _loop(step)
        with self.memory():
            self._constant = self._copied(constant)
        if self._pmap:
            self._compiled = jax.pmap(
                loop,
                axis_name=AXIS,
                in_axes=(0, 0, 0, None, None),
                donate_argnums=(0,),
                devices=self.devices,
            )
        else:
            self._compiled = jax.jit(
                loop,
                donate_argnums=(0,),
                out_shardings=self._whole,
                compiler_options=compiler_options(),
            )

    def place(self, state: TrainState) -> TrainState:
        """A state of the host or of one device, copied to every device and packed."""
        return self._copied(packed(state))

    def _copied(self, tree: Any) -> Any:
        if self._several:
            host = jax.tree.map(np.asarray, tree)
            return jax.tree.map(
                lambda x: jax.make_array_from_callback(
                    x.shape, self._whole, x.__getitem__
                ),
                host,
            )
        if not self._pmap:
            return jax.device_put(tree, self._whole)
        n = len(self.devices)
        each = NamedSharding(self._mesh, PartitionSpec(AXIS))
        return jax.tree.map(
            lambda x: jax.device_put(
                np.broadcast_to(np.asarray(x)[None], (n, *np.shape(x))), each
            ),
            tree,
        )

    def one(self, tree: Any) -> Any:
        """One copy, of this process, of what is the same on every device.

        What is packed comes to the host, unpacked, and is waited for.
        """

        def whole(x: Any) -> bool:
            return isinstance(x, Packed)

        tree = jax.tree.map(
            lambda x: x[0] if self._pmap else x.addressable_data(0), tree
        )
        for x in jax.tree.leaves(tree, is_leaf=whole):
            if whole(x):
                jax.tree.map(lambda vector: vector.copy_to_host_async(), x)
        host = jax.tree.map(
            lambda x: jax.tree.map(np.array, x) if whole(x) else x, tree, is_leaf=whole
        )
        return unpacked(host)

    def __call__(
        self, state: TrainState, inputs: Sequence[tuple[Any, ...]], hyper: Hyper
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """As many steps as `inputs` has; `state` is given up.

        Args:
          state: placed.
          inputs: of each step, at most `at_most` of them; `rows` of the batch.
          hyper: rows of each of these steps.

        Returns:
          The state, and the metrics with a leading axis of `at_most`, of which the first
          `len(inputs)` are meant. They are not waited for, but on several CPU devices.

        Raises:
          OutOfMemory: of a device.
        """
        n = len(inputs)
        full = [*inputs, *[inputs[-1]] * (self.at_most - n)]
        stacked = jax.tree.map(
            lambda *x: x[0][None] if len(x) == 1 else np.stack(x), *full
        )
        rows = Hyper(*(np.resize(a, (self.at_most,)) for a in hyper))
        n = np.int32(n)
        with self.memory():
            if self._pmap:
                stacked = jax.tree.map(self._shares, stacked)
            elif self._several:
                stacked = jax.tree.map(self._own_share, stacked)
                rows, n = self._copied((rows, n))
            else:
                stacked = jax.device_put(stacked, self._split)
            state, metrics = self._compiled(state, self._constant, stacked, rows, n)
            if not self._trimmed:
                jax.block_until_ready(metrics)  # then scratch memory is free as well
                heap.trim()  # compiling takes more than the steps do
                self._trimmed = True
            if self._share_threads:
                jax.block_until_ready(metrics)
            return state, self.one(metrics)

    def _own_share(self, x: Any) -> jax.Array:
        """From the rows of this process to the batch on the devices of all."""
        shape = (x.shape[0], self._config.data.batch_size, *x.shape[2:])
        return jax.make_array_from_process_local_data(self._split, np.asarray(x), shape)

    def _shares(self, x: Any) -> Any:
        """From steps x batch to devices x steps x share of the batch."""
        k, b, n = *x.shape[:2], len(self.devices)
        return np.moveaxis(np.asarray(x).reshape(k, n, b // n, *x.shape[2:]), 1, 0)

    def memory(self) -> contextlib.AbstractContextManager[None]:
        """`memory` with the settings of the run."""
        return memory(_ways(self._config))


def _loop(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step`, `n` times, over inputs and hyper-parameters with an axis of steps."""
    step = jax.jit(step, inline=True)  # traced once for its shapes and for the loop

    def loop(
        state: TrainState, constant: Any, inputs: Any, hyper: Hyper, n: jax.Array
    ) -> tuple[TrainState, Any]:
        def one(state: TrainState, i: Any) -> tuple[TrainState, Any]:
            at, now = jax.tree.map(
                lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False),
                (inputs, hyper),
            )
            return step(state, *constant, *at, now)

        def body(i: Any, carried: tuple[TrainState, Any]) -> tuple[TrainState, Any]:
            state, metrics = one(carried[0], i)
            rows = jax.tree.map(lambda x, row: x.at[i].set(row), carried[1], metrics)
            return state, rows

        shapes = jax.eval_shape(one, state, 0)[1]
        k = hyper.lr.shape[0]
        rows = jax.tree.map(lambda x: jnp.zeros((k, *x.shape), x.dtype), shapes)
        return lax.fori_loop(0, n, body, (state, rows))

    return loop


@contextlib.contextmanager
def memory(ways: Sequence[str]) -> Iterator[None]:
    """Turns a device's refusal of memory into one that says what to change.

    A device may refuse only when its results are waited for.

    Args:
      ways: to need less.

    Raises:
      OutOfMemory: names them.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = str(error)
        if not any(word in reason for word in NO_MEMORY):
            raise
        raise OutOfMemory(
            "the device has no memory left. Change one of: "
            f"{'; '.join(ways)}. Nothing was changed by itself, and checkpoints are "
            f"whole. The device said: {reason.splitlines()[0]}"
        ) from error


def _ways(config: Config) -> list[str]:
    data, model = config.data, config.model
    ways = [
        f"a smaller data.batch_size ({data.batch_size} now; with "
        f"optim.nominal_batch={config.optim.nominal_batch or data.batch_size} the "
        "optimiser still sees as many images a step)",
        f"a smaller data.image_size ({data.image_size} now)",
        f"in an evaluation, a smaller eval.batch_size ({config.eval.batch_size} now)",
    ]
    if model.precision != "bf16":
        ways.append(f"model.precision=bf16 ({model.precision} now)")
    if data.placement == "resident":
        ways.append("data.placement=stream (the data set lies on the device now)")
    return [*ways, "train.devices for more devices"]
