"""Labelled boxes that reach beyond the image that was judged, as a crop leaves them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tqgd_jax.overlap import beyond
from tqgd_jax.structures.evaluation_set import EvaluationSet

UNKNOWN = "the sizes of the images are not known"


def section(eval_set: EvaluationSet) -> dict[str, Any]:
    """`beyond` of the results: how many boxes their image cuts or leaves out, and where."""
    if not eval_set.sizes:
        return {"reason": UNKNOWN}
    images = [
        {"image": eval_set.images[k].name, "cut": cut, "outside": outside}
        for k, cut, outside in counts(eval_set)
    ]
    return {
        "boxes": sum(int(image.counting.sum()) for image in eval_set.images),
        "cut": sum(image["cut"] for image in images),
        "outside": sum(image["outside"] for image in images),
        "images": images,
    }


def counts(eval_set: EvaluationSet) -> Iterator[tuple[int, int, int]]:
    """(image, boxes cut, boxes outside) of each image that has such boxes."""
    for k, (h, w) in enumerate(eval_set.sizes):
        image = eval_set.images[k]
        cut, outside = beyond(image.boxes[image.counting], (0, 0, w, h))
        if np.any(cut | outside):
            yield k, int(cut.sum()), int(outside.sum())


def sentence(section: dict[str, Any]) -> str:
    """The section in a sentence; empty where no box reaches beyond its image."""
    if not section.get("images"):
        return ""
    where = ", ".join(row["image"] for row in section["images"])
    return (
        f"the crop cuts {section['cut']} and leaves out {section['outside']} of "
        f"{section['boxes']} labelled boxes: {where}"
    )
