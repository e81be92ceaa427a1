"""Does it learn, and when? `python -m bench.studies.learning --data_dir DIR --out OUT`.

DIR is a gated phantom (`tqgd phantom --out DIR --patients 36 --slices 20`).
`configs/tqgdnet.py` is trained with each stem and seed through `train.py`, on the slices
with calcium of two folds of three. Each checkpoint is then judged on those of the third:
weights as they are and averaged (EMA), batch statistics running and taken anew over
training batches. The same command goes on where it was stopped.

OUT/learning-SIZE.jsonl has a line for each checkpoint, OUT/learning-SIZE.png the curves.
"""

import json
import subprocess
import sys

import numpy as np

from bench import flags, tables

KINDS = {  # column: (weights, batch statistics taken anew)
    "raw": ("params", False),
    "raw_anew": ("params", True),
    "ema": ("ema", False),
    "ema_anew": ("ema", True),
}
COLUMNS = {
    "stem": ("stem", "{}"),
    "seed": ("seed", "{}"),
    "step": ("step", "{}"),
    "loss": ("loss, mean of 50 steps", "{:.3f}"),
    "obj": ("objectness", "{:.4f}"),
    "giou": ("GIoU", "{:.4f}"),
    "raw": ("AP50, raw, running", "{:.3f}"),
    "raw_anew": ("raw, anew", "{:.3f}"),
    "ema": ("EMA, running", "{:.3f}"),
    "ema_anew": ("EMA, anew", "{:.3f}"),
}
SMOOTH = 25  # steps
# GIoU loss, mean of `SMOOTH` steps: sizes of boxes are learnt above the first; below the
# second their places are, on the phantom at 320 px.
FLAT = 0.148, 0.135


def workdir(args, stem, seed):
    """Of one run."""
    name = stem.removeprefix("thr:").replace("/", "-")
    return args.out / "runs" / f"{args.size}-{name}-{seed}"


def train(args, stem, seed):
    """Trains to `args.steps`, or goes on with it; a run that is there is left alone."""
    if (workdir(args, stem, seed) / "checkpoints" / str(args.steps)).exists():
        return
    stem_itself, _, first = stem.partition("/")
    command = [
        *(sys.executable, "train.py", "--config=configs/tqgdnet.py"),
        f"--workdir={workdir(args, stem, seed)}",
        f"--config.seed={seed}",
        f"--config.model.stem={stem_itself}",
        *([f"--config.model.thr.init={first}"] if first else []),
        f"--config.data.dir={args.data_dir}",
        f"--config.data.image_size={args.size}",
        *("--config.data.split=folds", "--config.data.folds=3"),
        f"--config.train.steps={args.steps}",
        f"--config.train.checkpoint_steps={args.every}",
        "--config.train.checkpoint_every=10000",
        "--config.train.keep=1000",
        "--config.train.tensorboard=False",
    ]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("training stopped; the same command goes on")


def losses(folder):
    """Every step's figures."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


def flat_phase(rows):
    """First and last step of the flat phase; None for one that has not come."""
    giou = np.convolve([r["giou"] for r in rows], np.ones(SMOOTH) / SMOOTH, "valid")
    below = np.flatnonzero(giou < FLAT[0])
    above = np.flatnonzero(giou >= FLAT[1])
    first = int(below[0]) + SMOOTH if len(below) else None
    left = len(above) and above[-1] + 1 < len(giou)
    return first, int(above[-1]) + 1 + SMOOTH if left else None


def judge(folder, args, done):
    """A row for each checkpoint to be judged that has none yet.

    Args:
      folder: of the run.
      args: of the command.
      done: steps that have a row.
    """
    from tqgd_jax.data import dataset
    from tqgd_jax.data.open import open_data
    from tqgd_jax.evaluation.evaluator import evaluate
    from tqgd_jax.inference import detect, make_predict
    from tqgd_jax.network import build
    from tqgd_jax.recalibration import make_recalibrate
    from tqgd_jax.training import state
    from tqgd_jax.training.records import workdir as workdirs
    from tqgd_jax.training.records.checkpoint import Checkpoints

    config, run = workdirs.read(folder)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    due = [
        step
        for step in checkpoints.steps()
        if step not in done and step % args.judge_every == 0
    ]
    if not due:
        return
    splits = open_data(config)
    train, test = splits["train"], splits["test"]
    classes = len(run["classes"])
    predict = make_predict(config, classes, np.array(run["anchors"], np.float32))
    anew = make_recalibrate(config, train, args.recalibrate)
    empty = state.create(build(config, classes), config)
    for step in due:
        now, _ = checkpoints.restore(empty, step)
        raw = {"params": now.params, "batch_stats": now.batch_stats}
        row = {"step": step}
        for name, (weights, taken_anew) in KINDS.items():
            variables = now.ema if weights == "ema" else raw
            images = detect(
                predict,
                anew(variables) if taken_anew else variables,
                dataset.in_order(test, config.eval.batch_size),
                test.names,
            )
            row[name] = evaluate(images, run["classes"])["AP50"]
        before = [r for r in losses(folder) if step - 50 < r["step"] <= step]
        for name in ("loss", "obj", "giou"):
            row[name] = float(np.mean([r[name] for r in before]))
        yield row


def draw(args, rows, path):
    """Loss of every step and AP50 of every judged checkpoint, a colour for each stem."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = 3 if rows else 2
    figure, axes = plt.subplots(
        panels, 1, figsize=(8, 3 * panels), sharex=True, layout="constrained"
    )
    for k, stem in enumerate(args.stems):
        label = f"stem={stem}"
        for seed in range(args.seeds):
            folder = workdir(args, stem, seed)
            if not (folder / "metrics.jsonl").exists():
                continue
            style = {"color": f"C{k}", "alpha": 1.0 if seed == 0 else 0.55}
            steps = losses(folder)
            at = [r["step"] for r in steps][SMOOTH - 1 :]
            for axis, name in zip(axes[:2], ("obj", "giou"), strict=True):
                values = np.array([r[name] for r in steps])
                if len(values) >= SMOOTH:
                    mean = np.convolve(values, np.ones(SMOOTH) / SMOOTH, "valid")
                    axis.plot(at, mean, label=label, **style)
            label = None  # once for each stem
            own = [r for r in rows if (r["stem"], r["seed"]) == (stem, seed)]
            for name, line in (("ema", "-"), ("ema_anew", "--")) if rows else ():
                axes[2].plot(
                    [r["step"] for r in own],
                    [r[name] for r in own],
                    f"o{line}",
                    markersize=3,
                    **style,
                )
    axes[0].set_ylabel(f"objectness loss\n(mean of {SMOOTH} steps)")
    axes[1].set_ylabel(f"GIoU loss\n(mean of {SMOOTH} steps)")
    if rows:
        axes[2].set_ylabel("AP50, unseen patients\n(dashed: statistics anew)")
        axes[2].set_ylim(0, 1)
    axes[-1].set_xlabel("step (batch 4)")
    axes[0].legend()
    axes[0].set_title(
        f"TQGDNet-s on the gated phantom, {args.size} px; a line for each seed"
    )
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main():
    """Trains what is missing, judges it, draws it."""
    parser = flags.parser(__doc__, data_dir=..., out=..., size=320, steps=1000)
    parser.add_argument(
        "--stems",
        nargs="+",
        default=["thr", "conv", "thr:snapshot", "thr/yolov5"],
        help="model.stem; after a slash model.thr.init",
    )
    parser.add_argument("--seeds", type=int, default=2, help="0 to SEEDS - 1")
    parser.add_argument(
        "--every", type=int, default=100, help="steps between checkpoints"
    )
    parser.add_argument(
        "--judge_every", type=int, default=200, help="steps between those judged"
    )
    parser.add_argument("--recalibrate", type=int, default=16, help="training batches")
    parser.add_argument(
        "--judge_only", action="store_true", help="train nothing, judge what is there"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    written = args.out / f"learning-{args.size}.jsonl"
    rows = []
    if written.exists():
        rows = [json.loads(line) for line in written.read_text().splitlines()]
    for stem in args.stems:
        for seed in range(args.seeds):
            folder = workdir(args, stem, seed)
            if not args.judge_only:
                train(args, stem, seed)
            if not (folder / "checkpoints").exists():
                continue
            known = [r for r in rows if (r["stem"], r["seed"]) == (stem, seed)]
            done = {r["step"] for r in known}
            for row in judge(folder, args, done):
                rows.append({"stem": stem, "seed": seed} | row)
                with written.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(json.dumps(rows[-1]), flush=True)
            first, last = flat_phase(losses(folder))
            print(f"{stem}, seed {seed}: flat from step {first} to {last}")
    rows.sort(key=lambda r: (args.stems.index(r["stem"]), r["seed"], r["step"]))
    draw(args, rows, args.out / f"learning-{args.size}.png")
    tables.finish(rows, COLUMNS)


if __name__ == "__main__":
    main()
