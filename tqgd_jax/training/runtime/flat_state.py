"""A tree of many small arrays as a few vectors, one for each kind of parameter.

A network has hundreds of arrays, most of a few dozen numbers, and SGD, moving average
and finite check would run, and be compiled, once for each. On the devices the state
lies as one vector for each last name ("kernel", "scale", "bias", "mean", "var"), by
which the rules of the optimiser go too; the network sees slices of it.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Layout = tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]  # path and shape of leaves


@jax.tree_util.register_pytree_with_keys_class
class Packed:
    """A nested dict of arrays; as a pytree its leaves are the vectors.

    Attributes:
      vectors: of each kind; the arrays lie one after the other in the order of `layout`.
      layout: paths and shapes of the arrays.
    """

    def __init__(self, vectors: dict[str, Any], layout: Layout):
        """See `pack`."""
        self.vectors, self.layout = vectors, layout

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], Any]:
        """For JAX: the name of a kind is the last part of a leaf's path."""
        kinds = sorted(self.vectors)
        key = jax.tree_util.DictKey
        return [(key(k), self.vectors[k]) for k in kinds], (tuple(kinds), self.layout)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> "Packed":
        """For JAX: the children may be anything, such as a mask of an optimiser."""
        kinds, layout = aux
        return cls(dict(zip(kinds, children, strict=True)), layout)


def pack(tree: Mapping[str, Any]) -> Packed:
    """From a nested dict of float32 arrays, all of NumPy or all of JAX.

    Raises:
      ValueError: an array has another type.
    """
    leaves = jax.tree.leaves_with_path(tree)
    for path, x in leaves:
        if x.dtype != np.float32:
            raise ValueError(
                f"{jax.tree_util.keystr(path)} is {x.dtype}: parameters and batch "
                "statistics of a network are float32"
            )
    layout = tuple((tuple(p.key for p in path), x.shape) for path, x in leaves)
    return Packed(_joined(layout, [x for _, x in leaves]), layout)


def unpack(x: Packed) -> dict[str, Any]:
    """The nested dict: slices of the vectors, differentiable, or views of NumPy's."""
    on_host = isinstance(next(iter(x.vectors.values())), np.ndarray)
    arrays = (_slices if on_host else _differentiable)(x.layout, x.vectors)
    tree: dict[str, Any] = {}
    for (path, _), array in zip(x.layout, arrays, strict=True):
        at = tree
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = array
    return tree


def packed(tree: Any) -> Any:
    """The same with all nested dicts of arrays in it packed, as in a `TrainState`."""

    def whole(x: Any) -> bool:
        return isinstance(x, dict) and "params" not in x and bool(jax.tree.leaves(x))

    return jax.tree.map(lambda x: pack(x) if whole(x) else x, tree, is_leaf=whole)


def unpacked(tree: Any) -> Any:
    """The inverse of `packed`; what is not packed stays as it is."""
    return jax.tree.map(
        lambda x: unpack(x) if isinstance(x, Packed) else x,
        tree,
        is_leaf=lambda x: isinstance(x, Packed),
    )


def packed_like(tree: Any, other: Any) -> Any:
    """`tree`, packed if `other` is."""
    return pack(tree) if isinstance(other, Packed) else tree


def _places(layout: Layout) -> Iterator[tuple[str, int, int, tuple[int, ...]]]:
    """Of each array its kind, first and last place in the vector, and shape."""
    end: dict[str, int] = {}
    for path, shape in layout:
        kind = path[-1]
        start = end.get(kind, 0)
        end[kind] = start + math.prod(shape)
        yield kind, start, end[kind], shape


def _slices(layout: Layout, vectors: dict[str, Any]) -> list[Any]:
    return [vectors[k][a:b].reshape(shape) for k, a, b, shape in _places(layout)]


def _joined(layout: Layout, arrays: list[Any]) -> dict[str, Any]:
    kinds: dict[str, list[Any]] = {}
    for (path, _), x in zip(layout, arrays, strict=True):
        kinds.setdefault(path[-1], []).append(x.reshape(-1))
    join = np.concatenate if isinstance(arrays[0], np.ndarray) else jnp.concatenate
    return {kind: join(parts) for kind, parts in kinds.items()}


# The gradient of a slice by JAX's rule is a vector of zeros with one part filled, and
# hundreds of them would be added up; they are simply joined.
_differentiable = jax.custom_vjp(_slices, nondiff_argnums=(0,))
_differentiable.defvjp(
    lambda layout, vectors: (_slices(layout, vectors), None),
    lambda layout, _, cotangents: (_joined(layout, cotangents),),
)
