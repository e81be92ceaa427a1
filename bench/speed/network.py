"""Beside PyTorch: `python -m bench.speed.network --model yolov5s --size 320 --batch 4`.

Training step (forward, assignment, loss, backward, clipping, SGD with Nesterov momentum,
EMA; no augmentation: the same images lie on the device) and inference with everything
folded (no letterbox, no NMS). Both libraries run in one process and take turns, so that
a noisy machine is equally noisy for both: a round is one warm-up and `--repeats` timed
calls of each. On a GPU a call of the training step is several steps between two looks
of the host, for both. Ratios are of medians, time ours / time PyTorch: below 1, ours is
faster. Ours is `training.step.make_learn` in `runtime.sharding.CompiledSteps`, and
`Detector.deployed`; compile time is that of tracing and compiling, of PyTorch the first
call less a usual one.
"""

import gc
import os
import statistics
import time
from functools import partial
from importlib.util import find_spec

import numpy as np

from bench import flags, machine, scans, tables
from bench.timing import interleave

# A median this far above the fastest call: others used the cores. PyTorch then waits
# for its threads and slows down more than ours, so the ratio flatters us.
DISTURBED = 1.25
COUNTS = {"yolov5s": 7_022_326, "tqgdnets": 14_399_798}  # specification, table I
COLUMNS = tables.RUN | {
    "kind": ("what", "{}"),
    "who": ("who", "{}"),
    "median_ms": ("ms a step", "{:.1f}"),
    "fastest_ms": ("fastest", "{:.1f}"),
    "images_per_s": ("images/s", "{:.1f}"),
    "ratio": ("time / PyTorch eager", "{:.2f}"),
    "ratio_best": ("/ fastest PyTorch", "{:.2f}"),
    "gflops_per_s": ("nominal GFLOP/s", "{:.0f}"),
    "share": ("of peak", "{:.0%}"),
    "memory_mib": ("peak MiB", "{:.0f}"),
    "compile_s": ("compile s", "{:.1f}"),
}
EAGER = {"PyTorch": False, "PyTorch channels-last": True}


def arguments(argv=None):
    """The command line."""
    parser = flags.parser(
        __doc__, model="yolov5s", size=320, batch=4, precision="fp32",
        threads=len(os.sched_getaffinity(0)), rounds=6, seconds=60, json=None,
    )  # fmt: skip
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--infer", action="store_true", help="(default: both)")
    parser.add_argument("--repeats", type=int, default=2, help="calls in a round")
    parser.add_argument(
        "--steps", type=int, default=0, help="of a training call; 0: 10 on a GPU, 1"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument(
        "--sides", default="both", help="ours, torch, both: alone where memory is short"
    )
    args = parser.parse_args(argv)
    if not (args.train or args.infer):
        args.train = args.infer = True
    return args


def batch_of(size, images):
    """Images in [0, 1] and 8 boxes each, 8 to 60 px."""
    rng = np.random.default_rng(0)
    centre = rng.uniform(0.1, 0.9, (images, 8, 2)) * size
    wh = rng.uniform(8, 60, (images, 8, 2))
    boxes = np.concatenate([centre - wh / 2, centre + wh / 2], -1).clip(0, size)
    pixels = rng.random((images, size, size, 3), np.float32)
    return pixels, boxes.astype(np.float32), np.ones((images, 8), bool)


def check(args, cfg):
    """Refuses graphs of different size."""
    from bench.speed import ours

    counts = {ours.parameters(cfg), COUNTS.get(args.model, ours.parameters(cfg))}
    if args.sides != "ours":
        from bench.torch import theirs

        counts.add(theirs.parameters(args.model))
    if len(counts) != 1:
        raise SystemExit(f"not the same graph: {counts} parameters")


def our_side(args, kind, cfg, data):
    """Callable, compile seconds, MiB."""
    import jax

    from bench.speed import ours

    memory = machine.HostMemory()
    if kind == "train":
        side = ours.TrainStep(cfg, ours.views_of(*data), args.steps)
    else:
        side = ours.Inference(cfg, data[0])
    if jax.default_backend() != "cpu":
        return side, side.compile_s, ours.device_mib(side.executable)
    memory.reset()
    side()
    return side, side.compile_s, memory.peak()


def torch_side(args, kind, data, last, compiled):
    """Callable, seconds of the first call less a usual one, MiB."""
    import torch

    from bench.torch import theirs

    theirs.set_precision(args.precision)
    how = {"precision": args.precision, "last": last, "compiled": compiled}
    memory, on_gpu = machine.HostMemory(), torch.cuda.is_available()
    before = torch.cuda.memory_allocated() if on_gpu else 0
    net = theirs.network(args.model, last)
    if kind == "train":
        side = theirs.TrainStep(net, *data, steps=args.steps, **how)
    else:
        side = theirs.Inference(net, data[0], **how)
    memory.reset()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    side()
    first = max(side.first_s - (time.perf_counter() - start), 0.0)
    if on_gpu:
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    else:
        peak = memory.peak()
    return side, first if compiled else None, peak


def measure(args, kind):
    """The rows of one kind, `train` or `infer`."""
    from bench.speed import ours

    cfg = scans.config(args.model, args.size, args.batch, args.precision)
    data = batch_of(args.size, args.batch)
    makers = {}
    if args.sides != "torch":
        makers["ours"] = partial(our_side, args, kind, cfg, data)
    if args.sides != "ours":
        for name, last in EAGER.items():
            makers[name] = partial(torch_side, args, kind, data, last, False)
        if args.compile:
            makers["torch.compile"] = partial(torch_side, args, kind, data, True, True)
    built, notes = {}, {}
    for name, make in makers.items():
        try:
            built[name] = make()
        except Exception as error:  # one that fails is a row that says so
            notes[name] = tables.why(error)
            gc.collect()
    calls = {name: side for name, (side, _, _) in built.items()}
    times = interleave(calls, args.rounds, args.repeats, args.seconds)
    per = args.steps if kind == "train" else 1
    medians = {name: statistics.median(t) / per for name, t in times.items()}
    eager = min((medians[n] for n in EAGER if n in medians), default=None)
    best = min((m for n, m in medians.items() if n != "ours"), default=None)
    work = ours.nominal_gflops(cfg) * args.batch * (3 if kind == "train" else 1)
    rows = []
    for name in makers:
        row = {key: getattr(args, key) for key in tables.RUN}
        row |= {"kind": kind, "who": name}
        if name in notes:
            rows.append(row | {"note": notes[name]})
            continue
        median, fastest = medians[name], min(times[name]) / per
        disturbed = median > DISTURBED * fastest
        row |= {
            "median_ms": 1e3 * median,
            "fastest_ms": 1e3 * fastest,
            "calls": len(times[name]),
            "steps_per_call": per,
            "images_per_s": args.batch / median,
            "ratio": median / eager if eager else None,
            "ratio_best": median / best if best else None,
            "gflops_per_s": work / median,
            "compile_s": built[name][1],
            "memory_mib": built[name][2],
            "disturbed": disturbed,
            "note": "**disturbed by other work**" if disturbed else None,
        }
        rows.append(row)
    return rows


def main(argv=None):
    """Checks that both are the same graph, times, prints."""
    args = arguments(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch is here
    os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # honest compile_s
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    if args.sides == "both" and find_spec("torch") is None:
        print("PyTorch is not installed: ours alone")
        args.sides = "ours"
    if args.sides != "ours":
        import torch

        torch.set_num_threads(args.threads)
    if not args.steps:
        args.steps = 1 if jax.default_backend() == "cpu" else 10
    check(args, scans.config(args.model, args.size, args.batch, args.precision))
    rows = []
    for kind in ("train", "infer"):
        if getattr(args, kind):
            rows += measure(args, kind)
            gc.collect()
            if args.json:
                tables.write(args.json, rows)  # what is done is safe
    tables.finish(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
