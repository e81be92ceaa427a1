"""`data.placement="stream"`: batches through tf.data, for sets of any size.

tf.data runs over the numbers of the steps and looks the images up, so a run that
resumes at a step sees what an uninterrupted one sees.
"""

from collections.abc import Iterator

import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.data.batches import order
from tqgd_jax.data.dataset import Dataset, load
from tqgd_jax.structures.batch import Arr, Batch


def stream(
    source: Dataset,
    config: Config,
    start: int,
    stop: int,
    share: slice = slice(None),
    *,
    masks: bool = False,
) -> Iterator[Batch]:
    """Training batches of the steps from `start` up to `stop`, in order.

    Of each only the rows in `share` are read, those of one process of several.
    Each equals `load` of the rows of `order.of_run` bit for bit, with or without masks.
    """
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    indices = order.of_run(config, source.boxes)
    failed: list[Exception] = []

    def batch(step: np.integer) -> list[Arr]:
        try:
            made = load(source, indices(int(step))[share], masks=masks)
            return [array for array in made if array is not None]
        except Exception as error:
            failed.append(error)  # tf.data would turn it into a text
            raise

    dtypes = [tf.as_dtype(source.dtype), tf.int32, tf.float32]
    dtypes += [tf.int32, tf.bool, tf.int32] + [tf.uint8] * masks
    steps = tf.data.Dataset.range(start, stop)
    data = steps.map(
        lambda step: tf.numpy_function(batch, [step], dtypes, stateful=False),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    ).prefetch(config.data.prefetch)
    try:
        for arrays in data.as_numpy_iterator():
            yield Batch(*arrays)
    except tf.errors.OpError as error:
        raise failed[0] if failed else error from None
