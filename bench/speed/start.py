"""From the command to the first step, cold and again: `python -m bench.speed.start`.

Starts the same `train.py` with an empty cache of compiled programs and then with the one
that this left, `--times` of each, on images that `bench.kills` draws. A start is timed
from the process to the first line of `metrics.jsonl`; what the process prints of its own
time to import and to read the data is not taken apart.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import flags
from bench.kills import images


def first_step(command, workdir, cache):
    """Seconds until the first step is done; the process is stopped then."""
    environment = os.environ | {"TQGD_CACHE": str(cache)}
    begin = time.monotonic()
    with workdir.with_suffix(".txt").open("wb") as output:
        child = subprocess.Popen(
            [*command, f"--workdir={workdir}"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        rows = workdir / "metrics.jsonl"
        while not (rows.exists() and rows.stat().st_size):
            if child.poll() is not None:
                raise SystemExit(workdir.with_suffix(".txt").read_text()[-2000:])
            time.sleep(0.02)
        seconds = time.monotonic() - begin
        child.kill()
        child.wait()
    return seconds


def main():
    """Prints both medians and their ratio."""
    parser = flags.parser(__doc__)
    parser.add_argument("--config", default="configs/tqgdnet.py")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("settings", nargs="*", help="more of train.py, after --")
    args = parser.parse_args()
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        images(root / "data")
        command = [
            *(sys.executable, "train.py", f"--config={args.config}", *args.settings),
            f"--config.data.dir={root / 'data'}",
            f"--config.data.prepared_dir={root / 'prepared'}",
            "--config.data.ratio=(0.7,0.15,0.15)",
            "--config.train.log_every=1",
        ]
        for i in range(args.times):
            shutil.rmtree(root / "cache", ignore_errors=True)
            cold.append(first_step(command, root / f"cold{i}", root / "cache"))
            warm.append(first_step(command, root / f"warm{i}", root / "cache"))
    a, b = statistics.median(cold), statistics.median(warm)
    print(f"{args.config} {' '.join(args.settings)}: first step after {a:.1f} s with an "
          f"empty cache, {b:.1f} s again, ratio {b / a:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
