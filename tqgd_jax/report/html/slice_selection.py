"""Which slices the report shows, and their pictures."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.calcium_section import Row
from tqgd_jax.evaluation.inputs.image_pixels import hounsfield
from tqgd_jax.report.html.gallery import SelectedSlice, drawn, outcome
from tqgd_jax.report.html.pixels import Pixels, windowed
from tqgd_jax.structures.evaluation_set import EvaluationSet

ERRORS = ("missed", "false alarm")


def select_slices(
    eval_set: EvaluationSet,
    rows: Sequence[Row],
    pixels: Pixels | None,
    window: tuple[float, float] | None,
    most: int,
) -> list[SelectedSlice]:
    """The first slices in the order of `ranked` whose pixels are known.

    Args:
      eval_set: what was judged.
      rows: of lesions.csv.
      pixels: image k, [h, w] or [h, w, c]; None: no slice can be shown.
      window: values shown black and white; None: that of the type of the pixels.
      most: slices to show.
    """
    if pixels is None:
        return []
    of: dict[str, list[int]] = {image.name: [] for image in eval_set.images}
    for k, row in enumerate(rows):
        of[row["image"]].append(k)
    order = ranked(eval_set, [[rows[k] for k in of[i.name]] for i in eval_set.images])
    chosen: dict[int, SelectedSlice] = {}
    left = order
    while left and len(chosen) < most:
        missing = most - len(chosen)
        batch, left = left[:missing], left[missing:]
        for k in sorted(batch):  # scan after scan, so that none is read twice
            if (seen := grey(pixels, k, window)) is not None:
                image = eval_set.images[k]
                chosen[k] = SelectedSlice(
                    image=image.name,
                    patient=image.patient,
                    scan=image.place.scan,
                    z=image.place.z,
                    fold=image.place.fold,
                    pixels=seen,
                    rows=of[image.name],
                )
    return [chosen[k] for k in order if k in chosen]


def ranked(eval_set: EvaluationSet, rows: Sequence[Sequence[Row]]) -> list[int]:
    """Images with most errors first, then those with labelled boxes, then empty ones.

    Errors are what the captions count: missed boxes and false alarms at IoU 0.5. Without
    a threshold there are none. Equal images stay as they stand.

    Args:
      eval_set: what was judged.
      rows: of lesions.csv, of each image.
    """
    errors = [
        sum(drawn(row, None) and outcome(row) in ERRORS for row in own) for own in rows
    ]

    def order(k: int) -> tuple[int, bool]:
        return -errors[k], not (errors[k] or eval_set.images[k].counting.any())

    return sorted(range(len(errors)), key=order)


def grey(
    pixels: Pixels, k: int, window: tuple[float, float] | None
) -> Float[np.ndarray, "h w"] | None:
    """Image k windowed, of colours their mean; None where its pixels are not known."""
    seen = hounsfield(pixels, k)
    seen = pixels(k) if seen is None else seen
    if seen is None:
        return None
    shown = windowed(seen, window)
    return shown if shown.ndim == 2 else shown.mean(axis=2)
