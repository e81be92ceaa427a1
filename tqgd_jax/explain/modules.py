"""The maps inside a network by the paths of the modules that give them: `queen/q3`."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from tqgd_jax.config import LEVELS
from tqgd_jax.detector import Detector
from tqgd_jax.network import Network
from tqgd_jax.yolo import Yolo

HEAD = "head"  # of each box the map that its own head reads
OF_TABLE = (r"backbone/thr_\w+", r"queen/q[234]", r"gd/inject\d")


def detector_of(network: Network) -> Detector:
    """The module whose maps are read; ValueError for a network of another family."""
    if not isinstance(network, Yolo):
        raise ValueError(
            "maps are read of the detectors of `model`, and this run has a network of "
            "tqgd_jax/baselines/; give a run without baseline.family"
        )
    return network.module


class Watched(NamedTuple):
    """One pass through a network.

    Attributes:
      preds: its output.
      maps: of each module that gives one, [b h w c]; of one that gives a pyramid each
        level, as `backbone:p3`.
      read: the map that the head of each level reads, by its name.
    """

    preds: tuple[Array, ...]
    maps: dict[str, Array]
    read: dict[int, str]


def watch(
    detector: Detector,
    variables: Mapping[str, Any],
    image: Float[Array, "b s s c"],
    deltas: Mapping[str, Array] | None = None,
) -> Watched:
    """The network in evaluation, watched from outside: no module knows of it.

    Args:
      detector: in the form of training, whose modules have the names of the paper.
      variables: `params` and `batch_stats`.
      image: the network's input.
      deltas: added to the maps of these names, before anything reads them.
    """
    maps: dict[str, Array] = {}
    read: dict[int, str] = {}
    begun: set[str] = set()

    def add(name: str, x: Any) -> Array:
        maps[name] = x if name not in (deltas or {}) else x + (deltas or {})[name]
        return maps[name]

    def intercept(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = "/".join(context.module.path)
        if context.method_name != "__call__" or path in begun:
            return call(*args, **kwargs)
        begun.add(path)  # before the call: what it calls of itself is not the outermost
        if path == "head":
            read.update({n: _source(args[0][n - 2], n, maps) for n in heads})
        out = call(*args, **kwargs)
        if isinstance(out, tuple) and len(out) == len(LEVELS):
            levels = zip(LEVELS, out, strict=True)
            return tuple(add(f"{path}:p{n}", x) if _map(x) else x for n, x in levels)
        return add(path, out) if path and _map(out) else out

    heads = detector.model.heads
    with nn.intercept_methods(intercept):
        preds: Any = detector.apply(dict(variables), image, train=False)
    return Watched(preds, maps, read)


def _map(x: Any) -> bool:
    return getattr(x, "ndim", 0) == 4


def _source(x: Array, level: int, maps: Mapping[str, Array]) -> str:
    """The outermost module that gave this very array."""
    names = [name for name, given in maps.items() if given is x]
    single = [name for name in names if ":" not in name]
    if not single + names:
        raise ValueError(
            f"what the head at P{level} reads is the output of no module; name a module"
        )
    return min(single or names, key=lambda name: name.count("/"))


class Places(NamedTuple):
    """Which maps a network has.

    Attributes:
      shapes: height, width and channels of each map at the run's image size.
      read: the map that the head of each level reads.
    """

    shapes: dict[str, tuple[int, int, int]]
    read: dict[int, str]


def places(detector: Detector, variables: Mapping[str, Any], image_size: int) -> Places:
    """All maps of a network; nothing is computed."""
    side, channels = image_size, detector.model.in_channels
    image = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    read: dict[int, str] = {}

    def run(variables: Mapping[str, Any], image: Array) -> dict[str, Array]:
        watched = watch(detector, variables, image)
        read.update(watched.read)
        return watched.maps

    maps = jax.eval_shape(run, dict(variables), image)
    return Places({name: x.shape[1:] for name, x in maps.items()}, read)


def named(words: Sequence[str], of: Places) -> tuple[str, ...]:
    """The modules that are asked for.

    Args:
      words: names of maps; "head"; or "all", for the modules of the paper (ThrConvs,
        Queen-fusion, GD) and the maps that heads read.
      of: the network.

    Raises:
      ValueError: no such module, with the nearest names; or it gives a pyramid.
    """
    names: list[str] = []
    for word in words:
        if word == "all":
            for module in OF_TABLE:
                names += [name for name in of.shapes if re.fullmatch(module, name)]
            names += of.read.values()
        elif word == HEAD or word in of.shapes:
            names.append(word)
        elif levels := [name for name in of.shapes if name.startswith(f"{word}:")]:
            raise ValueError(
                f"module {word!r} gives a map for each level; name one of "
                f"{', '.join(levels)}"
            )
        else:
            near = difflib.get_close_matches(word, of.shapes, 3, 0.4)
            hint = f"; near it are {', '.join(near)}" if near else ""
            raise ValueError(
                f"no module {word!r} gives a map in this network{hint}; --module=list "
                "names all"
            )
    return tuple(dict.fromkeys(names))
