"""Convolutions alone: `python -m bench.speed.convs --size 320 --batch 4`.

Every layer forward, its gradient by the image and by the kernel, in each of `--forms`,
in one process by turns; ratios are of medians, against the first form (PyTorch's is
eager, channels-last). `--layers thrconvs` are the large kernels of the ThrConvs blocks of
size s, `depthwise` those of `thr:light`. `--errors` gives the largest error of each form
as a share of the largest magnitude, against the same sums in float64. Needs an idle
machine: with other work on the cores PyTorch's threads wait for each other a scheduler's
slice at a time (8, 16, 24 ms), and the ratios mean nothing.
"""

import os
import sys
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench import flags, tables
from bench.timing import medians_ms
from tqgd_jax.nn.blocks import same
from tqgd_jax.nn.conv import conv2d
from tqgd_jax.nn.fft_conv import fft_conv

WAYS = ("forward", "image", "kernel")
LAYERS = ("yolov5s", "thrconvs", "depthwise")


def layers(which, size):
    """Side, channels in, out, kernel, stride, padding of a side, groups of each layer."""
    s = size // 2
    if which == "yolov5s":
        return [
            (size, 3, 32, 6, 2, (2, 2), 1),
            *((s >> i, 32 << i, 64 << i, 3, 2, (1, 1), 1) for i in range(4)),
            *((s >> (i + 1), 32 << i, 32 << i, 3, 1, (1, 1), 1) for i in range(4)),
            *((s >> (i + 1), 64 << i, 64 << i, 1, 1, (0, 0), 1) for i in range(4)),
        ]
    channels = {n: 16 * n for n in (2, 4)}  # at strides of the blocks
    return [
        (size // n, c, c, k, 1, same(k), c if which == "depthwise" else 1)
        for n, c in channels.items()
        for k in (8, 12)
    ]


def forms(layer):
    """Name -> function of images and kernel; `fft` where there is such a form."""
    _, _, _, _, stride, pad, groups = layer
    padding = (pad, pad)

    def xla(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
        )  # fmt: skip

    def ours(x, kernel, direct=False):
        return conv2d(
            x, kernel, stride=stride, padding=padding, groups=groups, direct=direct
        )

    named = {"lax": xla, "conv2d": ours, "direct": lambda x, k: ours(x, k, True)}
    if (stride, groups) == (1, 1):  # whatever the sizes, other than in `conv2d`
        named["fft"] = lambda x, k: fft_conv(x, k, padding)
    return named


def program(convolution, way):
    """Compiled: the output, or one gradient."""

    def run(x, kernel, dy):
        if way == "forward":
            return convolution(x, kernel)
        return jax.vjp(convolution, x, kernel)[1](dy)[WAYS.index(way) - 1]

    return jax.jit(run)


def pytorch(layer, x, kernel, dy, way):
    """A call of PyTorch's."""
    import torch

    _, _, _, _, stride, pad, groups = layer
    x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    x, dy = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in (x, dy))
    kernel = torch.from_numpy(kernel).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    if way == "forward":
        return lambda: torch.nn.functional.conv2d(
            x, kernel, stride=stride, groups=groups
        )
    return lambda: torch.ops.aten.convolution_backward(
        dy, x, kernel, None, [stride] * 2, [0, 0], [1, 1], False, [0, 0], groups,
        [way == "image", way == "kernel", False],
    )  # fmt: skip


def measure(layer, args):
    """A row for each way."""
    side, i, o, k, stride, _, groups = layer
    rng = np.random.default_rng(0)
    named = forms(layer)
    x = rng.normal(size=(args.batch, side, side, i)).astype(np.float32)
    bound = (i // groups * k * k) ** -0.5
    kernel = rng.uniform(-bound, bound, (k, k, i // groups, o)).astype(np.float32)
    shape = jax.eval_shape(named["lax"], x, kernel).shape
    dy = rng.normal(size=shape).astype(np.float32)
    data = [jnp.asarray(a) for a in (x, kernel, dy)]
    for way in WAYS:
        row = {"layer": f"{side}x{side} {i}->{o} k{k} s{stride} g{groups}", "way": way}
        if args.errors:
            with jax.enable_x64(True):
                exact = program(named["lax"], way)(*map(np.float64, (x, kernel, dy)))
            exact = np.asarray(exact)
        calls = {}
        for name in args.forms:
            if name == "torch":
                calls[name] = pytorch(layer, x, kernel, dy, way)
            elif name in named:
                run = program(named[name], way)
                calls[name] = lambda run=run: jax.block_until_ready(run(*data))
                if args.errors:
                    error = np.abs(np.float64(calls[name]()) - exact).max()
                    row[f"{name}_error"] = error / np.abs(exact).max()
        row |= medians_ms(calls, args.rounds)
        ratios = {f"{name}_ratio": row[name] / row[args.forms[0]] for name in calls}
        yield row | ratios


def main(argv=None):
    """Prints a Markdown table."""
    parser = flags.parser(
        __doc__, size=320, batch=4, rounds=5, threads=os.cpu_count(), json=None
    )
    parser.add_argument("--layers", choices=LAYERS, default=LAYERS[0])
    parser.add_argument(
        "--forms", default="torch,lax,conv2d", help="of torch, lax, conv2d, direct, fft"
    )
    parser.add_argument("--errors", action="store_true", help="against float64 (slow)")
    args = parser.parse_args(argv)
    args.forms = args.forms.split(",")
    if "torch" in args.forms:
        if find_spec("torch") is None:
            print("PyTorch is not installed: ours alone")
            args.forms.remove("torch")
        else:
            import torch

            torch.set_num_threads(args.threads)
    rows = []
    for layer in layers(args.layers, args.size):
        rows += measure(layer, args)
        print(f"{rows[-1]['layer']} done", file=sys.stderr)
    columns = {"layer": ("layer", "{}"), "way": ("way", "{}")}
    columns |= {name: (f"{name} ms", "{:.2f}") for name in args.forms}
    for name in args.forms[1:]:
        columns[f"{name}_ratio"] = (f"{name} / {args.forms[0]}", "{:.2f}")
    if args.errors:
        columns |= {f"{n}_error": (f"error {n}", "{:.1e}") for n in args.forms}
        columns.pop("torch_error", None)
    tables.finish(rows, columns, args.json)


if __name__ == "__main__":
    main()
