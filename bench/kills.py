"""Killed at random moments: `python -m bench.kills --kills 50 [--signal TERM] --out DIR`.

A small run through `train.py` (size n with one head, 64 px, 28 steps, an evaluation an
epoch, a checkpoint every other step) is killed at moments drawn uniformly over a whole
run, start-up and compilation included, and started again. After each kill the newest
checkpoint must be whole by its hashes; after each run that gets to its end all tensors
and the log must be those of a run that nobody disturbed. `DIR/kills.jsonl` has a line
for each kill.
With TERM or INT the run must end by itself, with that signal's status.
"""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from bench import flags
from tqgd_jax.training.records import resume_check
from tqgd_jax.training.records.checkpoint import Checkpoints, damage

SETTINGS = [
    "--config=configs/nuclei.py",
    "--config.model.stem=conv",
    "--config.model.neck=('fpn',)",
    "--config.model.heads=(4,)",
    "--config.data.image_size=64",
    "--config.data.batch_size=2",
    "--config.data.ratio=(0.7,0.15,0.15)",
    "--config.train.epochs=4",
    "--config.train.eval_every=1",
    "--config.train.checkpoint_every=1",
    "--config.train.checkpoint_steps=2",
    "--config.train.tensorboard=False",
]


def images(folder, n=20, size=64):
    """Grey PNG with one bright rectangle each, and its box as YOLO text."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        image = rng.integers(0, 60, (size, size)).astype(np.uint8)
        w, h = rng.integers(8, 20, 2)
        x, y = rng.integers(0, size - w), rng.integers(0, size - h)
        image[y : y + h, x : x + w] = 220
        Image.fromarray(image).save(folder / "images" / f"{i:02}.png")
        box = np.array([x + w / 2, y + h / 2, w, h]) / size
        (folder / "labels" / f"{i:02}.txt").write_text(f"0 {' '.join(map(str, box))}\n")


def start(data, workdir):
    """The process of one run, its output beside the workdir."""
    output = workdir.with_suffix(".txt").open("ab")
    command = [
        *(sys.executable, "train.py", *SETTINGS),
        *(f"--config.data.dir={data}", f"--workdir={workdir}"),
    ]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def uninterrupted(data, workdir):
    """Seconds of a whole run."""
    begin = time.monotonic()
    if start(data, workdir).wait():
        raise SystemExit(f"the run failed: {workdir.with_suffix('.txt').read_text()}")
    return time.monotonic() - begin


def state_of(workdir):
    """What is there after a kill: the steps, what was being written, what is damaged."""
    folder = workdir / "checkpoints"
    steps = Checkpoints(folder, read_only=True).steps()
    return {
        "steps": steps,
        "half_written": [p.name for p in folder.glob(".*-*")],
        "damaged": [s for s in steps if damage(folder / str(s))],
    }


def main():
    """Kills, restarts, compares; the exit status is 1 if anything was lost."""
    parser = flags.parser(__doc__, out=..., seed=0)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL")
    args = parser.parse_args()
    out = args.out.absolute()
    images(out / "data")
    uninterrupted(out / "data", out / "warm-up")  # fills the cache of programs
    seconds = uninterrupted(out / "data", out / "whole")
    whole = hashes(out / "whole")
    print(f"a whole run: {seconds:.1f} s, {len(whole)} tensors and files")

    number = signal.Signals[f"SIG{args.signal}"].value
    rng = random.Random(args.seed)
    kills, ends, lost, run, highest = 0, 0, 0, 1, 0
    with (out / "kills.jsonl").open("w") as log:
        while kills < args.kills:
            workdir = out / f"run-{run}"
            child = start(out / "data", workdir)
            after = rng.uniform(0, seconds)
            try:
                status = child.wait(after)
            except subprocess.TimeoutExpired:
                child.send_signal(number)
                status = child.wait(300)  # a compilation is not broken off
                kills += 1
                left = state_of(workdir)
                newest = max(left["steps"], default=0)
                fine = not left["damaged"] and newest >= highest
                # Before Python is up, it dies of the signal; after the loop it is done.
                fine &= status in (-number, 128 + number, 0)
                highest = newest
                row = {"kill": kills, "run": run, "after_s": round(after, 2)}
                row |= {"status": status, **left}
            else:
                same = status == 0 and hashes(workdir) == whole
                row = {"run": run, "status": status, "same_bits": same}
                fine, run, highest = same, run + 1, 0
                ends += 1
            lost += not fine
            log.write(json.dumps(row | {"fine": fine}) + "\n")
            log.flush()
            print(json.dumps(row | {"fine": fine}), flush=True)
    if highest:  # the last one goes to its end
        uninterrupted(out / "data", out / f"run-{run}")
        ends, lost = ends + 1, lost + (hashes(out / f"run-{run}") != whole)
    print(
        f"{kills} kills, {ends} runs that got to their end, {lost} that lost anything "
        "or ended with other bits"
    )
    sys.exit(bool(lost))


def hashes(workdir):
    """SHA-256 of every tensor at the end of a run, and of its log."""
    return {name: sha for name, (sha, _) in resume_check.outcome(workdir).items()}


if __name__ == "__main__":
    main()
