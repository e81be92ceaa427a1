"""What networks that judge every pixel share: sides that divide, losses of pixels."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from tqgd_jax.losses import bce, device_sum
from tqgd_jax.structures.batch import Arr, Views


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
