"""Convolutions of YOLOv5s alone: `python -m bench.speed.convs [--size 320] [--batch 4]`.

Time of `lax.conv_general_dilated` and of `conv2d` as a share of PyTorch's (eager,
channels-last), in one process by turns; forward, gradient by the image, by the kernel.
Needs an idle machine: with other work on the cores PyTorch's threads wait for each
other a scheduler's slice at a time (8, 16, 24 ms), and the shares mean nothing.
"""

import argparse
import os
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax

from bench.speed.network import interleave
from tqgd_jax.nn.conv import conv2d


def shapes(size):
    """Height, channels in, out, kernel, stride, padding, groups of some layers."""
    s = size // 2
    return [
        (size, 3, 32, 6, 2, (2, 2), 1),
        *((s >> i, 32 << i, 64 << i, 3, 2, (1, 1), 1) for i in range(4)),
        *((s >> (i + 1), 32 << i, 32 << i, 3, 1, (1, 1), 1) for i in range(4)),
        *((s >> (i + 1), 64 << i, 64 << i, 1, 1, (0, 0), 1) for i in range(4)),
        (s, 32, 32, 8, 1, (3, 4), 1),
        (s // 2, 64, 64, 12, 1, (6, 5), 1),
        (s, 32, 32, 8, 1, (3, 4), 32),
        (s // 2, 64, 64, 12, 1, (6, 5), 64),
    ]


def times(shape, batch, rounds):
    """Median milliseconds by direction and implementation."""
    h, i, o, k, stride, pad, groups = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, h, h, i)).astype(np.float32)
    kernel = rng.normal(size=(k, k, i // groups, o)).astype(np.float32)

    def plain(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), (pad, pad),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
        )  # fmt: skip

    def ours(x, kernel):
        return conv2d(x, kernel, stride=stride, padding=(pad, pad), groups=groups)

    dy = rng.normal(size=jax.eval_shape(plain, x, kernel).shape).astype(np.float32)
    jx, jk, jd = map(jnp.asarray, (x, kernel, dy))
    last = torch.channels_last
    tx = torch.from_numpy(np.pad(x, ((0, 0), pad, pad, (0, 0)))).permute(0, 3, 1, 2)
    tk = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous(memory_format=last)
    td = torch.from_numpy(dy).permute(0, 3, 1, 2)

    def backward(*mask):
        return torch.ops.aten.convolution_backward(
            td, tx, tk, None, [stride] * 2, [0, 0], [1, 1], False, [0, 0], groups,
            [*mask, False],
        )  # fmt: skip

    def waiting(f, *args):
        f = jax.jit(f)
        return lambda: jax.block_until_ready(f(*args))

    result = {}
    for way in ("forward", "image", "kernel"):
        functions = {
            "torch": {
                "forward": lambda: torch.nn.functional.conv2d(
                    tx, tk, stride=stride, groups=groups
                ),
                "image": lambda: backward(True, False),
                "kernel": lambda: backward(False, True),
            }[way]
        }
        for name, f in {"lax": plain, "conv2d": ours}.items():
            if way == "forward":
                functions[name] = waiting(f, jx, jk)
            else:
                at = 0 if way == "image" else 1
                functions[name] = waiting(
                    lambda x, k, d, f=f, at=at: jax.vjp(f, x, k)[1](d)[at], jx, jk, jd
                )
        seconds = interleave(functions, rounds, 2)
        result[way] = {n: 1e3 * statistics.median(t) for n, t in seconds.items()}
    return result


def main():
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| layer | way | torch ms | lax / torch | conv2d / torch |")
    print("|---|---|---|---|---|")
    for shape in shapes(args.size):
        h, i, o, k, stride, _, groups = shape
        for way, t in times(shape, args.batch, args.rounds).items():
            print(
                f"| {h}x{h} {i}->{o} k{k} s{stride} g{groups} | {way} | "
                f"{t['torch']:.2f} | {t['lax'] / t['torch']:.2f} | "
                f"{t['conv2d'] / t['torch']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
