"""What a reader is told of boxes that may not mean what they say."""

import numpy as np
import pytest

from tqgd_jax.evaluation.inputs.coco_remarks import of_boxes

# A box of fractions whose x and y are centres, as YOLO has them, and one in px.
YOLO, PIXELS = (0.9, 0.5, 1.4, 0.7), (3.0, 4.0, 9.0, 8.0)


@pytest.mark.parametrize(
    ("boxes", "sizes", "remarked"),
    [
        ([YOLO], [(60, 80)], True),
        ([YOLO], [(8, 17)], True),
        ([YOLO], [], True),
        ([YOLO], [(16, 16)], False),  # it may well be a px wide
        ([YOLO, PIXELS], [(60, 80)], False),
        ([(0, 0, 1.6, 1)], [(60, 80)], False),
        ([], [(60, 80)], False),
    ],
)
def test_boxes_of_fractions_are_told(boxes, sizes, remarked):
    corners = np.array(boxes, float).reshape(-1, 4)
    remarks = of_boxes("annotations", corners, np.zeros(len(boxes), int), sizes)
    assert len(remarks) == remarked
    assert not remarked or "look like fractions of the image (0 to 1)" in remarks[0]
