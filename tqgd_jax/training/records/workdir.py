"""The folder of a run: who may use it, with which settings, and its log files."""

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqgd_jax.config import Config, differences, from_dict
from tqgd_jax.io import atomic

# Where files lie; what they say is in the fingerprint of the data.
PLACES = (
    *("data.dir", "data.boxes", "data.crop.method", "data.split"),
    "data.prepared_dir",
)
# How a run is carried out, not what it computes: these may change when it is resumed.
MAY_CHANGE = (
    *PLACES,
    "data.placement",
    "data.resident_mib",
    "data.prefetch",
    "train.steps",
    "train.eval_every",
    "train.checkpoint_every",
    "train.checkpoint_steps",
    "train.keep",
    "train.steps_per_call",
    "train.non_finite",
    "train.non_finite_limit",
    "train.parallel",
    "train.devices",
    "train.log_every",
    "train.tensorboard",
    "eval.batch_size",
)
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps other processes out of the folder.

    A run that is refused before it has written anything leaves no folder.

    Raises:
      RuntimeError: another process is training there.
      OSError: the folder cannot be written.
    """
    if folder.is_file():
        raise OSError(f"--workdir: {folder} is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
        lock = contextlib.ExitStack()
        lock.enter_context(atomic.lock(folder / ".lock"))
    except OSError as error:
        with contextlib.suppress(OSError):
            (folder / ".lock").unlink()
            folder.rmdir()
        raise OSError(
            f"--workdir: {folder} cannot be written ({error.strerror}); choose another, "
            "or make room for it"
        ) from error
    with lock:
        try:
            yield
        except BaseException:
            if not (folder / "config.json").exists():
                (folder / ".lock").unlink()
                with contextlib.suppress(OSError):  # it holds something else
                    folder.rmdir()
            raise


def write_json(path: Path, value: Any) -> None:
    """All or nothing, on the disk."""
    with atomic.file(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def record(folder: Path, config: Config, run: dict[str, Any]) -> None:
    """Writes `config.json` and `versions.json`, or checks them when they are there.

    Args:
      folder: the workdir.
      config: settings.
      run: what follows from settings and data and must not change either: classes,
        anchors, fingerprint of the data.

    Raises:
      ValueError: the folder was made with other settings or data; names them.
    """
    path = folder / "config.json"
    config = dataclasses.replace(config, model=config.model.resolved())
    if path.exists():
        old, old_run = read(folder)
        old.model = old.model.resolved()  # older ones did not write the preset out
        changed = {
            name: values
            for name, values in differences(old, config).items()
            if name not in MAY_CHANGE
        } | {
            name: (old_run.get(name), value)
            for name, value in run.items()
            if old_run.get(name, value) != value  # older runs have fewer
        }
        if changed:
            listed = "\n".join(
                f"  {name}: {stored!r} there, {here!r} now"
                for name, (stored, here) in changed.items()
            )
            raise ValueError(
                f"{folder} was made with other settings:\n{listed}\n"
                "Use the old ones to resume, or another --workdir for a new run."
            )
    write_json(path, {"config": dataclasses.asdict(config), "run": run})
    write_json(folder / "versions.json", versions())


def read(folder: Path) -> tuple[Config, dict[str, Any]]:
    """The settings of a run and what follows from them (see `record`).

    Raises:
      FileNotFoundError: no run there.
      ValueError: the file cannot be read.
    """
    path = folder / "config.json"
    if folder.is_file():
        raise ValueError(f"{folder} is a file; name the folder of a run of train.py")
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: {folder} is not the workdir of a run; train.py makes "
            "one"
        )
    try:
        document = json.loads(path.read_text())
        return from_dict(Config, document["config"]), document["run"]
    except (
        *(ValueError, KeyError, TypeError, AttributeError),
        *(RecursionError, OverflowError),  # brackets without end, 1e999 for a size
    ) as error:
        raise ValueError(
            f"{path} is not a run's config.json ({error}); restore it or train in "
            "another --workdir"
        ) from error


def versions() -> dict[str, Any]:
    """Packages, Python, machine and command of this process."""
    import jax

    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
        "machine": platform.platform(),
        "command": sys.argv,
    }
