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
from tqgd_jax.network import Explained, Network

HEAD = "head"  # of each box the map that its own head reads
OF_TABLE = (r"backbone/thr_\w+", r"queen/q[234]", r"gd/inject\d")


def explained(network: Network) -> Explained:
    """The same network, if it can be explained; else ValueError."""
    if not isinstance(network, Explained):
        raise ValueError(
            f"{type(network).__name__} cannot be explained: it lacks methods of "
            "tqgd_jax.network.Explained, such as `evidence`; add them"
        )
    return network


class Watched(NamedTuple):
    """One pass through a network.

    Attributes:
      raw: its output.
      maps: of each module that gives one, [b h w c]; of one that gives a pyramid each
        level, as `backbone:p3`. A module that is called for each level gives that of
        the first.
      inputs: of each module the first argument of its first call, in their order.
    """

    raw: Any
    maps: dict[str, Array]
    inputs: dict[str, Any]


def watch(
    module: nn.Module,
    variables: Mapping[str, Any],
    image: Float[Array, "b s s c"],
    deltas: Mapping[str, Array] | None = None,
) -> Watched:
    """The network in evaluation, watched from outside: no module knows of it.

    Args:
      module: in the form of training, whose modules have the names of the paper.
      variables: `params` and `batch_stats`.
      image: the network's input.
      deltas: added to the maps of these names, before anything reads them.
    """
    maps: dict[str, Array] = {}
    inputs: dict[str, Any] = {}

    def add(name: str, x: Any) -> Array:
        maps[name] = x if name not in (deltas or {}) else x + (deltas or {})[name]
        return maps[name]

    def intercept(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = "/".join(context.module.path)
        if context.method_name != "__call__" or path in inputs:
            return call(*args, **kwargs)
        # Before the call: what it calls of itself is not the outermost.
        inputs[path] = args[0] if args else None
        out = call(*args, **kwargs)
        if path and type(out) is tuple and len(out) >= len(LEVELS):
            levels = enumerate(out, LEVELS[0])
            return tuple(add(f"{path}:p{n}", x) if _map(x) else x for n, x in levels)
        return add(path, out) if path and _map(out) else out

    with nn.intercept_methods(intercept):
        raw: Any = module.apply(dict(variables), image, train=False)
    return Watched(raw, maps, inputs)


def _map(x: Any) -> bool:
    return getattr(x, "ndim", 0) == 4


def _source(x: Array | str, level: int, maps: Mapping[str, Array]) -> str:
    """The outermost module that gave this very array."""
    if isinstance(x, str):
        return x
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
      side: px of what the maps cover, from the first row and column of the image on: its
        own, or more where the network pads it.
      parts: top-level modules from the score down; those of one name but for numbers
        (`down1`, `down2`) are one part.
    """

    shapes: dict[str, tuple[int, int, int]]
    read: dict[int, str]
    side: int
    parts: dict[str, tuple[str, ...]]

    def part_of(self, module: str) -> str:
        """The part that a map is of."""
        own = re.split("[/:]", module)[0]
        return next(part for part, names in self.parts.items() if own in names)


def places(
    network: Network, variables: Mapping[str, Any], image_size: int, channels: int
) -> Places:
    """All maps of a network; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32)
    read: dict[int, str] = {}
    called: list[str] = []

    def run(variables: Mapping[str, Any], image: Array) -> dict[str, Array]:
        watched = watch(network.module, variables, image)
        heads = explained(network).head_maps(watched.inputs)
        read.update({n: _source(x, n, watched.maps) for n, x in heads.items()})
        called.extend(path for path in watched.inputs if path in variables["params"])
        return watched.maps

    maps = jax.eval_shape(run, dict(variables), image)
    # What the first pass does not call is a second stage, nearest to the score.
    params = variables["params"]  # beside modules, weights of losses
    later = [
        name
        for name, of in params.items()
        if name not in called and isinstance(of, Mapping)
    ]
    return Places(
        {name: x.shape[1:] for name, x in maps.items()},
        read,
        max(image_size, *(x.shape[1] for x in maps.values())),
        _parts([*later, *reversed(called)]),
    )


def _parts(modules: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Modules by their name without numbers; one that is alone has its own."""
    groups: dict[str, list[str]] = {}
    for name in modules:
        groups.setdefault(re.sub(r"[\d_]+$", "", name), []).append(name)
    return {
        stem if len(names) > 1 else names[0]: tuple(names)
        for stem, names in groups.items()
    }


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
