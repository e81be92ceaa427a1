"""The pixels of an image, where they are known."""

from collections.abc import Callable

import numpy as np

Pixels = Callable[[int], np.ndarray | None]
Window = tuple[float, float]
HU_WINDOW = (-200.0, 500.0)  # fat is grey, calcium white


def window_of(
    pixels: Pixels, images: int, window: Window | None
) -> tuple[Window | None, str]:
    """The window to draw in, `HU_WINDOW` for HU that have none, and how to say it."""
    seen = (pixels(k) for k in range(images))
    first = next((image for image in seen if image is not None), None)
    hu = first is not None and first.dtype == np.int16
    window = HU_WINDOW if window is None and hu else window
    if window is None:
        return None, ""
    unit = "HU" if hu else "values"
    return window, f"{unit} {window[0]:g} to {window[1]:g} from black to white"


def windowed(pixels: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Values in [0, 1] for the screen, [h, w] or [h, w, 3].

    Without a window: the full range of unsigned images, [0, 1] of floats, and the
    image's own range of signed ones.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if window is None:
        kind = pixels.dtype
        if np.issubdtype(kind, np.unsignedinteger):
            window = 0.0, float(np.iinfo(kind).max)
        elif np.issubdtype(kind, np.floating):
            window = 0.0, 1.0
        else:
            window = float(pixels.min()), float(pixels.max())
    low, high = window
    shown = (pixels.astype(np.float64) - low) / max(high - low, 1e-9)
    return np.clip(shown, 0, 1)
