"""Grey values, colours and Hounsfield units: window, brightness and hue, channels."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Integer, PRNGKeyArray

from tqgd_jax.config import Augment, Data

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


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


def disturb(
    key: PRNGKeyArray, image: Float[Array, "h w c"], cfg: Augment
) -> Float[Array, "h w c"]:
    """A random offset of the image and white noise of a random strength.

    Channels share the offset and not the noise. Values are clipped to [0, 1]; without
    `cfg.offset` and `cfg.noise` the image comes back as it is.
    """
    if not (cfg.offset or cfg.noise):
        return image
    offset, strength, grain = jax.random.split(key, 3)
    change = cfg.offset * jax.random.uniform(offset, (), minval=-1.0)
    sd = cfg.noise * jax.random.uniform(strength, ())
    noise = sd * jax.random.normal(grain, image.shape)
    return jnp.clip(image + change + noise, 0.0, 1.0)


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


def to_channels(image: Float[Array, "h w _"], channels: int) -> Float[Array, "h w c"]:
    """Grey repeated, or colour to its brightness, as the network's input asks."""
    stored = image.shape[-1]
    if stored == channels:
        return image
    if stored == 1:
        return jnp.broadcast_to(image, (*image.shape[:2], channels))
    if (stored, channels) == (3, 1):
        return jnp.sum(image * jnp.array(LUMA)[None, None], axis=-1, keepdims=True)
    raise ValueError(f"images have {stored} channels, the model wants {channels}")
