"""Measured peak of matrix products, ours and PyTorch: `python -m bench.speed.peak`.

Square products of several sizes; the fastest call of the best size counts.
"""

import os
import time
from functools import partial
from importlib.util import find_spec

from bench import flags, tables

COLUMNS = {
    "who": ("who", "{}"),
    "precision": ("precision", "{}"),
    "side": ("best size", "{}"),
    "gflops_per_s": ("GFLOP/s", "{:.0f}"),
}
SIDES = {"cpu": (256, 1024, 2048), "gpu": (4096, 8192)}


def best_of(make, sides, seconds):
    """Side and GFLOP/s of the fastest call; leaves sizes out that would take too long.

    Args:
      make: side -> a product to call.
      sides: to try, increasing.
      seconds: of the calls of one size.
    """
    rates = {}
    for side in sides:
        if rates and 2 * side**3 / max(rates.values()) > 1e9 * seconds:
            break
        call = make(side)
        call()
        quickest, end = float("inf"), time.perf_counter() + seconds
        while quickest == float("inf") or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            quickest = min(quickest, time.perf_counter() - start)
        rates[side] = 2e-9 * side**3 / quickest
    side = max(rates, key=rates.get)
    return {"side": side, "gflops_per_s": rates[side]}


def with_jax(precision, side):
    """A product that waits for its result."""
    import jax
    import jax.numpy as jnp

    from tqgd_jax.nn.blocks import Mode

    mode = Mode(precision)
    a = jax.random.normal(jax.random.key(0), (side, side)).astype(jnp.dtype(mode.dtype))
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=mode.products))
    return lambda: jax.block_until_ready(product(a))


def with_torch(precision, side):
    """A product that waits for its result."""
    import torch

    from bench.torch import theirs

    theirs.set_precision(precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(side, side, device=theirs.device(), dtype=dtype)

    def call():
        a @ a
        theirs.wait()

    return call


def main(argv=None):
    """Prints GFLOP/s by library and precision."""
    parser = flags.parser(__doc__, precision="fp32,tf32,bf16", seconds=2, json=None)
    parser.add_argument("--sides", help="of the matrices, such as 512,1024")
    args = parser.parse_args(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    sides = [int(n) for n in args.sides.split(",")] if args.sides else SIDES[kind]
    makers = {"jax": with_jax}
    if find_spec("torch") is not None:
        makers["PyTorch"] = with_torch
    rows = []
    for who, make in makers.items():
        for precision in args.precision.split(","):
            if precision == "tf32" and kind == "cpu":
                continue  # the same as fp32
            row = {"who": who, "precision": precision}
            product = partial(make, precision)
            rows.append(tables.attempt(row, best_of, product, sides, args.seconds))
    tables.finish(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
