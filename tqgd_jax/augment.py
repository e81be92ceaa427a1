"""Stored images and boxes to network input: augmentation, and letterbox for evaluation.

Pixels change here and nowhere else, on the device: window to [0, 1], then one bilinear
resampling that does the resizing, mosaic, scale, translation and flip at once
(`augment_geometry`), then brightness. YOLOv5 v7.0 resamples twice and rounds to eight
bits after each step; here nothing is rounded. Its scaling leaves pixels half a pixel's
zoom beside their boxes; here both follow pixel edges.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Integer, PRNGKeyArray

from tqgd_jax.augment_geometry import (
    Place,
    View,
    canvas_centres,
    letterbox_place,
    map_boxes,
    mosaic_place,
    sampling_matrix,
)
from tqgd_jax.config import Augment, Data
from tqgd_jax.structures.batch import Batch, Targets

MAX_ASPECT = 100.0  # of a target's box, YOLOv5 v7.0
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def augment(
    key: PRNGKeyArray,
    batch: Batch,
    *,
    cfg: Augment,
    data: Data,
    channels: int,
    first: int | Int[Array, ""] = 0,
) -> tuple[Float[Array, "b s s c"], Targets, dict[str, Int[Array, ""]]]:
    """A training batch, changed at random; image i depends on the key and i only.

    Args:
      key: of the step.
      batch: stored images, 4 tiles each for mosaic or 1 without.
      cfg: how much of what.
      data: network input.
      channels: of the network input.
      first: number of the batch's first image, when it is one device's share.

    Returns:
      Images in [0, 1]. Targets of all tiles in network px, where a box of which too
      little is left is not valid. Counts over the batch: `boxes` in the images used,
      `outside` the view but for less than `min_area` of their area, and `small`, not
      above `min_side` (or 100 times as long as wide) once scaled and clipped.
    """
    tiles = batch.image.shape[1]
    if tiles not in (1, 4):
        raise ValueError(f"augment needs 4 tiles for mosaic or 1 without, got {tiles}")

    # three slices of a scan are no colours
    coloured = not jnp.issubdtype(batch.image.dtype, jnp.signedinteger)

    def one(number, image, size, boxes, labels, valid):
        pose, colour = jax.random.split(jax.random.fold_in(key, number))
        place, view = draw(pose, size, cfg, data.image_size)
        pixels = _render(image, size, place, view, data)
        pixels = jitter(colour, pixels, cfg, coloured=coloured)
        targets, counts = _targets(boxes, labels, valid, place, view, cfg, data)
        return _to_channels(pixels, channels), targets, counts

    numbers = first + jnp.arange(batch.image.shape[0])
    image, targets, counts = jax.vmap(one)(numbers, *_arrays(batch))
    return image, targets, {k: jnp.sum(v) for k, v in counts.items()}


def letterbox(
    batch: Batch, *, data: Data, channels: int
) -> tuple[Float[Array, "b s s c"], Targets]:
    """The first tile of each image, in the middle of the network input, for evaluation.

    The long side fills the input (formula in `letterbox_place`): areas averaged when it
    shrinks, bilinear when it grows, pixels unchanged when neither. All boxes stay.
    """
    side = data.image_size

    def one(image, size, boxes, labels, valid):
        place = letterbox_place(size, side)
        view = View(jnp.zeros(()), jnp.ones(()), jnp.zeros(2), jnp.zeros((), bool))
        pixels = _render(image, size, place, view, data, average=True)
        boxes, _ = map_boxes(boxes, place, view, side)
        boxes = jnp.where(valid[..., None], boxes, 0.0)
        return _to_channels(pixels, channels), Targets(boxes[0], labels[0], valid[0])

    return jax.vmap(one)(*(x[:, :1] for x in _arrays(batch)))


def draw(
    key: PRNGKeyArray, size: Int[Array, "t 2"], cfg: Augment, side: int
) -> tuple[Place, View]:
    """Random placement of an image's tiles and a random view of the canvas.

    Without mosaic the first tile lies letterboxed in the middle and the others nowhere.
    """
    keys = jax.random.split(key, 6)
    place = letterbox_place(size, side)
    middle = side / 2  # of the canvas of 2 side x 2 side
    first = jnp.arange(size.shape[0])[:, None] == 0
    place = Place(
        place.gain,
        place.origin + middle,
        place.low + middle,
        jnp.where(first, place.high, place.low) + middle,
    )
    if size.shape[0] == 4:
        corner = jax.random.randint(keys[0], (2,), side // 2, 3 * side // 2)
        mosaic = mosaic_place(size, corner, jax.random.permutation(keys[1], 4), side)
        chosen = jax.random.bernoulli(keys[2], float(cfg.mosaic))
        place = jax.tree.map(lambda a, b: jnp.where(chosen, a, b), mosaic, place)
    view = View(
        centre=jnp.float32(side),
        scale=jax.random.uniform(
            keys[3], (), jnp.float32, 1 - cfg.scale, 1 + cfg.scale
        ),
        shift=side
        * jax.random.uniform(
            keys[4], (2,), jnp.float32, 0.5 - cfg.translate, 0.5 + cfg.translate
        ),
        flip=jax.random.bernoulli(keys[5], float(cfg.flip)),
    )
    return place, view


def to_unit(image: Integer[Array, "*n"], data: Data) -> Float[Array, "*n"]:
    """Stored values to [0, 1] by the window: `data.window`, or that of the type."""
    low, high = data.window_of(image.dtype)
    return jnp.clip((image.astype(jnp.float32) - low) / (high - low), 0.0, 1.0)


def jitter(
    key: PRNGKeyArray,
    image: Float[Array, "h w c"],
    cfg: Augment,
    *,
    coloured: bool = True,
) -> Float[Array, "h w c"]:
    """Random gains of hue, saturation and value, each drawn from [1 - x, 1 + x].

    Hue and saturation exist in colour only: in three channels that are `coloured`.
    Values are clipped to [0, 1], not rounded.
    """
    limits = jnp.array([cfg.hue, cfg.saturation, cfg.value])
    gain = 1 + limits * jax.random.uniform(key, (3,), minval=-1.0)
    if not coloured or image.shape[-1] != 3 or not (cfg.hue or cfg.saturation):
        return jnp.clip(image * gain[2], 0.0, 1.0)
    h, s, v = jnp.moveaxis(rgb_to_hsv(image), -1, 0)
    s, v = jnp.clip(s * gain[1], 0.0, 1.0), jnp.clip(v * gain[2], 0.0, 1.0)
    return hsv_to_rgb(jnp.stack([h * gain[0] % 1, s, v], axis=-1))


def rgb_to_hsv(rgb: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """Hue, saturation and value in [0, 1]; the hue of grey is 0."""
    r, g, b = jnp.moveaxis(rgb, -1, 0)
    v = jnp.max(rgb, axis=-1)
    chroma = v - jnp.min(rgb, axis=-1)
    safe = jnp.where(chroma > 0, chroma, 1.0)
    h = jnp.where(v == g, 2 + (b - r) / safe, 4 + (r - g) / safe)
    h = jnp.where(v == r, (g - b) / safe, h)
    h = jnp.where(chroma > 0, h / 6 % 1, 0.0)
    return jnp.stack([h, chroma / jnp.where(v > 0, v, 1.0), v], axis=-1)


def hsv_to_rgb(hsv: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """The inverse of `rgb_to_hsv`."""
    h, s, v = jnp.moveaxis(hsv, -1, 0)
    sector = [(n + 6 * h) % 6 for n in (5, 3, 1)]
    fall = [jnp.clip(jnp.minimum(k, 4 - k), 0.0, 1.0) for k in sector]
    return jnp.stack([v - v * s * f for f in fall], axis=-1)


def _arrays(batch: Batch) -> tuple[Array, Array, Array, Array, Array]:
    """What is mapped over the images, as JAX arrays; 32 bits where the host has 64."""
    image, size, boxes, labels, valid = map(jnp.asarray, batch[:5])
    size, labels = size.astype(jnp.int32), labels.astype(jnp.int32)
    return image, size, boxes.astype(jnp.float32), labels, valid


def _render(
    image: Integer[Array, "t h w c"],
    size: Int[Array, "t 2"],
    place: Place,
    view: View,
    data: Data,
    *,
    average: bool = False,
) -> Float[Array, "s s c"]:
    """The view of the tiles in [0, 1], `data.pad_value` where there is none."""
    y, x = canvas_centres(view, data.image_size)
    _, h, w, _ = image.shape
    a_y, in_y = sampling_matrix(y, place, size, 0, h, average=average)
    a_x, in_x = sampling_matrix(x, place, size, 1, w, average=average)
    # Full float32: the 10 bits that a GPU multiplies by default are 3 HU of 3000.
    rows = jnp.einsum("tyh,thwc->ytwc", a_y, to_unit(image, data), precision="highest")
    tiles = jnp.einsum("ytwc,txw->yxc", rows, a_x, precision="highest")
    shown = jnp.einsum("ty,tx->yx", in_y, in_x, precision="highest")
    return jnp.clip(tiles + data.pad_value / 255 * (1 - shown)[..., None], 0.0, 1.0)


def _targets(
    boxes: Float[Array, "t m 4"],
    labels: Int[Array, "t m"],
    valid: Bool[Array, "t m"],
    place: Place,
    view: View,
    cfg: Augment,
    data: Data,
) -> tuple[Targets, dict[str, Array]]:
    """Boxes of all tiles in the view, less those of which too little is left."""
    moved, full = map_boxes(boxes, place, view, data.image_size)
    w, h = moved[..., 2] - moved[..., 0], moved[..., 3] - moved[..., 1]
    valid &= jnp.all(place.low < place.high, axis=-1)[:, None]  # the tile is used
    inside = (w * h > cfg.min_area * full) & (w * h > 0)
    aspect = jnp.maximum(w, h) / jnp.maximum(jnp.minimum(w, h), 1e-6)
    large = (w > cfg.min_side) & (h > cfg.min_side) & (aspect < MAX_ASPECT)
    remaining = valid & inside & large
    counts = {
        "boxes": jnp.sum(valid),
        "outside": jnp.sum(valid & ~inside),
        "small": jnp.sum(valid & inside & ~large),
    }
    moved = jnp.where(remaining[..., None], moved, 0.0)
    targets = Targets(moved.reshape(-1, 4), labels.reshape(-1), remaining.reshape(-1))
    return targets, counts


def _to_channels(image: Float[Array, "h w _"], channels: int) -> Float[Array, "h w c"]:
    """Grey repeated, or colour to its brightness, as the network's input asks."""
    stored = image.shape[-1]
    if stored == channels:
        return image
    if stored == 1:
        return jnp.broadcast_to(image, (*image.shape[:2], channels))
    if (stored, channels) == (3, 1):
        return jnp.sum(image * jnp.array(LUMA)[None, None], axis=-1, keepdims=True)
    raise ValueError(f"images have {stored} channels, the model wants {channels}")
