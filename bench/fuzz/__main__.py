"""Damages files for every reader and watches what it does with them.

python -m bench.fuzz --out runs/fuzz [--cases 1000000] [--minutes 30] [--targets png ...]
python -m bench.fuzz --show png:1234

The same command goes on where it ended. `state.json` has the counts, `findings.jsonl` a
line for each finding, and `findings/` their files. A case is the same for the same seed,
target and number, as long as `mutations.py` and the seeds stay as they are. Exit status
1: something was found. Not a medical device.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.fuzz import targets
from bench.fuzz.watch import Outcome, Watch, damaged
from tqgd_jax.io import atomic

NAMES = (
    *("mhd", "mhd-mask", "mha", "mha-mask", "nrrd", "nrrd-mask", "nhdr", "nhdr-mask"),
    *("nii", "nii-mask", "nii.gz", "dicom", "png", "jpg", "voc", "yolo", "coco"),
    *(
        "truth",
        "detections",
        "patients",
        "boxes",
        "folds",
        "weights",
        "settings",
        "run",
    ),
)
KEPT = 3  # files of findings at the same place
FINE = ("read", "refused")
PATIENCE = 20.0, 900.0  # seconds of processor, of the clock: a silent process is ended


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder of counts and findings")
    parser.add_argument("--cases", type=int, default=1_000_000, help="in all")
    parser.add_argument("--minutes", type=float, default=1e9, help="at most")
    parser.add_argument("--batch", type=int, default=2000, help="cases of one process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--show", metavar="TARGET:CASE", help="one case, in words")
    args = parser.parse_args(argv)
    if args.show:
        return _show(args.show, args.seed)
    if args.out is None:
        parser.error("--out is missing: the folder of counts and findings")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Batches of all targets in turn, until cases or minutes are spent."""
    args.out.mkdir(parents=True, exist_ok=True)
    state = _state(args.out / "state.json", args.seed)
    end = time.monotonic() + 60 * args.minutes
    done = sum(sum(counts.values()) for counts in state.values())
    with tqdm(total=args.cases, initial=done, unit="case", dynamic_ncols=True) as bar:
        while done < args.cases and time.monotonic() < end:
            # The target with fewest cases: all advance alike, also after a stop.
            name = min(args.targets, key=lambda n: sum(state.get(n, {}).values()))
            first = sum(state.get(name, {}).values())
            count = min(args.batch, args.cases - done)
            found = batch(name, args.seed, first, count)
            _note(args, state, name, first, found)
            done += len(found)
            bar.update(len(found))
    print(_table(state))
    return int(any(set(counts) - {*FINE} for counts in state.values()))


def batch(name: str, seed: int, first: int, count: int) -> list[Outcome]:
    """Outcomes of cases in a process of its own; a case that kills it is the last."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(name, seed, first, count, writer))
    worker.start()
    writer.close()
    outcomes: list[Outcome] = []
    try:
        while _spoke(reader, worker.pid):
            outcomes.append(Outcome(*reader.recv()))
        worker.kill()
        outcomes.append(Outcome("hang", "", "not a word, and the process was ended"))
    except EOFError:
        worker.join()
        if worker.exitcode:
            number = -worker.exitcode
            how = signal.Signals(number).name if number > 0 else f"status {-number}"
            outcomes.append(Outcome("crash", how, f"the process ended with {how}"))
    worker.join()
    return outcomes


def _spoke(reader: Any, process: int | None) -> bool:
    """Waits for a word: by the processor's clock, for a machine may be busy."""

    def spent() -> float:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    began, clock = spent(), time.monotonic()
    while not reader.poll(1.0):
        if spent() - began > PATIENCE[0] or time.monotonic() - clock > PATIENCE[1]:
            return False
    return True


def _work(name: str, seed: int, first: int, count: int, told: Any) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # of libraries in C++
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        scratch, place = Path(folder, "seeds"), Path(folder, "watched")
        scratch.mkdir()
        place.mkdir()
        target = targets.targets(scratch)[name]
        watch = Watch(target, place)
        for case in range(first, first + count):
            outcome = watch.of(damaged(name, target, seed, case))
            told.send(tuple(outcome))
            if outcome.kind == "memory":
                break  # the mark of most memory never falls


def _show(case: str, seed: int) -> int:
    name, _, number = case.rpartition(":")
    if name not in NAMES or not number.isdecimal():
        print(f"--show: {case!r} is no TARGET:CASE; targets are {', '.join(NAMES)}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        target = targets.targets(Path(folder))[name]
        data = damaged(name, target, seed, int(number))
    print(data[:2000])
    outcomes = batch(name, seed, int(number), 1)
    print(*outcomes[-1], sep="\n")
    return int(outcomes[-1].kind not in FINE)


def _state(path: Path, seed: int) -> dict[str, Counter[str]]:
    if not path.exists():
        return {}
    document = json.loads(path.read_text("utf-8"))
    if document["seed"] != seed:
        sys.exit(f"{path}: is of --seed={document['seed']}; name another --out")
    return {name: Counter(counts) for name, counts in document["targets"].items()}


def _note(
    args: argparse.Namespace,
    state: dict[str, Counter[str]],
    name: str,
    first: int,
    found: list[Outcome],
) -> None:
    counts = state.setdefault(name, Counter())
    counts.update(outcome.kind for outcome in found)
    log, folder = args.out / "findings.jsonl", args.out / "findings"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    before = Counter(
        (row["target"], row["kind"], row["where"]) for row in map(json.loads, lines)
    )
    with tempfile.TemporaryDirectory() as scratch, log.open("a") as file:
        for case, outcome in enumerate(found, first):
            key = name, outcome.kind, outcome.where
            if outcome.kind in FINE or before[key] >= KEPT:
                continue
            before[key] += 1
            row = {"target": name, "case": case} | outcome._asdict()
            file.write(json.dumps(row) + "\n")
            folder.mkdir(exist_ok=True)
            target = targets.targets(Path(scratch))[name]
            data = damaged(name, target, args.seed, case)
            (folder / f"{name}-{case}-{target.name}").write_bytes(data)
    with atomic.file(args.out / "state.json") as partial:
        partial.write_text(json.dumps({"seed": args.seed, "targets": state}, indent=1))


def _table(state: dict[str, Counter[str]]) -> str:
    kinds = [*FINE, *sorted({k for c in state.values() for k in c} - {*FINE})]
    rows = [["", *kinds], *([n, *(str(c[k]) for k in kinds)] for n, c in state.items())]
    total = sum(state.values(), Counter())
    rows.append(["all", *(str(total[k]) for k in kinds)])
    return "\n".join(" ".join(f"{cell:>13}" for cell in row) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
