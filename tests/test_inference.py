"""Detections and the images they belong to."""

import jax.numpy as jnp
import numpy as np

from tests.training.tiny import squares
from tqgd_jax.data import dataset as data_source
from tqgd_jax.inference import detect
from tqgd_jax.structures.batch import Detections


def test_detections_go_with_their_images_over_several_batches():
    source = squares(5)

    def predict(variables, batch):
        # A box as wide as the image's number and the weight; the filling has none.
        found = batch.index[:, :1].astype(jnp.float32) + variables["w"]
        box = jnp.concatenate([0 * found, 0 * found, found, found], 1)
        valid = jnp.concatenate([batch.index >= 0, batch.index < 0], 1)
        return Detections(
            boxes=jnp.stack([box, box], 1),
            scores=jnp.ones((2, 2)),
            labels=jnp.zeros((2, 2), int),
            valid=valid,
        )

    images = detect(
        predict, {"w": np.float32(10)}, data_source.in_order(source, 2), source.names
    )
    assert [i.name for i in images] == source.names
    for k, (image, truth) in enumerate(zip(images, source.boxes, strict=True)):
        np.testing.assert_array_equal(image.det_boxes, [[0, 0, 10 + k, 10 + k]])
        np.testing.assert_array_equal(image.boxes, truth)
    assert detect(predict, {"w": np.float32(0)}, iter(()), []) == []
