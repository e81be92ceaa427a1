"""What folding saves: `python -m bench.speed.fused`. Both forms, in turns."""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

from tqgd_jax.config import Model
from tqgd_jax.detector import Detector
from tqgd_jax.nn.init import initial


def main() -> None:
    """Times one forward pass of both forms and prints medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_size", default="n")
    parser.add_argument("--stem", default="thr:snapshot")
    parser.add_argument("--size", type=int, default=256, help="image side, px")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()

    network = Detector(Model(size=args.model_size, stem=args.stem))
    image = jax.random.uniform(jax.random.key(0), (args.batch, args.size, args.size, 3))
    shapes = jax.eval_shape(
        lambda key, x: network.init(key, x, train=False), jax.random.key(0), image
    )
    variables = jax.tree.map(jnp.asarray, initial(shapes, 0))
    deployed, fused = network.deployed(variables)
    forms = {
        "training form": (
            jax.jit(lambda v, x: network.apply(v, x, train=False)),
            variables,
        ),
        "deployed": (jax.jit(lambda v, x: deployed.apply(v, x, train=False)), fused),
    }
    times: dict[str, list[float]] = {name: [] for name in forms}
    for i in range(args.rounds + 1):
        for name, (call, v) in forms.items():
            start = time.perf_counter()
            jax.block_until_ready(call(v, image))
            if i:  # the first compiles
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(t) for name, t in times.items()}
    for name, seconds in medians.items():
        print(f"{name:14} {1e3 * seconds:8.1f} ms, {args.batch / seconds:.1f} images/s")
    print(f"ratio          {medians['deployed'] / medians['training form']:8.2f}")


if __name__ == "__main__":
    main()
