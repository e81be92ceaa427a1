"""Competitors beside PyTorch: `python -m bench.speed.baselines --family zair --size 256`.

Training step (forward, loss, backward, clipping, the configuration's optimiser, EMA; no
augmentation) and inference, in float32 unless `--precision` says otherwise. Both
libraries run in one process and take turns, as in `bench.speed.network`; ratios are of
medians, time ours / time of the faster of PyTorch's two memory formats: below 1, ours is
faster. Weights are our first values on both sides; no side folds batch norms.

SegNet, U-Net, VGG16-FCN and the multi-task U-Net (`foellmer`, lesion alone): the whole
step, and the map of probabilities. `foellmer_both`: ours makes the labels of the regions
in each step, PyTorch is given them.

Zhao: PyTorch's step has neither proposals nor assignment: its loss is that of samples
that ours drew once, its inference that of both stages on 300 boxes that are given, without
suppression. `ours` does the same work; `ours, whole` does all that training and prediction
do. RoIAlign and deformable convolution are `grid_sample` in PyTorch.
"""

import dataclasses
import gc
import os
import statistics
import time
from functools import partial

import numpy as np

from bench import flags, rivals, tables
from bench.timing import interleave

DISTURBED = 1.25  # see `bench.speed.network`
COLUMNS = tables.RUN | {
    "width": ("width", "{:g}"),
    "kind": ("what", "{}"),
    "who": ("who", "{}"),
    "median_ms": ("ms a step", "{:.1f}"),
    "fastest_ms": ("fastest", "{:.1f}"),
    "ratio": ("time / PyTorch", "{:.2f}"),
    "compile_s": ("compile s", "{:.1f}"),
}
LAYOUTS = {"PyTorch": False, "PyTorch channels-last": True}


def arguments(argv=None):
    """The command line."""
    parser = flags.parser(
        __doc__, size=256, batch=4, precision="fp32",
        threads=len(os.sched_getaffinity(0)), rounds=6, seconds=60, json=None,
    )  # fmt: skip
    parser.add_argument(
        "--family", nargs="*", default=[], help="zair, " + ", ".join(rivals.RIVALS)
    )
    parser.add_argument("--width", type=float, default=1.0, help="multiple of channels")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--infer", action="store_true", help="(default: both)")
    parser.add_argument("--repeats", type=int, default=2, help="calls in a round")
    parser.add_argument(
        "--steps", type=int, default=0, help="of a training call; 0: 10 on a GPU, 1"
    )
    args = parser.parse_args(argv)
    if not (args.train or args.infer):
        args.train = args.infer = True
    return args


class Inference:
    """A function of variables and images, compiled as `predict` is."""

    def __init__(self, answer, *args):
        """Compiles, runs once."""
        import jax

        from tqgd_jax.xla import compiler_options

        self._args = jax.device_put(args)
        start = time.perf_counter()
        self._compiled = (
            jax.jit(answer, compiler_options=compiler_options())
            .lower(*self._args)
            .compile()
        )
        self.compile_s = time.perf_counter() - start
        self()

    def __call__(self):
        """Waits for the answer."""
        import jax

        return jax.block_until_ready(self._compiled(*self._args))


class Work:
    """A network of both sides and one batch."""

    def __init__(self, name, args):
        """Draws the samples of PyTorch's loss, once."""
        import jax

        from bench.torch.baselines import fixed
        from bench.torch.baselines.same import targets_of
        from tqgd_jax import network as networks
        from tqgd_jax.structures.batch import Targets, Views

        self.args = args
        self.cfg = rivals.config(
            name, args.size, args.batch, args.width, args.precision
        )
        self.classes = len(self.cfg.data.classes)
        self.network = networks.build(self.cfg, self.classes)
        images, boxes, lesion = rivals.batch_of(
            args.size, args.batch, self.classes, self.cfg.model.in_channels
        )
        lesion = lesion if self.network.segments else None
        self.views = Views(images, Targets(*boxes), lesion)
        self.fixed = self.boxes = None

        def given(variables, views):
            raw = self.network.module.apply(variables, views.image, train=False)
            return targets_of(self.network, raw, views, jax.random.key(0))

        self.variables = self.network.init(0)
        self.targets = jax.device_get(jax.jit(given)(self.variables, self.views))
        if not self.network.segments:
            fields = dataclasses.fields(self.network)
            own = {f.name: getattr(self.network, f.name) for f in fields}
            self.fixed = fixed.Fixed(**own)
            low = np.random.default_rng(0).uniform(0, 0.9, (args.batch, 300, 2))
            low = (low * args.size).astype(np.float32)
            self.boxes = np.concatenate([low, low + 0.05 * args.size], -1)
            self.boxes = self.boxes.astype(np.float32)

    def ours(self, kind, whole):
        """A side of ours; `whole` or of equal work with PyTorch."""
        from bench.speed import ours

        network, views = self.network, self.views
        if self.fixed and not whole:
            network, views = self.fixed, views._replace(targets=self.targets)
        if kind == "train":
            return ours.TrainStep(self.cfg, views, self.args.steps, network)
        if self.fixed and not whole:
            answer, boxes = self.fixed.answer, (self.boxes,)
        else:
            answer, boxes = network.predict, ()
        return Inference(answer, self.variables, views.image, *boxes)

    def theirs(self, kind, last):
        """A side of PyTorch."""
        import torch

        from bench.torch.baselines import build, theirs, weights
        from bench.torch.baselines.same import as_batch
        from bench.torch.theirs import device, set_precision

        set_precision(self.args.precision)
        torch.manual_seed(0)  # of dropout
        net = build(self.cfg, self.classes).to(device())
        weights.copy(net, self.variables)
        how = {"precision": self.args.precision, "last": last}
        if kind == "infer":
            return theirs.Inference(net, self.views.image, self.boxes, **how)
        batch = as_batch(self.targets)
        how["steps"] = self.args.steps
        return theirs.TrainStep(net, self.views.image, batch, self.cfg.optim, **how)


def measure(name, args, kind):
    """The rows of one network and kind, `train` or `infer`."""
    work = Work(name, args)
    makers = {"ours": partial(work.ours, kind, False)}
    if work.fixed:
        makers["ours, whole"] = partial(work.ours, kind, True)
    for who, last in LAYOUTS.items():
        makers[who] = partial(work.theirs, kind, last)
    sides, notes = {}, {}
    for who, make in makers.items():
        try:
            sides[who] = make()
        except Exception as error:  # one that fails is a row that says so
            notes[who] = tables.why(error)
            gc.collect()
    times = interleave(sides, args.rounds, args.repeats, args.seconds)
    per = args.steps if kind == "train" else 1
    medians = {who: statistics.median(t) / per for who, t in times.items()}
    eager = min((medians[who] for who in LAYOUTS if who in medians), default=None)
    for who in makers:
        row = {key: getattr(args, key) for key in tables.RUN if key != "model"}
        row |= {"model": name, "width": args.width, "kind": kind, "who": who}
        if who in notes:
            yield row | {"note": notes[who]}
            continue
        median, fastest = medians[who], min(times[who]) / per
        disturbed = median > DISTURBED * fastest
        yield row | {
            "median_ms": 1e3 * median,
            "fastest_ms": 1e3 * fastest,
            "calls": len(times[who]),
            "steps_per_call": per,
            "ratio": median / eager if eager else None,
            "compile_s": getattr(sides[who], "compile_s", None),
            "disturbed": disturbed,
            "note": "**disturbed by other work**" if disturbed else None,
        }


def main(argv=None):
    """Times and prints."""
    args = arguments(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch is here
    import jax
    import torch

    jax.config.update("jax_enable_compilation_cache", False)
    torch.set_num_threads(args.threads)
    if not args.steps:
        args.steps = 1 if jax.default_backend() == "cpu" else 10
    rows = []
    for name in rivals.named(args.family):
        for kind in ("train", "infer"):
            if getattr(args, kind):
                rows += measure(name, args, kind)
                gc.collect()
                if args.json:
                    tables.write(args.json, rows)  # what is done is safe
    tables.finish(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
