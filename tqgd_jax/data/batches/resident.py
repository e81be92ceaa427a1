"""`data.placement="resident"`: the whole split lies on the device as padded arrays.

No TensorFlow and no host work: an epoch is one loop on the device over `take`.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from tqgd_jax.config import Config
from tqgd_jax.data.dataset import Dataset, load
from tqgd_jax.structures.batch import Arr, Batch

logger = logging.getLogger("tqgd_jax")


class Resident(NamedTuple):
    """One split, each row padded like a row of `Batch`; empty rows up to its capacity."""

    image: Integer[Arr, "n h w c"]
    size: Int[Arr, "n 2"]
    boxes: Float[Arr, "n m 4"]
    labels: Int[Arr, "n m"]
    valid: Bool[Arr, "n m"]
    lesion: Integer[Arr, "n h w"] | None = None


def fits(source: Dataset, config: Config, *, masks: bool = False) -> bool:
    """Whether `data.placement` asks for a resident set and the device has room for it.

    With `masks` it holds those of the lesions. Says so when it has no room: training
    then streams, with the same bits.
    """
    if config.data.placement != "resident":
        return False
    need = mebibytes(source, masks=masks)
    budget = config.data.resident_mib or _half_of_memory()
    if need <= budget:
        return True
    logger.warning(
        "data.placement=resident: %d images as %dx%dx%d need %.0f MiB, the budget is %.0f "
        "MiB (data.resident_mib; 0 is half of the device's memory); going on with "
        "data.placement=stream, which trains the same bits",
        *(_rows(source), *source.shape, need, budget),
    )
    return False


def mebibytes(source: Dataset, *, masks: bool = False) -> float:
    """What a split takes on a device, with its empty rows."""
    pixels = int(np.prod(source.shape)) * source.dtype.itemsize
    pixels += int(np.prod(source.shape[:2])) * masks
    rest = 2 * 4 + source.max_boxes * (4 * 4 + 4 + 1)
    return _rows(source) * (pixels + rest) / 2**20


def _rows(source: Dataset) -> int:
    return max(len(source.names), source.capacity)


def _half_of_memory() -> float:
    """MiB, of what JAX may take of the default device; a CPU's is the machine's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    if not limit:
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            limit = min(limit, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return limit / 2 / 2**20


def arrays(source: Dataset, *, masks: bool = False) -> Resident:
    """A split as host arrays, ready to be put on devices; with `masks` those of lesions."""
    if not source.names:
        raise ValueError("nothing to upload: the split has no images")
    n, (h, w, c) = len(source.names), source.shape
    indices = np.full((1, _rows(source)), -1, np.int32)
    indices[0, :n] = np.arange(n)
    every = load(source, indices, masks=masks)
    need = mebibytes(source, masks=masks)
    logger.info("resident: %d images as %dx%dx%d, %.1f MiB", n, h, w, c, need)
    lesion = None if every.lesion is None else every.lesion[0]
    return Resident(*(a[0] for a in every[:5]), lesion=lesion)


def take(resident: Resident, indices: Int[Arr, "b t"]) -> Batch:
    """The batch that `dataset.load` would make, on the device and under `jit`."""
    index = jnp.asarray(indices)
    real = index >= 0
    row = jnp.maximum(index, 0)
    image, size, boxes, labels, valid = (jnp.asarray(a)[row] for a in resident[:5])
    lesion = resident.lesion
    if lesion is not None:
        lesion = jnp.asarray(lesion)[row]
        lesion = jnp.where(real[:, :, None, None], lesion, jnp.zeros_like(lesion))
    return Batch(
        image=jnp.where(real[:, :, None, None, None], image, jnp.zeros_like(image)),
        size=jnp.where(real[:, :, None], size, jnp.ones_like(size)),
        boxes=jnp.where(real[:, :, None, None], boxes, jnp.zeros_like(boxes)),
        labels=jnp.where(real[:, :, None], labels, jnp.zeros_like(labels)),
        valid=valid & real[:, :, None],
        index=index,
        lesion=lesion,
    )
