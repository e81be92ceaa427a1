"""The input pipeline alone: `python -m bench.speed.pipeline --size 640 --batch 4`.

Mosaic batches a second: those of `data.batches.stream` as they leave tf.data, the same
brought to the device and augmented there, and `resident.take` with augmentation, which
is all that placement "resident" does. Host use is processor seconds per second, of
this process and its children; where the device is the CPU, augmentation is in it.
"""

import itertools
import os
import time

from bench import flags, machine, scans, tables

COLUMNS = {
    "what": ("input", "{}"),
    "size": ("px", "{}"),
    "batch": ("batch", "{}"),
    "batches_per_s": ("mosaic batches/s", "{:.1f}"),
    "images_per_s": ("mosaics/s", "{:.1f}"),
    "host_cores": ("host cores in use", "{:.2f}"),
}


def rate(batches, seconds):
    """Batches a second and host use, once the first three have come."""
    for _ in itertools.islice(batches, 3):
        pass
    done, end = 0, time.perf_counter() + seconds
    with machine.Host() as host:
        for _ in batches:
            done += 1
            if time.perf_counter() > end:
                break
    return {"batches_per_s": done / host.wall, "host_cores": host.cores}


def augmented(cfg, prepare=lambda x: x):
    """A compiled function of (step, what a batch is made from), and its own wait."""
    import jax

    from tqgd_jax.augment import augment

    compiled = jax.jit(
        lambda step, made_from: augment(
            jax.random.fold_in(jax.random.key(cfg.seed), step),
            prepare(made_from),
            cfg=cfg.augment,
            data=cfg.data,
            channels=cfg.model.in_channels,
        )
    )
    return lambda step, made_from: jax.block_until_ready(compiled(step, made_from))


def streamed(cfg, source, seconds):
    """Rows of tf.data alone, and with the device's part."""
    import tensorflow  # noqa: F401  or its absence would show at the first batch

    from tqgd_jax.data.batches.stream import stream

    yield "stream, host", rate(stream(source, cfg, 0, 10**6), seconds)
    call = augmented(cfg)
    batches = (call(i, batch) for i, batch in enumerate(stream(source, cfg, 0, 10**6)))
    yield "stream, to the device, augmented", rate(batches, seconds)


def resident(cfg, source, seconds):
    """The row of data that lie on the device."""
    import jax

    from tqgd_jax.data.batches import order
    from tqgd_jax.data.batches import resident as placed

    data = jax.device_put(placed.arrays(source))
    call = augmented(cfg, lambda both: placed.take(*both))
    n = len(source.names)
    batches = (
        call(i, (data, order.indices(cfg.seed, n, cfg.data.batch_size, i, 4)))
        for i in itertools.count()
    )
    yield "resident, taken, augmented", rate(batches, seconds)


def main(argv=None):
    """Prints a row for each way."""
    args = flags.parser(
        __doc__, size=640, batch=4, slices=scans.ORCASCORE, seconds=6, json=None
    ).parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    source = scans.source(args.slices, args.size)
    cfg = scans.config("yolov5s", args.size, args.batch)
    common = {"size": args.size, "batch": args.batch}
    measured = list(resident(cfg, source, args.seconds))
    try:
        measured += streamed(cfg, source, args.seconds)
    except ImportError as error:
        measured.append(("stream", {"note": tables.why(error)}))
    rows = []
    for what, row in measured:
        if "batches_per_s" in row:
            row["images_per_s"] = row["batches_per_s"] * args.batch
        rows.append(common | {"what": what} | row)
    tables.finish(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
