"""Everything in one run: `python -m bench.speed --out DIR`; results.json and results.md.

Each row is measured in a process of its own, so one that dies or runs out of memory or
time is a row that says so. What `DIR/results.json` holds already, of the same machine
and versions, is not measured again: where the time is up (`--budget`), the same command
goes on. Sizes suit the device that is there.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench import flags, tables
from bench.speed.report import PARTS, report

UNFINISHED = "not finished"


class Task(NamedTuple):
    """One process: `python -m bench.speed.PART ARGUMENTS`."""

    part: str
    arguments: tuple[str, ...]
    row: dict  # what the rows of a process that fails still say

    @property
    def key(self):
        """The command after `python -m`."""
        return " ".join((f"bench.speed.{self.part}", *self.arguments))


def arguments(argv=None):
    """The command line."""
    parser = flags.parser(__doc__, out=Path("runs/bench"))
    parser.prog = "python -m bench.speed"
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--models", default="yolov5s,tqgdnets")
    parser.add_argument("--batches", help="with commas (default: by device)")
    parser.add_argument("--size", type=int, help="px (default: 640; CPU 320, 256)")
    parser.add_argument("--precision", help="default: bf16,tf32,fp32; CPU fp32")
    parser.add_argument("--compile", default="4", help="batches with torch.compile")
    parser.add_argument("--seconds", type=float, default=1.0, help="factor of times")
    parser.add_argument("--budget", type=float, default=520, help="s, of everything")
    args = parser.parse_args(argv)
    unknown = set(args.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    return args


def tasks(args, on_cpu):
    """What to measure, the parts that are quick first, then the usual batch."""
    models, only = args.models.split(","), args.only.split(",")
    precisions = (args.precision or ("fp32" if on_cpu else "bf16,tf32,fp32")).split(",")
    planned = []

    def size(model):
        return args.size or ((256 if "tqgd" in model else 320) if on_cpu else 640)

    def batches(model):
        by_device = ("4,1" if "tqgd" in model else "4,1,16") if on_cpu else "4,16,64,1"
        return (args.batches or by_device).split(",")

    def add(part, seconds, row, *more):
        options = row | {"seconds": f"{seconds * args.seconds:g}"}
        words = [w for k, v in options.items() for w in (f"--{k}", str(v))]
        planned.append(Task(part, (*words, *more), row))

    if "peak" in only:
        given = ("--precision", ",".join(precisions)) if args.precision else ()
        add("peak", 0.5 if on_cpu else 1, {}, *given)
    if "pipeline" in only:
        add("pipeline", 4, {"size": size(models[0]), "batch": 4})
    for model in models:
        row = {"model": model, "precision": precisions[0], "size": size(model)}
        if "placement" in only and (model == models[0] or not on_cpu):
            add("placement", 10, row | {"batch": 4})
        if "evaluation" in only:
            add("evaluation", 8, row | {"batch": 4 if on_cpu else 16})
    if "network" in only:
        # All models at the first batch before any at the second.
        rows = [
            (precisions.index(precision), i, model, batch)
            for precision in precisions
            for model in models
            for i, batch in enumerate(batches(model))
        ]
        for precision, _, model, batch in sorted(rows, key=lambda row: row[:2]):
            row = {"model": model, "size": size(model), "batch": int(batch)}
            row["precision"] = precisions[precision]
            compiled = ("--compile",) * (batch in args.compile.split(","))
            add("network", 12 if on_cpu else 5, row, *compiled)
    return planned


def run(task, seconds, environment, scratch):
    """Rows of a task; those it wrote before it failed, and one that says why."""
    path, log = scratch / f".{task.part}.json", scratch / f".{task.part}.txt"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", *task.key.split(), "--json", str(path)]
    with log.open("w") as output:
        child = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = child.wait(seconds)
            reason = f"ended with {code}: {_last_line(log)}" if code else None
        except subprocess.TimeoutExpired:
            reason = f"{UNFINISHED} after {seconds:.0f} s"
        finally:  # its compilers too
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if reason and "RESOURCE_EXHAUSTED" in log.read_text():
        reason = "out of memory"
    rows = json.loads(path.read_text()) if path.exists() else []
    path.unlink(missing_ok=True)
    return rows + ([task.row | {"note": reason}] if reason else [])


def _last_line(log):
    lines = log.read_text().strip().splitlines()
    return lines[-1][:150] if lines else "no word"


def alone(task, rows):
    """Tasks that measure each library alone, where both together ran out of memory."""
    short = task.part == "network" and "--sides" not in task.arguments
    if not short or not any("memory" in (row.get("note") or "") for row in rows):
        return []
    return [
        task._replace(
            arguments=(*task.arguments, "--sides", side),
            row=task.row | {"who": f"{side}, alone"},
        )
        for side in ("ours", "torch")
    ]


def main(argv=None):
    """Measures what is missing and writes both files after each row."""
    args = arguments(argv)
    start = time.perf_counter()
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    printed = subprocess.run(
        [sys.executable, "-m", "bench.machine"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    here = json.loads(printed.stdout)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "results.json"
    results = {"machine": here, "tasks": {}}
    if path.exists():
        old = json.loads(path.read_text())
        if all(old["machine"][k] == here[k] for k in ("device", "cpu", "versions")):
            results = old
        else:
            path.rename(path.with_name(f"results-{int(path.stat().st_mtime)}.json"))
    results["missing"] = []

    def save():
        tables.write(path, results)
        (args.out / "results.md").write_text(report(results))

    waiting = tasks(args, here["platform"] == "cpu")
    while waiting:
        task = waiting.pop(0)
        if task.key in results["tasks"]:
            continue
        left = args.budget - (time.perf_counter() - start)
        if left < 20:
            results["missing"].append(task.key)
            continue
        print(f"{args.budget - left:5.0f} s  {task.key}", flush=True)
        rows = run(task, left, environment, args.out)
        waiting = alone(task, rows) + waiting
        if any(UNFINISHED in (row.get("note") or "") for row in rows):
            results["missing"].append(task.key)
        results["tasks"][task.key] = {"part": task.part, "rows": rows}
        save()
    # What the clock cut off is tried again by the next command.
    for key in results["missing"]:
        results["tasks"].pop(key, None)
    save()
    print(report(results))


if __name__ == "__main__":
    main()
