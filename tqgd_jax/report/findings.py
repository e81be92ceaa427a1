"""Pictures of detections where nothing is labelled: a sheet of slices or images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.patches import Rectangle

from tqgd_jax.report.html.pixels import windowed
from tqgd_jax.report.pictures import panels, save, show

COLOUR = "#2EE6A8"
PANEL = 4.2  # inches a side
GAP = 0.008  # of the image: outlines stand off, so that a lesion of a few px stays visible
DISCLAIMER = "Not a medical device. For research."


@rc_context({"text.parse_math": False})  # a name may hold a dollar
def sheet(
    path: Path,
    pixels: Sequence[np.ndarray],
    names: Sequence[str],
    boxes: Sequence[Float[np.ndarray, "_ 4"]],
    scores: Sequence[Float[np.ndarray, "_"]],
    title: str,
    window: tuple[float, float],
) -> None:
    """Draws images with their boxes and scores as PNG.

    Args:
      path: of the PNG.
      pixels: [h, w] or [h, w, channels] of each image; the middle channel is shown.
      names: of each image.
      boxes: (x0, y0, x1, y1) of each image, px.
      scores: of the boxes.
      title: of the sheet.
      window: values shown black and white.
    """
    figure, grid = panels(len(pixels), PANEL, (0.3, 1.2), least=7)
    figure.suptitle(f"{title}\n{DISCLAIMER}", color="white", size=13)
    if not pixels:
        grid[0].text(0.5, 0.5, "nothing found", color="white", ha="center", size=16)
    each = zip(grid, pixels, names, boxes, scores, strict=False)
    for axes, image, name, of_image, certainty in each:
        if image.ndim == 3 and image.shape[2] not in (1, 3):
            image = image[:, :, image.shape[2] // 2]
        show(axes, windowed(image, window), name)
        gap = GAP * max(image.shape[:2])
        for (x0, y0, x1, y1), score in zip(
            of_image.tolist(), certainty.tolist(), strict=True
        ):
            corner, sides = (x0 - gap, y0 - gap), (x1 - x0 + 2 * gap, y1 - y0 + 2 * gap)
            axes.add_patch(Rectangle(corner, *sides, fill=False, color=COLOUR, lw=1.4))
            axes.text(
                x1 + gap, y0 - gap, f"{score:.2f}", color=COLOUR, size=8, va="bottom"
            )
    save(figure, path)
