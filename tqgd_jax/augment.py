"""Stored images and boxes to network input: augmentation, and letterbox for evaluation.

Pixels change here and nowhere else, on the device: window to [0, 1], then one bilinear
resampling that does the resizing, mosaic, scale, translation and flip at once
(`augment_geometry`), then brightness (`augment_values`). Masks of lesions go the way of
the pixels. YOLOv5 v7.0 resamples twice and rounds to eight
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
    letterbox_geometry,
    letterbox_place,
    map_boxes,
    mosaic_place,
    sampling_matrix,
)
from tqgd_jax.augment_values import disturb, jitter, to_channels, to_unit
from tqgd_jax.config import Augment, Data
from tqgd_jax.structures.batch import Batch, Targets, Views

MAX_ASPECT = 100.0  # of a target's box, YOLOv5 v7.0


def augment(
    key: PRNGKeyArray,
    batch: Batch,
    *,
    cfg: Augment,
    data: Data,
    channels: int,
    first: int | Int[Array, ""] = 0,
    num_classes: int = 1,
) -> tuple[Views, dict[str, Int[Array, ""]]]:
    """A training batch, changed at random; image i depends on the key and i only.

    Args:
      key: of the step.
      batch: stored images, 4 tiles each for mosaic or 1 without.
      cfg: how much of what.
      data: network input.
      channels: of the network input.
      first: number of the batch's first image, when it is one device's share.
      num_classes: of the masks, if the batch has them; 1 takes any lesion as the first.

    Returns:
      Images in [0, 1]; targets of all tiles in network px, where a box of which too
      little is left is not valid; masks with all that is left of any lesion, if the
      batch has masks. Counts over the batch: `boxes` in the images used,
      `outside` the view but for less than `min_area` of their area, and `small`, not
      above `min_side` (or 100 times as long as wide) once scaled and clipped.
    """
    tiles = batch.image.shape[1]
    if tiles not in (1, 4):
        raise ValueError(f"augment needs 4 tiles for mosaic or 1 without, got {tiles}")

    # three slices of a scan are no colours
    coloured = not jnp.issubdtype(batch.image.dtype, jnp.signedinteger)

    def one(number, image, size, boxes, labels, valid, lesion):
        pose, colour = jax.random.split(jax.random.fold_in(key, number))
        place, view = draw(pose, size, cfg, data.image_size)
        pixels, mask = _render(image, lesion, num_classes, size, place, view, data)
        pixels = jitter(colour, pixels, cfg, coloured=coloured)
        pixels = disturb(jax.random.fold_in(colour, 1), pixels, cfg)
        targets, counts = _targets(boxes, labels, valid, place, view, cfg, data)
        return Views(to_channels(pixels, channels), targets, mask), counts

    numbers = first + jnp.arange(batch.image.shape[0])
    views, counts = jax.vmap(one)(numbers, *_arrays(batch))
    return views, {k: jnp.sum(v) for k, v in counts.items()}


def letterbox(
    batch: Batch, *, data: Data, channels: int, num_classes: int = 1
) -> Views:
    """The first tile of each image, in the middle of the network input, for evaluation.

    The long side fills the input (formula in `letterbox_place`): areas averaged when it
    shrinks, bilinear when it grows, pixels unchanged when neither. All boxes stay.
    `num_classes` is that of `augment`.
    """
    side = data.image_size

    def one(image, size, boxes, labels, valid, lesion):
        place = letterbox_place(size, side)
        view = View(jnp.zeros(()), jnp.ones(()), jnp.zeros(2), jnp.zeros((), bool))
        pixels, mask = _render(
            image, lesion, num_classes, size, place, view, data, average=True
        )
        boxes, _ = map_boxes(boxes, place, view, side)
        boxes = jnp.where(valid[..., None], boxes, 0.0)
        pixels = to_channels(pixels, channels)
        return Views(pixels, Targets(boxes[0], labels[0], valid[0]), mask)

    return jax.vmap(one)(*jax.tree.map(lambda x: x[:, :1], _arrays(batch)))


def native_maps(
    probability: Float[Array, "b s s"], batch: Batch
) -> Float[Array, "b h w"]:
    """Maps of the network's pixels on the stored pixels of the first tiles.

    The inverse of `letterbox`: bilinear at the centre of each stored pixel, 0 beyond the
    image. Every map must be judged there, whatever size the network sees.
    """
    side, (h, w) = probability.shape[1], batch.image.shape[2:4]

    def centres(n):  # a symbol in an export, of which `arange` takes no fractions
        return jnp.arange(n, dtype=jnp.float32) + 0.5

    def one(values, size):
        gain, *pad = map(jnp.asarray, letterbox_geometry(size, side))
        origin, end = -jnp.stack(pad) / gain, size.astype(jnp.float32)
        place = Place(1 / gain[None], origin[None], jnp.zeros((1, 2)), end[None])
        whole = jnp.full((1, 2), side)
        rows, columns = (
            sampling_matrix(centres(n), place, whole, axis, side)[0][0]
            for axis, n in enumerate((h, w))
        )
        return jnp.einsum("hy,yx,wx->hw", rows, values, columns, precision="highest")

    return jax.vmap(one)(probability, jnp.asarray(batch.size)[:, 0])


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


def _arrays(batch: Batch) -> tuple[Array, Array, Array, Array, Array, Array | None]:
    """What is mapped over the images, as JAX arrays; 32 bits where the host has 64."""
    image, size, boxes, labels, valid = map(jnp.asarray, batch[:5])
    size, labels = size.astype(jnp.int32), labels.astype(jnp.int32)
    lesion = None if batch.lesion is None else jnp.asarray(batch.lesion)
    return image, size, boxes.astype(jnp.float32), labels, valid, lesion


def _render(
    image: Integer[Array, "t h w c"],
    lesion: Integer[Array, "t h w"] | None,
    num_classes: int,
    size: Int[Array, "t 2"],
    place: Place,
    view: View,
    data: Data,
    *,
    average: bool = False,
) -> tuple[Float[Array, "s s c"], Int[Array, "s s"] | None]:
    """The view of the tiles in [0, 1], `data.pad_value` where there is none; its mask.

    A pixel of the mask is of a class when that has half of it or more.
    """
    y, x = canvas_centres(view, data.image_size)
    _, h, w, _ = image.shape
    a_y, in_y = sampling_matrix(y, place, size, 0, h, average=average)
    a_x, in_x = sampling_matrix(x, place, size, 1, w, average=average)

    def seen(values: Float[Array, "t h w k"]) -> Float[Array, "s s k"]:
        # Full float32: the 10 bits that a GPU multiplies by default are 3 HU of 3000.
        rows = jnp.einsum("tyh,thwc->ytwc", a_y, values, precision="highest")
        return jnp.einsum("ytwc,txw->yxc", rows, a_x, precision="highest")

    tiles = seen(to_unit(image, data))
    shown = jnp.einsum("ty,tx->yx", in_y, in_x, precision="highest")
    pixels = jnp.clip(tiles + data.pad_value / 255 * (1 - shown)[..., None], 0.0, 1.0)
    if lesion is None:
        return pixels, None
    if num_classes == 1:
        lesion = jnp.minimum(lesion, 1)
    classes = jnp.arange(1, num_classes + 1, dtype=lesion.dtype)
    shares = seen((lesion[..., None] == classes[None, None, None]).astype(jnp.float32))
    label = 1 + jnp.argmax(shares, axis=-1).astype(jnp.int32)
    return pixels, jnp.where(jnp.max(shares, axis=-1) >= 0.5, label, 0)


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
