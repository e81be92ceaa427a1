"""`stream` against `resident`, training end to end: `python -m bench.speed.placement`.

The steps of a run with everything in them (input, augmentation, forward,
loss, backward, update) through its `CompiledSteps`, without evaluation and checkpoints.
Both train the same bits.
"""

import os
import time

from bench import flags, machine, scans, tables

COLUMNS = tables.RUN | {
    "placement": ("placement", "{}"),
    "images_per_s": ("images/s", "{:.1f}"),
    "step_ms": ("ms a step", "{:.1f}"),
    "host_cores": ("host cores in use", "{:.2f}"),
    "first_s": ("first call s", "{:.1f}"),
    "steps": ("steps timed", "{}"),
    "steps_per_call": ("steps a call", "{}"),
}


def measure(cfg, source, seconds):
    """Steps for about that time, once the first call is done."""
    import jax

    from bench.speed.ours import Training

    call = Training(cfg, source)
    start = time.perf_counter()
    jax.block_until_ready(call())
    first, skipped = time.perf_counter() - start, call.done
    end = time.perf_counter() + seconds
    with machine.Host() as host:
        before = None
        while time.perf_counter() < end:
            now = call()
            if before is not None:  # as in training, one call is always on its way
                jax.block_until_ready(before)
            before = now
        jax.block_until_ready(now)
    steps = call.done - skipped
    return {
        "images_per_s": steps * cfg.data.batch_size / host.wall,
        "step_ms": 1e3 * host.wall / steps,
        "host_cores": host.cores,
        "first_s": first,
        "steps": steps,
        "steps_per_call": call.steps.at_most,
    }


def main(argv=None):
    """Prints a row for each placement."""
    args = flags.parser(
        __doc__, model="yolov5s", precision="fp32", size=640, batch=4,
        slices=scans.ORCASCORE, seconds=15, json=None,
    ).parse_args(argv)  # fmt: skip
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    source = scans.source(args.slices, args.size)
    rows = []
    for placement in ("resident", "stream"):
        row = {name: getattr(args, name) for name in tables.RUN}
        row["placement"] = placement
        cfg = scans.config(
            args.model, args.size, args.batch, args.precision, placement, epochs=10**4
        )
        rows.append(tables.attempt(row, measure, cfg, source, args.seconds))
    tables.finish(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
