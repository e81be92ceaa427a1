"""A study killed at random moments: `python -m bench.studies.kills --kills 20 --out DIR`.

Two rows of the study `paper:smoke`, two folds of six simulated patients, run by
`tqgd study run`. The command and all that it has started are killed (SIGKILL) at moments
drawn uniformly over the time that a run of it took, and the command is given again. After
each kill no cell that was done may be lost; at the end every `results.json` must have the
bytes of a study that nobody disturbed. `DIR/kills.jsonl` has a line for each turn.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from bench import flags
from tqgd_jax.study import cell as cells
from tqgd_jax.study import study_file

ROWS = ("Y-PAN", "T-QFGD")


def tqgd(*words, output=None):
    """A process of `tqgd`, leader of its group."""
    return subprocess.Popen(
        [sys.executable, "-m", "tqgd_jax", *map(str, words)],
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )


def study(data, out):
    """The command that is killed and given again."""
    words = ["study", "run", "--config=paper:smoke", "--data", f"gated={data}"]
    words += ["--config.train.checkpoint_steps=2", "--only", *ROWS, "--out", out]
    with out.with_suffix(".txt").open("ab") as output:
        return tqgd(*words, output=output)


def whole(data, out):
    """Seconds of the command, undisturbed; what it left undone is done."""
    begin = time.monotonic()
    if study(data, out).wait():
        raise SystemExit(f"the study failed: {out.with_suffix('.txt').read_text()}")
    return time.monotonic() - begin


def states(out):
    """How many cells are done, stopped and so on."""
    if not (out / study_file.FILE).exists():
        return {}
    todo = [c for c in study_file.read(out).cells(out) if c.row in ROWS]
    return dict(Counter(cells.state(cell, out) for cell in todo))


def results(out):
    """Bytes of every result, by cell; the folder of the study stands in them."""
    return {
        str(file.relative_to(out)): file.read_bytes().replace(bytes(out), b"")
        for file in out.glob(f"*/*/*/*/{cells.RESULTS}")
    }


def main():
    """Kills, gives the command again, compares; status 1 if anything was lost."""
    parser = flags.parser(__doc__, out=..., seed=0)
    parser.add_argument(
        "--kills", type=int, default=20, help="turns, of which most kill"
    )
    args = parser.parse_args()
    out = args.out.absolute()
    out.mkdir(parents=True)
    data = out / "phantom"
    if tqgd("phantom", "--patients=6", "--slices=8", "--out", data).wait():
        raise SystemExit("the phantom failed: there is nothing to study")
    whole(data, out / "warm-up")  # fills the cache of programs
    seconds = whole(data, out / "whole")
    print(f"undisturbed: {seconds:.0f} s, {states(out / 'whole')}")

    rng, lost, study_number, done = random.Random(args.seed), 0, 1, 0
    with (out / "kills.jsonl").open("w") as log:
        for turn in range(1, args.kills + 1):
            cut = out / f"cut-{study_number}"
            process, after = study(data, cut), rng.uniform(0, seconds)
            try:
                status = process.wait(after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
            left = states(cut)
            fine = left.get("done", 0) >= done and not left.get("failed")
            fine &= status in (0, -signal.SIGKILL)
            done = left.get("done", 0)
            row = {"turn": turn, "study": study_number, "after_s": round(after, 1)}
            row |= {"status": status, **left}
            if status == 0:
                fine &= results(cut) == results(out / "whole")
                study_number, done = study_number + 1, 0
            lost += not fine
            print(json.dumps(row | {"fine": fine}), file=log, flush=True)
            print(json.dumps(row | {"fine": fine}), flush=True)
    last = out / f"cut-{study_number}"
    whole(data, last)
    lost += results(last) != results(out / "whole")
    print(f"{args.kills} turns, {study_number} studies, {lost} that lost anything")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
