"""The resume certificate: a killed run against one that was never stopped.

Both are this very command in processes of their own, so what is certified is the user's
configuration on the user's device, from the command line to the checkpoint.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.network import build
from tqgd_jax.training import state
from tqgd_jax.training.records import workdir
from tqgd_jax.training.records.checkpoint import Checkpoints, digests, leaves

STEPS, CUT = 20, 7
DETERMINISTIC = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")
SWITCHES = ("certify_resume", "nocertify_resume")  # flags without a value
OWN = (
    *SWITCHES,
    *("workdir", "config.train.steps", "config.train.checkpoint_steps"),
)


class Differs(RuntimeError):
    """The resumed run is not the uninterrupted one."""


def certify(folder: Path, argv: Sequence[str]) -> str:
    """Trains 20 steps at once, and 7, `kill -9`, the rest; compares every bit.

    The device is left to the two runs: this process must not have touched it.

    Args:
      folder: the workdir; gets `certificate.json`, and `certificate/` meanwhile.
      argv: the words of the command line after "train.py".

    Returns:
      The certificate, for reading.

    Raises:
      Differs: names the first tensor that differs; both runs are kept.
      RuntimeError: a run failed; its output is kept.
    """
    scratch = folder / "certificate"
    shutil.rmtree(scratch, ignore_errors=True)
    given = _without(argv, OWN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    print("the whole run ...", file=sys.stderr)
    with _started(given, scratch / "whole") as child:
        _finish(child, scratch / "whole", "the whole run")
    print("the run that is killed ...", file=sys.stderr)
    with _started(given, scratch / "cut") as child:
        killed_at = _kill_after_checkpoint(child, scratch / "cut")
    print(f"killed after step {killed_at}; going on ...", file=sys.stderr)
    with _started(given, scratch / "cut") as child:
        _finish(child, scratch / "cut", "the resumed run")

    whole, cut = (outcome(scratch / name) for name in ("whole", "cut"))
    steps = int(whole["step"][1])
    facts = json.loads((scratch / "whole" / "versions.json").read_text())
    table = {
        name: {"sha256": _together(whole, name), "tensors": len(_of(whole, name))}
        for name in sorted({_collection(k) for k in whole})
    }
    different = [k for k in whole if whole[k][0] != cut[k][0]]
    workdir.write_json(
        folder / "certificate.json",
        {
            "certified": not different,
            "steps": steps,
            "killed_after_step": killed_at,
            "xla_flags": list(DETERMINISTIC),
            "hashes": table,
            "different": different,
            "versions": facts,
        },
    )
    if different:
        name = different[0]
        raise Differs(
            f"NOT the same bits: {len(different)} of {len(whole)} tensors and files "
            f"differ, the first is {name}{_gap(whole[name][1], cut[name][1])}. Both runs "
            f"are in {scratch}"
        )
    shutil.rmtree(scratch)
    return "\n".join(
        [
            f"Resume certificate: {steps} steps at once, and {killed_at}, kill -9, "
            f"{steps - killed_at} more, give the same bits.",
            f"Device: {', '.join(facts['devices'])}; jax {facts['jax']}; XLA_FLAGS of "
            f"both runs: {' '.join(DETERMINISTIC)}.",
            "",
            "| what | tensors | SHA-256 |",
            "|---|---|---|",
            *(
                f"| {k} | {row['tensors']} | {row['sha256']} |"
                for k, row in table.items()
            ),
        ]
    )


def _without(argv: Sequence[str], names: Sequence[str]) -> list[str]:
    """The words of a command line less some flags and their values."""
    remaining, skip = [], False
    for word in argv:
        name, equals, _ = word.lstrip("-").partition("=")
        if skip:
            skip = False
        elif word.startswith("-") and name in names:
            skip = not equals and name not in SWITCHES
        else:
            remaining.append(word)
    return remaining


def _gap(a: Any, b: Any) -> str:
    if a is None or a.shape != b.shape:
        return ""
    apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return (
        f": {int((apart > 0).sum())} of {a.size} values, by at most {apart.max():.3g}"
    )


@contextlib.contextmanager
def _started(argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in `folder`, which does not outlive this process or an error here."""
    folder.mkdir(parents=True, exist_ok=True)
    flags = " ".join([os.environ.get("XLA_FLAGS", ""), *DETERMINISTIC]).strip()
    with (folder / "output.txt").open("ab") as output:
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "tqgd_jax", "train", *argv),
                f"--workdir={folder}",
                f"--config.train.steps={STEPS}",
                f"--config.train.checkpoint_steps={CUT}",
            ],
            env=os.environ | {"XLA_FLAGS": flags},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _kill_after_checkpoint(child: subprocess.Popen[bytes], folder: Path) -> int:
    """Kills the run as soon as it has a checkpoint; that step."""
    while child.poll() is None:
        names = [p.name for p in (folder / "checkpoints").glob("*")]
        if steps := [int(name) for name in names if name.isdigit()]:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return max(steps)
        time.sleep(0.01)
    _finish(child, folder, "the run that was to be killed")
    raise RuntimeError(
        f"the run ended before it could be killed after a checkpoint (every {CUT} steps): "
        "no certificate; try again with a larger network or image, or with train.epochs "
        f"for {STEPS} steps"
    )


def _finish(child: subprocess.Popen[bytes], folder: Path, what: str) -> None:
    if child.wait():
        text = (folder / "output.txt").read_text(errors="replace")
        last = [line for line in text.splitlines() if line.strip()][-1:]
        raise RuntimeError(
            f"{what} ended with status {child.returncode}: {' '.join(last)[-500:]} "
            f"(all of it: {folder / 'output.txt'})"
        )


def outcome(folder: Path) -> dict[str, tuple[str, Any]]:
    """Hash and values of each tensor of the newest checkpoint, and of the log."""
    config, run = workdir.read(folder)
    like = state.create(build(config, len(run["classes"])), config)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    restored, _ = checkpoints.restore(like)
    checkpoints.close()
    values, hashes = leaves(restored), digests(restored)
    log = (folder / "metrics.jsonl").read_bytes()
    return {name: (hashes[name], values[name]) for name in hashes} | {
        "metrics.jsonl": (hashlib.sha256(log).hexdigest(), None)
    }


def _collection(name: str) -> str:
    return name.split("/")[0]


def _of(tensors: dict[str, tuple[str, Any]], collection: str) -> list[str]:
    return sorted(k for k in tensors if _collection(k) == collection)


def _together(tensors: dict[str, tuple[str, Any]], collection: str) -> str:
    """One hash for a collection: of the names and hashes of its tensors."""
    listing = json.dumps([(k, tensors[k][0]) for k in _of(tensors, collection)])
    return hashlib.sha256(listing.encode()).hexdigest()
