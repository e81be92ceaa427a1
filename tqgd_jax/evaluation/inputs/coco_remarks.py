"""What a reader must know of COCO files that are valid, but may not mean it so."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.io.coco_columns import Entries

SLACK = 1  # px; tools round boxes
FRACTION = 1.5  # x + w of a box of fractions whose x is its centre
TINY = 16  # px: an image of no more may have boxes of `FRACTION`


def of_annotations(of: Entries) -> list[str]:
    """Where pycocotools reads ground truth in another way."""
    notes = []
    if any(row.get("id") == 0 for row in of.rows):
        notes.append(
            "an annotation has the id 0, which pycocotools takes for 'no match': its "
            "own figures miss that box"
        )
    if marked := sum(
        bool(row.get("ignore")) and not row.get("iscrowd") for row in of.rows
    ):
        notes.append(
            f"{marked} annotations have 'ignore' without 'iscrowd': figures by COCO's "
            "rule count them, as pycocotools does; all others ignore them"
        )
    return notes


def of_boxes(
    what: str,
    boxes: Float[np.ndarray, "n 4"],
    image: Int[np.ndarray, "n"],
    sizes: Sequence[tuple[int, int]],
) -> list[str]:
    """Signs that bbox is no (x, y, width, height) in px of the image.

    Args:
      what: the boxes are, as the remark says it.
      boxes: (x0, y0, x1, y1), px.
      image: to which each belongs.
      sizes: (height, width) of the images, px; may be empty.
    """
    if not len(boxes):
        return []
    large = not sizes or np.max(sizes) > TINY
    if large and boxes.max() <= FRACTION:
        return [
            f"boxes of the {what} look like fractions of the image (0 to 1): bbox is in "
            "px, no fraction"
        ]
    if not sizes:
        return []
    limits = np.array(sizes)[image][:, ::-1] + SLACK
    beyond = (boxes[:, 2:] > limits) | (boxes[:, :2] < -SLACK)
    if count := int(beyond.any(axis=1).sum()):
        return [
            f"{count} of {len(boxes)} {what} reach beyond their image: bbox is "
            "(x, y, width, height) in px"
        ]
    return []
