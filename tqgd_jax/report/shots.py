"""Which slices the report shows, and their pictures."""

from collections.abc import Sequence

import numpy as np

from tqgd_jax.metrics.study import Study
from tqgd_jax.report.gallery import Shot
from tqgd_jax.report.overlays import choose, windowed
from tqgd_jax.report.pixels import Pixels, hounsfield
from tqgd_jax.report.tables import Row


def shots(
    study: Study,
    rows: Sequence[Row],
    pixels: Pixels | None,
    window: tuple[float, float] | None,
    most: int,
) -> list[Shot]:
    """Half the slices with most errors, half evenly spread over the others.

    Args:
      study: what was judged.
      rows: of lesions.csv.
      pixels: image k, [h, w] or [h, w, c]; None: no slice can be shown.
      window: values shown black and white; None: that of the type of the pixels.
      most: slices to show.
    """
    if pixels is None:
        return []
    of: dict[str, list[int]] = {image.name: [] for image in study.images}
    for k, row in enumerate(rows):
        of[row["image"]].append(k)
    images = study.point or study.images
    limits = [0.0 if limit is None else limit for limit in study.thresholds]
    found = []
    for k in choose(images, limits, most):
        image, seen = study.images[k], hounsfield(pixels, k)
        seen = pixels(k) if seen is None else seen
        if seen is None:
            continue
        place = image.place
        found.append(
            Shot(
                image=image.name,
                patient=image.patient,
                scan=place.scan,
                z=place.z,
                fold=place.fold,
                pixels=_grey(seen, window),
                rows=of[image.name],
            )
        )
    return found


def _grey(pixels: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Windowed, [h, w]: of colours their mean."""
    shown = windowed(pixels, window)
    return shown if shown.ndim == 2 else shown.mean(axis=2)
