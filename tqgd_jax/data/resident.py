"""`data.placement="resident"`: the whole split lies on the device as padded arrays.

No TensorFlow and no host work: an epoch can be one `lax.scan` over `take`.
"""

import logging
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from tqgd_jax.data.source import Source, load
from tqgd_jax.types import Arr, Batch

logger = logging.getLogger("tqgd_jax")


class Resident(NamedTuple):
    """One split, each row padded like a row of `Batch`."""

    image: Int[Array, "n h w c"]
    size: Int[Array, "n 2"]
    boxes: Float[Array, "n m 4"]
    labels: Int[Array, "n m"]
    valid: Bool[Array, "n m"]


def upload(source: Source) -> Resident:
    """Puts a split on the default device."""
    if not source.names:
        raise ValueError("nothing to upload: the split has no images")
    every = load(source, np.arange(len(source.names), dtype=np.int32)[None, :])
    arrays = [a[0] for a in every[:-1]]
    mib = sum(a.nbytes for a in arrays) / 2**20
    n, h, w, c = arrays[0].shape
    logger.info("resident: %d images as %dx%dx%d, %.1f MiB", n, h, w, c, mib)
    return Resident(*(jnp.asarray(a) for a in arrays))


def take(resident: Resident, indices: Int[Arr, "b t"]) -> Batch:
    """The batch that `source.load` would make, on the device and under `jit`."""
    index = jnp.asarray(indices)
    real = index >= 0
    row = jnp.maximum(index, 0)
    image, size, boxes, labels, valid = (a[row] for a in resident)
    return Batch(
        image=jnp.where(real[:, :, None, None, None], image, jnp.zeros_like(image)),
        size=jnp.where(real[:, :, None], size, jnp.ones_like(size)),
        boxes=jnp.where(real[:, :, None, None], boxes, jnp.zeros_like(boxes)),
        labels=jnp.where(real[:, :, None], labels, jnp.zeros_like(labels)),
        valid=valid & real[:, :, None],
        index=index,
    )
