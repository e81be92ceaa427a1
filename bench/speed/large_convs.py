"""Large kernels alone: `python -m bench.speed.large_convs [--sizes 640] [--batches 1 4]`.

Direct convolution (XLA), `fft_conv` and PyTorch (eager, channels-last) for the layers of
the ThrConvs blocks of size s, forward, gradient by the image, by the kernel; in one
process by turns. Processor time, over all cores, still tells something when other work
shares the machine; PyTorch's is left out, because its threads spin. `--depthwise` times
the kernel gradient of `thr:light` instead. Errors are of the largest magnitude, against
the same sums in float64.
"""

import argparse
import itertools
import os
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench import tables
from tqgd_jax.nn.blocks import same
from tqgd_jax.nn.conv import conv2d
from tqgd_jax.nn.fft_conv import fft_conv

WAYS = ("forward", "image", "kernel")
COLUMNS = {
    "layer": ("layer", "{}"),
    "batch": ("batch", "{}"),
    "way": ("way", "{}"),
    "direct": ("direct ms", "{:.0f}"),
    "fft": ("FFT ms", "{:.0f}"),
    "ratio": ("direct / FFT", "{:.1f}"),
    "direct_cpu": ("direct, processor ms", "{:.0f}"),
    "fft_cpu": ("FFT, processor ms", "{:.0f}"),
    "cpu_ratio": ("direct / FFT, processor", "{:.1f}"),
    "torch": ("PyTorch ms", "{:.0f}"),
    "torch_ratio": ("PyTorch / FFT", "{:.1f}"),
    "direct_error": ("error direct", "{:.1e}"),
    "fft_error": ("error FFT", "{:.1e}"),
}


def layers(image):
    """Side, channels, kernel of the distinct convolutions of both blocks."""
    return [(image // s, 16 * s, k) for s in (2, 4) for k in (8, 12)]


def direct(x, kernel, padding):
    """XLA's, in the form in which the package leaves a direct convolution."""
    return conv2d(x, kernel, padding=padding, direct=True)


def fft(x, kernel, padding):
    """Whatever the shapes, other than in `conv2d`."""
    return fft_conv(x, kernel, padding)


def program(convolution, padding, way):
    """Compiled: one output or one gradient."""

    def run(x, kernel, dy):
        y, pull = jax.vjp(lambda x, k: convolution(x, k, padding), x, kernel)
        return y if way == "forward" else pull(dy)[WAYS.index(way) - 1]

    return jax.jit(run)


def pytorch(x, kernel, dy, padding, threads):
    """Calls by way; `torch` is optional."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    x, dy = (torch.from_numpy(np.asarray(a)).permute(0, 3, 1, 2) for a in (x, dy))
    kernel = torch.from_numpy(np.asarray(kernel)).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)

    def backward(*mask):
        return torch.ops.aten.convolution_backward(
            dy, x, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1,
            [*mask, False],
        )  # fmt: skip

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, kernel),
        "image": lambda: backward(True, False),
        "kernel": lambda: backward(False, True),
    }


def sums(x, kernel, dy, padding):
    """Output and gradients in float64, by way."""
    padded = np.pad(np.float64(x), ((0, 0), *padding, (0, 0)))
    kernel, dy = np.float64(kernel), np.float64(dy)
    y, dk, dx = np.zeros(dy.shape), np.zeros(kernel.shape), np.zeros(padded.shape)
    for i, j in np.ndindex(*kernel.shape[:2]):
        here = np.s_[:, i : i + dy.shape[1], j : j + dy.shape[2]]
        y += padded[here] @ kernel[i, j]
        dk[i, j] = np.tensordot(padded[here], dy, ((0, 1, 2), (0, 1, 2)))
        dx[here] += dy @ kernel[i, j].T
    (top, _), (left, _) = padding
    dx = dx[:, top : top + x.shape[1], left : left + x.shape[2]]
    return dict(zip(WAYS, (y, dx, dk), strict=True))


def timed(functions, rounds):
    """Medians by name, ms: of the clock, and of the processor as `NAME_cpu`."""
    clocks = {"": time.perf_counter, "_cpu": time.process_time}
    found = {name + suffix: [] for name in functions for suffix in clocks}
    for _ in range(rounds):
        for name, call in functions.items():
            time.sleep(0.02)  # PyTorch's threads spin a while and would steal a core
            before = {suffix: clock() for suffix, clock in clocks.items()}
            call()
            for suffix, clock in clocks.items():
                found[name + suffix].append(1e3 * (clock() - before[suffix]))
    return {name: statistics.median(t) for name, t in found.items()}


def measure(side, channels, taps, batch, args):
    """Rows of one layer."""
    rng = np.random.default_rng(0)
    padding = (same(taps), same(taps))
    x, dy = rng.normal(size=(2, batch, side, side, channels)).astype(np.float32)
    bound = 1 / (taps * channels**0.5)
    kernel = rng.uniform(-bound, bound, (taps, taps, channels, channels))
    kernel = kernel.astype(np.float32)
    exact = sums(x, kernel, dy, padding) if args.errors else {}
    torches = pytorch(x, kernel, dy, padding, args.threads) if args.torch else {}
    data = [jnp.asarray(a) for a in (x, kernel, dy)]
    for way in WAYS:
        row = {"layer": f"{side}x{side} {channels}, {taps}x{taps}", "batch": batch}
        functions = {}
        for name, convolution in (("direct", direct), ("fft", fft)):
            f = program(convolution, padding, way)
            functions[name] = lambda f=f: jax.block_until_ready(f(*data))
            result = functions[name]()
            if args.errors:
                error = np.abs(np.float64(result) - exact[way]).max()
                row[f"{name}_error"] = error / np.abs(exact[way]).max()
        if way in torches:
            functions["torch"] = torches[way]
        row |= timed(functions, args.rounds)
        row |= {"way": way, "ratio": row["direct"] / row["fft"]}
        row["cpu_ratio"] = row["direct_cpu"] / row["fft_cpu"]
        if "torch" in row:
            row["torch_ratio"] = row["torch"] / row["fft"]
        yield row


def depthwise(side, channels, taps, batch, args):
    """The kernel gradient of a depthwise convolution: XLA's own, and ours."""
    rng = np.random.default_rng(0)
    padding = (same(taps), same(taps))
    x, dy = jnp.asarray(rng.normal(size=(2, batch, side, side, channels)), jnp.float32)
    kernel = jnp.zeros((taps, taps, 1, channels))

    def xla(x, kernel, padding):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
        )  # fmt: skip

    def ours(x, kernel, padding):
        return conv2d(x, kernel, padding=padding, groups=channels)

    functions = {}
    for name, convolution in (("direct", xla), ("fft", ours)):
        f = program(convolution, padding, "kernel")
        functions[name] = lambda f=f: jax.block_until_ready(f(x, kernel, dy))
    row = {"layer": f"{side}x{side} {channels}, {taps}x{taps}, depthwise"}
    row |= timed(functions, args.rounds)
    yield row | {"batch": batch, "way": "kernel", "ratio": row["direct"] / row["fft"]}


def main():
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[640], help="px")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--kernels", type=int, nargs="+", default=[8, 12])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--torch", action="store_true", help="PyTorch too")
    parser.add_argument("--errors", action="store_true", help="against float64 (slow)")
    parser.add_argument("--depthwise", action="store_true")
    args = parser.parse_args()
    each = depthwise if args.depthwise else measure
    rows = []
    for size, batch in itertools.product(args.sizes, args.batches):
        for layer in layers(size):
            if layer[2] in args.kernels:
                rows += each(*layer, batch, args)
                print(f"{size} px, batch {batch}: {layer} done", file=sys.stderr)
    columns = COLUMNS
    if args.depthwise:
        columns = columns | {"direct": ("XLA ms", "{:.0f}"), "fft": ("ours ms", "{:.0f}"),
                             "ratio": ("XLA / ours", "{:.1f}")}  # fmt: skip
    kept = {k: v for k, v in columns.items() if any(k in row for row in rows)}
    tables.finish(rows, kept)


if __name__ == "__main__":
    main()
