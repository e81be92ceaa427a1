"""Detections and the images they belong to."""

import jax.numpy as jnp
import numpy as np

from tests.training.tiny import squares
from tqgd_jax.data import dataset as data_source
from tqgd_jax.inference import detect
from tqgd_jax.structures.batch import Detections


def test_what_lies_beside_the_image_and_is_clipped_to_nothing_is_no_detection():
    source = squares(1)

    def predict(variables, batch):
        boxes = np.array(
            [[0, 3, 5, 9], [0, 4, 0, 9], [2, 64, 8, 64], [9, 9, 9.001, 10]]
        )
        return Detections(
            boxes=jnp.asarray(boxes[None], jnp.float32),
            scores=jnp.ones((1, 4)),
            labels=jnp.zeros((1, 4), int),
            valid=jnp.ones((1, 4), bool),
        )

    batches = data_source.in_order(source, 1)
    (image,) = detect(predict, {"w": np.float32(0)}, batches, source.names)
    np.testing.assert_allclose(image.det_boxes, [[0, 3, 5, 9], [9, 9, 9.001, 10]])


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
