"""What networks that judge every pixel share: sides that divide, losses of pixels."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from tqgd_jax.losses import bce, device_sum
from tqgd_jax.structures.batch import Arr, Views

LIKELY = (0.5, 0.05)  # probability of the pixels that speak for a box, or the next best


def padded(
    x: Float[Array, "b h w c"],
    multiple: int,
    values: tuple[float, ...] = (0.0,),
    least: int = 0,
) -> Float[Array, "b y x c"]:
    """The image with rows and columns after it, so that its sides are multiples.

    Args:
      x: images.
      multiple: px.
      values: of the new pixels, one for all channels or one for each.
      least: side, px.
    """
    down, right = (max(0, least - n) + -max(least, n) % multiple for n in x.shape[1:3])
    pads = [(0, 0, 0), (0, down, 0), (0, right, 0)]
    if len(values) == 1:
        return lax.pad(x, jnp.array(values[0], x.dtype), [*pads, (0, 0, 0)])
    parts = [
        lax.pad(x[..., i], jnp.array(value, x.dtype), pads)
        for i, value in enumerate(values)
    ]
    return jnp.stack(parts, axis=-1)


def cut_back(
    x: Float[Array, "b y x c"], image: Float[Array, "b h w k"]
) -> Float[Array, "b h w c"]:
    """The part of a padded map that lies on the image."""
    return x[:, : image.shape[1], : image.shape[2]]


def lesion_logit(logits: Float[Array, "b h w k"]) -> Float[Array, "b h w"]:
    """Log odds of lesion: the only logit, or of two that of lesion less the other.

    sigmoid of the difference is softmax of the two.
    """
    if logits.shape[-1] == 1:
        return logits[..., 0]
    return logits[..., 1] - logits[..., 0]


def lesion_pixels(
    logit: Float[Array, "h w"], box: Float[Array, "4"]
) -> Float[Array, "h w"]:
    """Weights, of sum 1, of the pixels that make a box a lesion.

    They are alike for the pixels that the box touches and whose probability is at least
    0.5; where there is none at least 0.05; where there is none of these, for all.

    Args:
      logit: log odds of lesion.
      box: (x0, y0, x1, y1), px of the map.
    """
    near = 1e-3  # px, of rounding
    row, column = (jnp.arange(n, dtype=jnp.float32) for n in logit.shape)
    rows, columns = (
        (at + 1 > low + near) & (at < high - near)
        for at, low, high in ((row, box[1], box[3]), (column, box[0], box[2]))
    )
    inside = rows[:, None] & columns[None, :]
    probability = jax.nn.sigmoid(logit)
    pixels = inside
    for least in reversed(LIKELY):
        likely = inside & (probability >= least)
        pixels = jnp.where(likely.any(), likely, pixels)
    weights = pixels.astype(jnp.float32)
    return lax.stop_gradient(weights / jnp.maximum(weights.sum(), 1.0))


def mean_log_odds(
    logit: Float[Array, "b h w"], pixels: Float[Array, "h w"]
) -> Float[Array, "b"]:
    """Log odds of lesion over the pixels of a box, for each image.

    Args:
      logit: log odds.
      pixels: of `lesion_pixels`.
    """
    return (logit * pixels[None]).sum(axis=(1, 2))


def lesion_of(views: Views) -> Int[Arr, "b s s"]:
    """The label map, which a segmentation cannot do without.

    Raises:
      ValueError: the batch has none.
    """
    if views.lesion is None:
        raise ValueError(
            "views.lesion is None: a segmentation learns from label maps of pixels; "
            "give masks, or boxes and pixels from which pseudo masks are made"
        )
    return views.lesion


def binary_cross_entropy(
    logit: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Mean over the pixels of a batch; under pmap of all devices' batches."""
    total = device_sum(axis_name)
    return total(bce(logit, target).sum()) / total(jnp.float32(logit.size))


def dice_loss(
    probability: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    axis_name: str | None = None,
    smoothing: float = 1.0,
) -> Float[Array, ""]:
    """1 - (2 sum(p t) + s) / (sum(p) + sum(t) + s), sums over the batch as one image.

    By image an empty slice would weigh as much as one with calcium, and most are empty.
    Milletari et al., V-Net, 3DV 2016, with a smoothing s that keeps an empty batch
    finite. Under pmap the sums are those of all devices' batches.
    """
    total = device_sum(axis_name)
    both = total((probability * target).sum())
    either = total((probability + target).sum())
    return 1 - (2 * both + smoothing) / (either + smoothing)


def cross_entropy(
    logits: Float[Array, "b h w k"],
    label: Int[Arr, "b h w"],
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Mean of -log softmax(logits)[label]; under pmap over all devices' batches."""
    total = device_sum(axis_name)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    hot = jax.nn.one_hot(label, logits.shape[-1])
    return -total((log_p * hot).sum()) / total(jnp.float32(label.size))
