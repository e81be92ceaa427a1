"""Where the time of a training step goes: `python -m bench.profile --model tqgdnets`.

Traces steps of a run (placement resident) with JAX's profiler, gives the
time of each operation to the module of the network it belongs to and to a class, writes
`profile-MODEL.md`, `.json` and an icicle chart, `.png`. On a GPU, operations inside a
CUDA graph may carry no name; if much is "unnamed", run with
XLA_FLAGS=--xla_gpu_enable_command_buffer= .
"""

import collections
import tempfile
import time
from pathlib import Path

from bench import flags, machine, scans, tables
from bench.profile import hlo, icicle

UNNAMED = (("unnamed",), "other arithmetic")
PARTS = (
    *("stem", "backbone", "neck", "head", "loss", "augment", "input"),
    *("optimiser", "step", "unnamed"),
)


def own_times(folder, skip=frozenset()):
    """Seconds on the clock that each operation of a trace had to itself.

    Where several ran at once, each gets its part of that time, so the sum is the time
    in which anything ran.

    Args:
      folder: of the trace.
      skip: operations that only hold others, such as loops.
    """
    from jax.profiler import ProfileData

    file = max(Path(folder).rglob("*.xplane.pb"), key=lambda p: p.stat().st_mtime)
    planes = list(ProfileData.from_file(str(file)).planes)
    on_device = [p for p in planes if p.name.startswith("/device:")]
    starts, ends = collections.defaultdict(list), collections.defaultdict(list)
    for plane in on_device or planes:
        for line in plane.lines:
            if line.name in ("XLA Modules", "XLA Ops", "Steps", "XLA TraceMe"):
                continue  # a GPU's kernels lie on its streams; these repeat them
            for event in line.events:
                # A CPU's operation may go on in other threads when its event is over.
                if event.name.startswith("end: "):
                    ends[event.name[5:]].append(event.start_ns)
                elif (name := dict(event.stats).get("hlo_op")) and name not in skip:
                    span = (event.start_ns, event.start_ns + event.duration_ns)
                    starts[str(name)].append(span)
    return shared(
        [
            (start, _end(start, stop, ends[name]), name)
            for name, spans in starts.items()
            for start, stop in spans
        ]
    )


def _end(start, stop, ends):
    """The first end that was noted after the start, or that of the event."""
    return max(stop, min((e for e in ends if e >= start), default=stop))


def shared(spans):
    """Seconds of each name in (start, end, name), ns, split where they overlap."""
    changes = sorted(
        (at, step, name)
        for start, end, name in spans
        for at, step in ((start, 1), (end, -1))
    )
    total, active, last = collections.Counter(), collections.Counter(), 0
    for at, step, name in changes:
        count = sum(active.values())
        for one, times in active.items():
            total[one] += (at - last) * times / count / 1e9
        active[name] += step
        if not active[name]:
            del active[name]
        last = at
    return dict(total)


def grouped(times, operations):
    """(path, class) -> seconds."""
    total = collections.Counter()
    for name, seconds in times.items():
        total[operations.get(name, UNNAMED)] += seconds
    return total


def trace(cfg, steps):
    """(path, class) -> seconds a step, and seconds a step on the clock."""
    import jax

    from bench.speed import ours

    call = ours.Training(cfg, scans.source(16, cfg.data.image_size))
    compilation = ours.Compilation(call.steps)
    jax.block_until_ready(call())
    with tempfile.TemporaryDirectory() as folder:
        # Python's own calls are no part of it and would fill the trace.
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with jax.profiler.trace(folder, profiler_options=options):
            start = time.perf_counter()
            for _ in range(steps):
                jax.block_until_ready(call())
            wall = time.perf_counter() - start
        operations = hlo.operations(compilation.executable.as_text())
        loops = {n for n, (_, kind) in operations.items() if kind == "control flow"}
        times = grouped(own_times(folder, loops), operations)
    return {key: s / steps for key, s in times.items()}, wall / steps


def summary(times):
    """Rows of a table: parts by classes, in ms and as shares."""
    whole = sum(times.values())
    kinds = collections.Counter()
    parts = {}
    for (path, kind), seconds in times.items():
        kinds[kind] += seconds
        parts.setdefault(path[0], collections.Counter())[kind] += seconds
    ordered = [kind for kind, _ in kinds.most_common()]
    columns = {"part": ("ms a step", "{}"), "all": ("all", "{:.1f}")}
    columns |= {"share": ("share", "{:.0%}")}
    columns |= {kind: (kind, "{:.1f}") for kind in ordered}

    def row(name, counts):
        total = sum(counts.values())
        cells = {kind: 1e3 * s for kind, s in counts.items() if s > 0}
        return {"part": name, "all": 1e3 * total, "share": total / whole} | cells

    rows = [row(name, parts[name]) for name in PARTS if name in parts]
    return [*rows, row("**all**", kinds)], columns


def heaviest(times, count=15):
    """Rows of the layers that take longest."""
    layers = collections.Counter()
    for (path, kind), seconds in times.items():
        layers["/".join(path), kind] += seconds
    whole = sum(times.values())
    return [
        {"layer": layer, "kind": kind, "ms": 1e3 * s, "share": s / whole}
        for (layer, kind), s in layers.most_common(count)
    ]


def main(argv=None):
    """Writes tables and chart."""
    args = flags.parser(
        __doc__, model="tqgdnets", precision="fp32", size=320, batch=4, steps=3,
        out=Path("runs/bench"),
    ).parse_args(argv)  # fmt: skip
    cfg = scans.config(
        args.model, args.size, args.batch, args.precision, steps_per_call=1
    )
    times, wall = trace(cfg, args.steps)
    rows, columns = summary(times)
    layers = {
        "layer": ("layer", "{}"), "kind": ("class", "{}"),
        "ms": ("ms a step", "{:.1f}"), "share": ("share", "{:.1%}"),
    }  # fmt: skip
    facts = machine.facts()
    title = (
        f"{args.model}, {args.size} px, batch {args.batch}, {args.precision}: "
        f"{1e3 * wall:.0f} ms a step under the profiler, "
        f"{1e3 * sum(times.values()):.0f} ms with any at work"
    )
    text = (
        f"{title}. {machine.headline(facts)}\n\n{tables.markdown(rows, columns)}\n\n"
        f"{tables.markdown(heaviest(times), layers)}\n"
    )
    print(text)
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out / f"profile-{args.model}"
    stem.with_suffix(".md").write_text(text)
    plain = [
        {"path": list(path), "class": kind, "ms": 1e3 * s}
        for (path, kind), s in times.items()
    ]
    tables.write(
        stem.with_suffix(".json"),
        {"machine": facts, "title": title, "rows": rows, "operations": plain},
    )
    title = f"{title}\n{facts['device']}, {facts['cpu']}"
    icicle.draw(times, title, stem.with_suffix(".png"))


if __name__ == "__main__":
    main()
