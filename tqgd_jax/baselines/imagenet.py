"""Images as networks with ImageNet weights expect them."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def standardised(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """(image - mean) / deviation of torchvision's three channels.

    Of images with another number of channels each takes the mean of the three, so that
    a first kernel that was summed over colours sees grey as it was trained to, nearly.

    Args:
      image: in [0, 1].
    """
    mean, std = jnp.asarray(MEAN), jnp.asarray(STD)
    if image.shape[-1] != len(MEAN):
        return (image - mean.mean()) / std.mean()
    return (image - mean[None, None, None, :]) / std[None, None, None, :]
