"""Necks. A neck is a chain of stages; each maps a pyramid to one of the same sizes.

The folder is the registry: a stage is a file here with a linen module `Fusion`, and its
name in `model.neck` is the file's name. `Fusion` must have the field `features`; it may
declare any other keyword that `build` offers, and gets those it declares. A stage that
is tried in a notebook needs no file: `add`.
"""

import dataclasses
import importlib
import pkgutil
from typing import Any

import flax.linen as nn

from tqgd_jax.config import one_of

_added: dict[str, type[nn.Module]] = {}


def add(name: str, stage: type[nn.Module]) -> None:
    """Makes a class a stage of this process; adding a name again replaces it.

    Raises ValueError for the name of a file here.
    """
    if name in names() and name not in _added:
        raise ValueError(f"fusion stage {name!r} is there already, as a file")
    _added[name] = stage


def names() -> tuple[str, ...]:
    """Every stage in this folder and every added one, sorted."""
    return tuple(sorted({m.name for m in pkgutil.iter_modules(__path__)} | {*_added}))


def build(name: str, **offered: Any) -> nn.Module:
    """The stage `name` with those of the offered settings that it declares.

    Args:
      name: a file of this folder.
      **offered: `features` (channels of P2..P5), `levels` (the outputs that are needed;
        others may pass unchanged; only the last stage of a chain is told, so the default
        must suit one in mid-chain), `repeats` (bottlenecks of a C3), `embed` (channels
        of a global map), `queen` and `gd` (settings), `mode`.

    Raises:
      ValueError: no such stage.
    """
    one_of("model.neck", name, names())
    stage = _added.get(name)
    if stage is None:
        stage = importlib.import_module(f"{__name__}.{name}").Fusion
    declared = {field.name for field in dataclasses.fields(stage)}
    wanted = {key: value for key, value in offered.items() if key in declared}
    return stage(**wanted, name=name)
