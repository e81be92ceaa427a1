"""Where stored pixels and boxes go: mosaic, scale, translation, flip, letterbox.

All of it maps rows to rows and columns to columns, so an image is carried by two small
matrices, `A_y @ tile @ A_x.T`, and a box by its corners. Coordinates are pixel edges:
pixel i covers [i, i + 1]. Pairs are (y, x), except in boxes.

A tile is placed on a canvas of 2S x 2S px (S the network size); the view is the S x S
window on it that the network sees. The functions treat one image; `t` is its tiles.
"""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Integer

from tqgd_jax.structures.batch import Arr


class Place(NamedTuple):
    """Tiles on a canvas.

    Attributes:
      gain: canvas pixels per stored pixel.
      origin: canvas coordinates of the stored image's top left corner.
      low, high: part of the canvas that shows the tile; empty if not low < high.
    """

    gain: Float[Array, "t"]
    origin: Float[Array, "t 2"]
    low: Float[Array, "t 2"]
    high: Float[Array, "t 2"]


class View(NamedTuple):
    """Canvas to network pixels: out = (canvas - centre) * scale + shift, then flip.

    Attributes:
      centre: point of the canvas that `shift` is about, the same in y and x.
      scale: network pixels per canvas pixel.
      shift: where the centre comes to lie, network px.
      flip: mirror left and right.
    """

    centre: Float[Array, ""]
    scale: Float[Array, ""]
    shift: Float[Array, "2"]
    flip: Bool[Array, ""]


def letterbox_geometry(
    size: Integer[Arr, "*b 2"] | tuple[int, int], image_size: int
) -> tuple[Float[Arr, "*b"], Float[Arr, "*b"], Float[Arr, "*b"]]:
    """How an image lies in the square input: network = native * gain + pad.

    The long side fills the input, enlarged or shrunk; both axes have one gain; the
    content is centred, with the padding above and to the left rounded down to whole
    pixels, so an odd one is below or right. NumPy in, NumPy out; JAX in, JAX out; both
    the same numbers.

    Args:
      size: height and width of the native image, px, at least 1.
      image_size: side of the network input, px.

    Returns:
      gain, pad_y, pad_x: network px per native px; network px.
    """
    xp = jnp if isinstance(size, Array) else np
    size = xp.asarray(size).astype(xp.int32)
    h, w = size[..., 0], size[..., 1]
    side = xp.maximum(xp.maximum(h, w), 1)  # padding images have size 0
    gain = xp.float32(image_size) / side.astype(xp.float32)
    # In integers: floor((S - w * gain) / 2) of floats gives -1 for some full sides.
    pad_y = (image_size * (side - h)) // (2 * side)
    pad_x = (image_size * (side - w)) // (2 * side)
    real = partial(xp.asarray, dtype=xp.float32)  # NumPy makes scalars of 0-d results
    return real(gain), real(pad_y), real(pad_x)


def letterbox_place(size: Int[Array, "t 2"], side: int) -> Place:
    """Tiles on a canvas of side x side px as `letterbox_geometry` says.

    Their sides are not rounded to whole pixels.
    """
    _, *pad = letterbox_geometry(size, side)
    gain, extent = _resized(size, side)
    origin = jnp.stack(pad, axis=-1)
    return Place(gain, origin, origin, origin + extent)


def mosaic_place(
    size: Int[Array, "t 2"],
    corner: Int[Array, "2"],
    quadrant: Int[Array, "t"],
    side: int,
) -> Place:
    """Four tiles that meet at `corner` of the canvas (YOLOv5 v7.0 mosaic).

    Each is resized like `letterbox_place` does. Quadrant 0 is top left, 1 top right, 2
    bottom left, 3 bottom right; what leaves the canvas of 2 side x 2 side is cut off.
    """
    gain, extent = _resized(size, side)
    after = jnp.stack([quadrant // 2, quadrant % 2], axis=-1) == 1
    origin = corner.astype(jnp.float32)[None] - jnp.where(after, 0.0, extent)
    low, high = (jnp.clip(edge, 0.0, 2.0 * side) for edge in (origin, origin + extent))
    return Place(gain, origin, low, high)


def _resized(
    size: Int[Array, "t 2"], side: int
) -> tuple[Float[Array, "t"], Float[Array, "t 2"]]:
    """Gain and extent of tiles with a long side of `side` px."""
    long = jnp.maximum(jnp.max(size, axis=-1, keepdims=True), 1)  # 0: a padding image
    extent = (size * side).astype(jnp.float32) / long.astype(jnp.float32)
    return side / long[:, 0].astype(jnp.float32), extent


def canvas_centres(
    view: View, side: int
) -> tuple[Float[Array, "s"], Float[Array, "s"]]:
    """Canvas coordinates (y, x) of the centres of the network's rows and columns."""
    out = jnp.arange(side, dtype=jnp.float32) + 0.5
    y = (out - view.shift[0]) / view.scale + view.centre
    x = (
        jnp.where(view.flip, side - out, out) - view.shift[1]
    ) / view.scale + view.centre
    return y, x


def sampling_matrix(
    centres: Float[Array, "s"],
    place: Place,
    size: Int[Array, "t 2"],
    axis: int,
    length: Any,
    *,
    average: bool = False,
) -> tuple[Float[Array, "t s length"], Float[Array, "t s"]]:
    """Weights of stored rows (axis 0) or columns (1), and the share of the tile.

    Bilinear, as if the canvas were sampled at `centres`: within half a canvas pixel of
    its edge a tile fades into what is beside it. The weights of a network pixel sum to
    that share, which is 0 outside the tile; stored padding has weight 0.

    Args:
      centres: canvas coordinates, one per row or column of the network's input.
      place: the tiles on the canvas.
      size: height and width of the stored images.
      axis: which of the two.
      length: stored rows or columns, padding included: an int, or a symbol of `jax.export`.
      average: weigh stored pixels by their overlap with the canvas pixel where the tile
        shrinks (evaluation) rather than bilinearly there too (training).
    """
    low, high = place.low[:, axis, None], place.high[:, axis, None]
    gain, last = place.gain[:, None], size[:, axis, None].astype(jnp.float32)
    c = centres[None]
    share = jnp.clip(jnp.minimum(c + 0.5, high) - jnp.maximum(c - 0.5, low), 0.0, 1.0)

    shown = jnp.clip(c, low + 0.5, high - 0.5)  # beyond its edge a tile repeats it
    at = (shown - place.origin[:, axis, None]) / gain  # stored pixels, edges
    stored = jnp.arange(length, dtype=jnp.float32)[None, None]
    index = jnp.clip(at - 0.5, 0.0, jnp.maximum(last - 1, 0.0))[:, :, None]
    weights = jnp.maximum(1 - jnp.abs(index - stored), 0.0)
    if average:
        half = 0.5 / gain
        start = jnp.clip(at - half, 0.0, last)[:, :, None]
        stop = jnp.clip(at + half, 0.0, last)[:, :, None]
        overlap = jnp.clip(stop - stored, 0.0, 1.0) - jnp.clip(start - stored, 0.0, 1.0)
        total = jnp.maximum(stop - start, 1e-6)
        weights = jnp.where(gain[:, :, None] < 1, overlap / total, weights)
    return weights * share[:, :, None], share


def map_boxes(
    boxes: Float[Array, "t m 4"], place: Place, view: View, side: int
) -> tuple[Float[Array, "t m 4"], Float[Array, "t m"]]:
    """Boxes in network px, clipped to tile and view, and their areas unclipped."""
    origin, low, high = (
        jnp.concatenate([v[:, ::-1], v[:, ::-1]], axis=-1)[:, None]
        for v in (place.origin, place.low, place.high)
    )
    canvas = boxes * place.gain[:, None, None] + origin
    shift = jnp.concatenate([view.shift[::-1], view.shift[::-1]])[None, None]
    out = (jnp.clip(canvas, low, high) - view.centre) * view.scale + shift
    x0, y0, x1, y1 = jnp.moveaxis(out, -1, 0)
    x0, x1 = (
        jnp.where(view.flip, side - x1, x0),
        jnp.where(view.flip, side - x0, x1),
    )
    size = (boxes[..., 2:] - boxes[..., :2]) * (place.gain * view.scale)[:, None, None]
    out = jnp.clip(jnp.stack([x0, y0, x1, y1], axis=-1), 0.0, float(side))
    return out, size[..., 0] * size[..., 1]
