"""Changes of size: max-pool and its inverse, average, nearest, bilinear.

Sizes differ by whole factors, because the input is a multiple of the coarsest stride.
"""

import math

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int


def max_pool(
    x: Float[Array, "b h w c"], *, window: int, stride: int
) -> Float[Array, "b y x c"]:
    """Max-pool padded with -inf by half the window on every side.

    The padding is explicit: XLA's SAME would pad 0 before and 1 after at stride 2, and
    every coarser level would sit half a pixel off. Rows, then columns, each as maxima
    of shifted maps: XLA's gradient of `reduce_window` took a quarter of a training step
    on CPU. Of equal values the first gets the gradient.
    """
    return _max_axis(_max_axis(x, window, stride, 1), window, stride, 2)


def _max_axis(
    x: Float[Array, "b h w c"], window: int, stride: int, axis: int
) -> Float[Array, "b y x c"]:
    """Maximum of a window along one axis."""
    # Not `lax.pad`: the converter to ONNX refuses it when the number of images is open.
    edge = [jnp.full_like(lax.slice_in_dim(x, 0, 1, axis=axis), -jnp.inf)]
    padded = jnp.concatenate([*edge * (window // 2), x, *edge * (window // 2)], axis)
    count = (padded.shape[axis] - window) // stride
    maximum = None
    for k in range(window):
        at = lax.slice_in_dim(padded, k, k + count * stride + 1, stride, axis)
        maximum = at if maximum is None else jnp.where(maximum >= at, maximum, at)
    assert maximum is not None
    return maximum


def max_pool_2x2(
    x: Float[Array, "b h w c"],
) -> tuple[Float[Array, "b y x c"], Int[Array, "b y x c"]]:
    """Largest of each 2x2 square, and which of its pixels that is; sides are even.

    Pixels count row by row: 0 and 1 above 2 and 3. Of equal values the first counts and
    gets the gradient.
    """
    maximum = x[:, ::2, ::2]
    index = jnp.zeros(maximum.shape, jnp.int32)
    for k in (1, 2, 3):
        at = x[:, k // 2 :: 2, k % 2 :: 2]
        larger = at > maximum
        maximum = jnp.where(larger, at, maximum)
        index = jnp.where(larger, k, index)
    return maximum, index


def max_unpool_2x2(
    x: Float[Array, "b h w c"], index: Int[Array, "b h w c"]
) -> Float[Array, "b y x c"]:
    """Each value back to the pixel that `max_pool_2x2` names; 0 elsewhere.

    Badrinarayanan et al., SegNet, TPAMI 2017, §3.
    """
    return blocks_to_pixels(
        jnp.stack([jnp.where(index == k, x, 0) for k in range(4)], axis=3)
    )


def blocks_to_pixels(x: Float[Array, "b h w 4 c"]) -> Float[Array, "b y x c"]:
    """Four values of each cell as 2x2 pixels, row by row."""
    b, h, w, _, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, 2 * h, 2 * w, c)


def avg_pool(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b y x c"]:
    """Mean of each factor x factor square."""
    b, h, w, c = x.shape
    return x.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))


def upsample_nearest(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Each pixel becomes 2x2 pixels."""
    b, h, w, c = x.shape
    wide = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, 2, w, 2, c))
    return wide.reshape(b, 2 * h, 2 * w, c)


def upsample_bilinear(
    x: Float[Array, "b h w c"], factor: int = 2
) -> Float[Array, "b y x c"]:
    """Bilinear with half-pixel centres (align_corners off), edges repeated.

    Written as weighted sums of shifted maps: `jax.image.resize` multiplies by dense
    matrices, which added 13 % to the operations of Y-QF.
    """
    return _upsample_axis(_upsample_axis(x, factor, 1), factor, 2)


def _upsample_axis(
    x: Float[Array, "b h w c"], factor: int, axis: int
) -> Float[Array, "b y x c"]:
    """Bilinear along one axis: output pixel i * factor + p lies between two inputs."""
    size = x.shape[axis]
    first = lax.slice_in_dim(x, 0, 1, axis=axis)
    last = lax.slice_in_dim(x, size - 1, size, axis=axis)
    padded = jnp.concatenate([first, x, last], axis=axis)  # padded[i + 1] = x[i]
    phases = []
    for p in range(factor):
        offset = (p + 0.5) / factor - 0.5  # of its centre from that of input i
        before = math.floor(offset)
        weight = offset - before
        low = lax.slice_in_dim(padded, before + 1, before + 1 + size, axis=axis)
        high = lax.slice_in_dim(padded, before + 2, before + 2 + size, axis=axis)
        phases.append((1 - weight) * low + weight * high)
    shape = (*x.shape[:axis], size * factor, *x.shape[axis + 1 :])
    return jnp.stack(phases, axis=axis + 1).reshape(shape)


def upsample_aligned(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Bilinear to twice the size with corner on corner (align_corners on).

    Output i of 2n lies at i (n - 1) / (2n - 1) of the input: an even one, 2k, lies
    k / (2n - 1) before input k, an odd one, 2k + 1, (n - 1 - k) / (2n - 1) after it.
    """
    return _upsample_aligned_axis(_upsample_aligned_axis(x, 1), 2)


def _upsample_aligned_axis(
    x: Float[Array, "b h w c"], axis: int
) -> Float[Array, "b y x c"]:
    n = x.shape[axis]
    before = jnp.concatenate(
        [
            lax.slice_in_dim(x, 0, 1, axis=axis),
            lax.slice_in_dim(x, 0, n - 1, axis=axis),
        ],
        axis=axis,
    )
    after = jnp.concatenate(
        [
            lax.slice_in_dim(x, 1, n, axis=axis),
            lax.slice_in_dim(x, n - 1, n, axis=axis),
        ],
        axis=axis,
    )
    along = [n if a == axis else 1 for a in range(x.ndim)]
    k = jnp.arange(n, dtype=jnp.float32).reshape(along)
    even = (k / (2 * n - 1)).astype(x.dtype)
    odd = ((n - 1 - k) / (2 * n - 1)).astype(x.dtype)
    phases = [x + even * (before - x), x + odd * (after - x)]
    shape = (*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
    return jnp.stack(phases, axis=axis + 1).reshape(shape)


def resize_to(x: Float[Array, "b h w c"], height: int) -> Float[Array, "b y x c"]:
    """Average pooling down or bilinear up to a level of that height (Eqs. 6, 8, 9)."""
    h = x.shape[1]
    if h > height:
        return avg_pool(x, h // height)
    return x if h == height else upsample_bilinear(x, height // h)
