"""The two input channels of the network: density, and what may be calcium."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

LOWEST, SPAN = -2000.0, 3300.0  # HU shown as 0, and HU from there to 1
AIR = ((-1024 - LOWEST) / SPAN, 0.0)  # around the image
ROUNDING = 0.01  # HU; an image in float32 gives whole HU back to within .001


def two_channels(
    image: Float[Array, "b h w c"], hu_window: tuple[float, float], lesion_hu: float
) -> Float[Array, "b h w 2"]:
    """(HU + 2000) / 3300, and 1 where HU > `lesion_hu`, 0 elsewhere.

    The release does the same; there HU of -3024 become -2048 before, which a window has
    done already.

    Args:
      image: in [0, 1]; of several channels the middle one is the slice itself.
      hu_window: Hounsfield units shown as 0 and 1.
      lesion_hu: a pixel at or below it is no calcium.
    """
    low, high = hu_window
    slice_ = image[..., image.shape[-1] // 2].astype(jnp.float32)
    hu = low + slice_ * (high - low)
    density = (hu - LOWEST) / SPAN
    candidate = jnp.asarray(hu > lesion_hu + ROUNDING, jnp.float32)
    return jnp.stack([density, candidate], axis=-1)
