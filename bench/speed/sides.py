"""What `bench.speed.network` times, built: a callable, its compile time and its memory."""

import time

from bench import machine


def ours_side(args, kind, cfg, data):
    """Callable, compile seconds, MiB."""
    import jax

    from bench.speed import ours

    memory = machine.HostMemory()
    if kind == "train":
        side = ours.TrainStep(cfg, *data, steps=args.steps)
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
