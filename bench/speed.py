"""Ours beside PyTorch on this machine: `python -m bench.speed --model yolov5s --train`.

Both run in one process and take turns, so that a noisy machine is equally noisy for
both; a round is one warm-up and `--repeats` timed calls of each. The ratio of medians
is time ours / time PyTorch: below 1, ours is faster. PyTorch runs in both memory
formats and the faster one counts. Steps have no augmentation: images are ready on the
device. Two numbers are not comparable between runs, only within one.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version

import numpy as np

# XLA 0.10's CPU backend without YNNPACK's convolutions, which run on one core for most
# of our shapes; products and sums stay with it.
EIGEN = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    )
}
# A median this far above the fastest call: others used the cores. PyTorch then waits
# for its threads and slows down more than ours, so the ratio flatters us.
DISTURBED = 1.25
COUNTS = {"yolov5s": 7_022_326, "tqgdnets": 14_399_798}  # specification, table I


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="yolov5s", help="yolov5 or tqgdnet, n s m l")
    parser.add_argument("--size", type=int, default=320, help="image side, px")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--infer", action="store_true", help="(default: both)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=8, help="rounds")
    parser.add_argument("--repeats", type=int, default=2, help="calls in a round")
    parser.add_argument("--amp", action="store_true", help="bfloat16 in both")
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument("--eigen", action="store_true", help="ours without YNNPACK too")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args(argv)
    if not (args.train or args.infer):
        args.train = args.infer = True
    return args


def batch(size, images):
    """Images in [0, 1] and 8 boxes each, 8 to 60 px."""
    rng = np.random.default_rng(0)
    centre = rng.uniform(0.1, 0.9, (images, 8, 2)) * size
    wh = rng.uniform(8, 60, (images, 8, 2))
    boxes = np.concatenate([centre - wh / 2, centre + wh / 2], -1).clip(0, size)
    valid = np.ones((images, 8), bool)
    return (
        rng.random((images, size, size, 3), np.float32),
        boxes.astype(np.float32),
        valid,
    )


def interleave(functions, rounds, repeats):
    """Seconds of every timed call, by name."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, call in functions.items():
            time.sleep(0.02)  # PyTorch's threads spin a while and would steal a core
            call()
            for _ in range(repeats):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return times


def main(argv=None):
    """Builds both, checks that they are the same graph, times, prints."""
    args = arguments(argv)
    import jax
    import torch

    from bench import ours, theirs
    from bench.torch_model import build

    torch.set_num_threads(args.threads)
    name, size = args.model[:-1], args.model[-1]
    cfg = ours.config(
        name, size, args.size, args.batch, "bfloat16" if args.amp else "float32"
    )
    counts = (
        ours.parameters(cfg),
        sum(p.numel() for p in build(name, size).parameters()),
    )
    if counts[0] != counts[1] or COUNTS.get(args.model, counts[0]) != counts[0]:
        raise SystemExit(f"not the same graph: {counts[0]} and {counts[1]} parameters")

    images, boxes, valid = batch(args.size, args.batch)
    results = {
        "command": "python -m bench.speed " + " ".join(sys.argv[1:]),
        "device": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
        "cpu": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "torch_device": str(theirs.device()),
        "threads": args.threads,
        "versions": {m: version(m) for m in ("jax", "jaxlib", "flax", "torch")},
        "model": args.model,
        "parameters": counts[0],
        "image_size": args.size,
        "batch": args.batch,
        "amp": args.amp,
    }
    for kind in ("train", "infer"):
        if not getattr(args, kind):
            continue
        functions, compile_seconds = {}, {}
        for label, options in {"ours": None, "ours, Eigen": EIGEN}.items():
            if label == "ours" or args.eigen:
                start = time.perf_counter()
                functions[label] = (
                    ours.train_step(cfg, images, boxes, valid, options)
                    if kind == "train"
                    else ours.inference(cfg, images, options)
                )
                compile_seconds[label] = time.perf_counter() - start
        eager = {"torch": (False, False), "torch, channels-last": (True, False)}
        if args.compile:
            eager["torch.compile, channels-last"] = (True, True)
        for label, (last, compiled) in eager.items():
            how = {"last": last, "amp": args.amp, "compiled": compiled}
            functions[label] = (
                theirs.train_step(name, size, images, boxes, valid, **how)
                if kind == "train"
                else theirs.inference(name, size, images, **how)
            )
        for call in functions.values():
            call()
        times = interleave(functions, args.steps, args.repeats)
        medians = {label: statistics.median(t) for label, t in times.items()}
        best = min(medians[k] for k in ("torch", "torch, channels-last"))
        quickest = min(min(times[k]) for k in ("torch", "torch, channels-last"))
        results[kind] = {
            label: {
                "median_s": median,
                "fastest_s": min(times[label]),
                "images_per_s": args.batch / median,
                "ratio": median / best,
                "ratio_fastest": min(times[label]) / quickest,
                "disturbed": median > DISTURBED * min(times[label]),
                "compile_s": compile_seconds.get(label),
            }
            for label, median in medians.items()
        }
    report(results)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)


def report(results):
    """Prints a Markdown table with where and how it was measured."""
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    print(f"\n`{results['command']}`\n")
    print(f"{results['model']}, {results['parameters']:,} parameters, "
          f"{results['image_size']} px, batch {results['batch']}, "
          f"{'bfloat16' if results['amp'] else 'float32'}; "
          f"{', '.join(results['device'])} ({results['cpu']}, {results['threads']} "
          f"threads), PyTorch on {results['torch_device']}; {versions}\n")  # fmt: skip
    print(
        "| | what | median ms | fastest ms | images/s | time / PyTorch eager | "
        "of the fastest |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in ("train", "infer"):
        rows = results.get(kind, {})
        for label, r in rows.items():
            print(
                f"| {kind} | {label} | {1e3 * r['median_s']:.1f} | "
                f"{1e3 * r['fastest_s']:.1f} | {r['images_per_s']:.1f} | "
                f"{r['ratio']:.2f} | {r['ratio_fastest']:.2f} |"
            )
        if any(r["disturbed"] for r in rows.values()):
            print(f"\n**{kind}: disturbed by other work; no result. Run again.**\n")


if __name__ == "__main__":
    main()
