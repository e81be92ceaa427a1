"""Checkpoints: the whole state in float32, and what evaluation needs beside it.

A step is a folder: `state/` in Orbax's format, `meta.json`, and `SHA256SUMS` of both.
docs/checkpoints.md.
"""

import hashlib
import json
import logging
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tqgd_jax.io.atomic import flush
from tqgd_jax.training.records import orbax_files
from tqgd_jax.training.state import TrainState

log = logging.getLogger("tqgd_jax")

SUMS = "SHA256SUMS"


class Checkpoints:
    """The folder of checkpoints of a run, one folder a step.

    A step is written aside in the background, flushed to the disk and renamed when it
    is complete, so a run that is killed leaves either the whole step or none.
    """

    def __init__(self, folder: Path, keep: int = 2, *, read_only: bool = False):
        """Makes the folder and removes what a killed run left, unless `read_only`.

        Args:
          folder: of the steps.
          keep: how many of the newest steps stay, beside the best one.
          read_only: only `restore` and the questions will be asked.
        """
        self.folder, self._keep = folder.absolute(), keep
        self._writing: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        if not read_only:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob(".replaced-*"):
                place = self.folder / old.name.partition("-")[2]
                if not place.exists():  # killed between the two renames
                    old.rename(place)
            for left in self.folder.glob(".*-*"):
                shutil.rmtree(left)

    def steps(self) -> list[int]:
        """Complete steps, oldest first; files may have been damaged since."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdecimal())

    def latest(self) -> int | None:
        """The newest complete step."""
        return max(self.steps(), default=None)

    def best(self) -> int | None:
        """The step that was best in validation; None when none was judged."""
        judged = {
            s: score for s in self.steps() if (score := self._best(s)) is not None
        }
        return max(judged, key=lambda s: (judged[s], -s), default=None)

    def named(self, name: str | None) -> int | None:
        """The step that a user names: a number, "best", or None for the newest.

        Raises:
          ValueError: it is neither, or no step was judged.
        """
        if name is None or name.isdecimal():
            return None if name is None else int(name)
        if name != "best":
            raise ValueError(f"--step must be a number or best, got {name!r}")
        if self.best() is None:
            raise ValueError(
                f"--step=best: no step in {self.folder} was judged in validation; there "
                f"are {self.steps()}"
            )
        return self.best()

    def save(
        self,
        step: int,
        state: TrainState,
        meta: dict[str, Any],
        best: float | None = None,
    ) -> None:
        """Copies `state` (one copy of it) to the host and writes it in the background.

        Args:
          step: newer than all that are there, or the newest, which is then replaced.
          state: of one device.
          meta: plain data.
          best: how good it is in validation, more is better; None if not judged.

        Raises:
          RuntimeError: the folder has a later one.
          OSError: the step before could not be written.
        """
        self.wait()
        latest = self.latest()
        if latest is not None and latest > step:
            raise RuntimeError(
                f"step {step} was not saved: {self.folder} already holds step {latest}; "
                "another run writes there, or files were copied in"
            )
        for x in jax.tree.leaves(state):
            if isinstance(x, jax.Array):
                x.copy_to_host_async()
        # Copies what lies on a device: it is given up.
        tree = jax.tree.map(
            lambda x: np.array(x) if isinstance(x, jax.Array) else np.asarray(x),
            _named(state),
        )
        document = {"meta": meta, "best": best}
        self._writing = self._pool.submit(self._write, step, tree, json.dumps(document))

    def restore(
        self, like: TrainState, step: int | None = None, *, repair: bool = False
    ) -> tuple[TrainState, dict[str, Any]]:
        """The state (NumPy arrays) and plain data of a step, as a rule the newest.

        All files are held against their hashes first. Falls back to an older step, with
        a warning, when a newer one is damaged.

        Args:
          like: a state of the same shapes.
          step: which; None is the newest.
          repair: moves damaged steps out of the way, to `damaged-STEP` beside the
            folder, so that the run can be written on.

        Raises:
          FileNotFoundError: there is no step, or not this one.
          ValueError: all are damaged, or they belong to another network.
        """
        self.wait()
        existing = self.steps()
        steps = existing if step is None else [s for s in existing if s == step]
        if not steps:
            wanted = (
                f" of step {step}; there are {existing}" if step and existing else ""
            )
            raise FileNotFoundError(
                f"{self.folder} holds no complete checkpoint{wanted}; train first, with "
                "train.py and the same --workdir"
            )
        damaged = []
        for newest in reversed(steps):
            place = self.folder / str(newest)
            if reason := damage(place):
                log.warning("checkpoint %s is damaged: %s", place, reason)
                damaged.append(newest)
                continue
            restored = _read(place, like)
            if damaged:
                log.warning("going on from step %d instead", newest)
            if repair:
                self._move_aside(damaged)
            return restored
        others = f"; there are {existing}" if len(existing) > len(steps) else ""
        raise ValueError(
            f"checkpoints {steps} in {self.folder} are damaged{others}; restore the "
            "folder from a copy, or delete it to train again"
        )

    def check(self) -> None:
        """Does not wait.

        Raises:
          OSError: the last step could not be written.
        """
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
          OSError: it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Waits, then ends the thread."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def _write(self, step: int, tree: dict[str, Any], document: str) -> None:
        partial = self.folder / f".writing-{step}"
        try:
            partial.mkdir()
            orbax_files.save(partial / "state", tree)
            (partial / "meta.json").write_text(document)
            (partial / SUMS).write_text(_sums(partial))
            for path in (*partial.rglob("*"), partial):
                flush(path)
            place, replaced = self.folder / str(step), self.folder / f".replaced-{step}"
            if place.exists():
                place.rename(replaced)
            partial.rename(place)
            flush(self.folder)
            shutil.rmtree(replaced, ignore_errors=True)
            self._prune()
        except (OSError, ValueError, RuntimeError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(
                f"checkpoint {self.folder / str(step)} could not be written "
                f"({orbax_files.reason(error)}). The checkpoints before it are whole: "
                "make room and give the same command again"
            ) from error

    def _prune(self) -> None:
        steps = self.steps()
        for step in set(steps) - {*steps[-self._keep :], self.best()}:
            old = self.folder / f".old-{step}"
            (self.folder / str(step)).rename(old)  # never half a step under its name
            shutil.rmtree(old)

    def _best(self, step: int) -> float | None:
        try:
            return json.loads((self.folder / str(step) / "meta.json").read_text())[
                "best"
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # damaged; `restore` tells

    def _move_aside(self, steps: list[int]) -> None:
        for step in steps:
            destination = self.folder.parent / f"damaged-{step}"
            while destination.exists():
                destination = destination.with_name(f"{destination.name}-again")
            (self.folder / str(step)).rename(destination)
            log.warning("the damaged checkpoint is now %s", destination)


def leaves(state: TrainState) -> dict[str, np.ndarray]:
    """Every tensor of a state by its name, such as params/head/p3/kernel."""
    return {name: np.asarray(x) for name, x in _paths(_named(state)).items()}


def digests(state: TrainState) -> dict[str, str]:
    """SHA-256 of every tensor, of its type and shape too."""
    return {
        name: hashlib.sha256(
            f"{x.dtype.str} {x.shape} ".encode() + x.tobytes()
        ).hexdigest()
        for name, x in leaves(state).items()
    }


def _read(place: Path, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
    restored = orbax_files.restore(place / "state")
    shapes, wanted = _shapes(restored), _shapes(_named(like))
    if shapes != wanted:
        name = sorted(shapes.items() ^ wanted.items())[0][0]
        raise ValueError(
            f"checkpoint {place} is whole but belongs to another network or another "
            f"version of this one: {name} has shape {shapes.get(name)} there and "
            f"{wanted.get(name)} here; use the settings it was trained with, or another "
            "--workdir"
        )
    document = json.loads((place / "meta.json").read_text())
    return TrainState(**_unnamed(restored, like)), document["meta"]


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {name: x.shape for name, x in _paths(tree).items()}


def _paths(tree: Any) -> dict[str, Any]:
    """Leaves by name, such as params/head/p3/kernel."""
    flat, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in flat}


def _sums(folder: Path) -> str:
    """As `sha256sum` prints and checks it."""
    lines = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SUMS):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return "".join(lines)


def damage(folder: Path) -> str:
    """What is wrong with the files of a step; empty if nothing is."""
    try:
        wanted, actual = (folder / SUMS).read_bytes(), _sums(folder).encode()
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    if wanted == actual:
        return ""
    lines = set(wanted.splitlines()) ^ set(actual.splitlines())
    names = {line.partition(b"  ")[2].decode(errors="replace") for line in lines}
    return f"{', '.join(sorted(names)) or SUMS}: not what {SUMS} says"


def _named(state: TrainState) -> dict[str, Any]:
    """Plain dicts and lists; nodes without leaves (optax's) are left out."""
    fields = state._asdict()
    fields["opt_state"] = dict(_numbered(jax.tree.leaves(fields["opt_state"])))
    return {k: v for k, v in fields.items() if jax.tree.leaves(v)}


def _unnamed(tree: dict[str, Any], like: TrainState) -> dict[str, Any]:
    fields = like._asdict() | tree
    leaves = [tree["opt_state"][k] for k, _ in _numbered(tree["opt_state"])]
    fields["opt_state"] = jax.tree.unflatten(jax.tree.structure(like.opt_state), leaves)
    return fields


def _numbered(items: Any) -> list[tuple[str, Any]]:
    """Pairs of "0000", "0001", … and the items."""
    return [(f"{i:04d}", item) for i, item in enumerate(items)]
