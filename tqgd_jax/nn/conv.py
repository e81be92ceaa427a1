"""Convolution, NHWC, with explicit padding, written the way XLA runs it best.

Every form computes the same sums; only their order differs. On a CPU the shape decides,
elsewhere it is always `lax.conv_general_dilated`, or a matrix product for 1x1:

| convolution | form | because |
|---|---|---|
| 1x1 | `_product` | a matrix product is up to twice as fast |
| depthwise, stride 1 | `_depthwise` | XLA's grouped form is 20 times slower |
| stride 2, under 8 channels | `_space_to_depth` | Eigen is slow with few channels |
| `fft_wins`: 6x6 and larger | `fft_conv` | far fewer products |
| all others, one group | `_canonical` | gradients in a loop would not reach Eigen |
| its kernel gradient, `_rows_win` | `_kernel_gradient_of_rows` | few images |

Times and what was tried besides, such as Winograd's forms, stand in
docs/design/0024-convolutions-on-a-cpu.md; `python -m bench.speed.convs` measures again.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from tqgd_jax.nn.fft_conv import Padding, fft_conv, fft_wins

NHWC = ("NHWC", "HWIO", "NHWC")


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw i o"],
    *,
    stride: int = 1,
    padding: Padding = ((0, 0), (0, 0)),
    groups: int = 1,
    precision: lax.Precision = lax.Precision.HIGHEST,
    direct: bool = False,
) -> Float[Array, "b y x o"]:
    """Cross-correlation with zero padding, as `lax.conv_general_dilated` to rounding.

    The choice depends on shapes and on the backend that is the default while tracing:
    a program for a CPU, traced on a GPU machine, gets cuDNN's form, which is correct
    but not the fastest there. `lax.platform_dependent` would keep both in the program
    and hide the operations from XLA's own count.

    Args:
      x: images.
      kernel: of shape (rows, columns, c / groups, o).
      stride: of rows and columns.
      padding: zeros before and after rows, and columns; negative crops.
      groups: number of channel groups; `c` of them is a depthwise convolution.
      precision: of the products, forward and in both gradients.
      direct: as `lax` writes it, whatever the backend: for a compiler that counts the
        operations of the sums as they are defined, and for a program that is to run
        elsewhere.
    """
    for_cpu = not direct and jax.default_backend() == "cpu"
    if groups == 1 and kernel.shape[:2] == (1, 1) and not any(map(any, padding)):
        # A matrix product: on CPU up to twice as fast, its kernel gradient too.
        product = _product if for_cpu else _dot
        return product(x[:, ::stride, ::stride], kernel[0, 0], precision)
    if for_cpu:
        depthwise = groups > 1 and groups == x.shape[-1] == kernel.shape[-1]
        if stride == 1 and depthwise:
            return _depthwise(x, kernel, padding)
        sizes = (*x.shape[1:3], *kernel.shape[:2], *padding[0], *padding[1])
        even = not any(n % 2 for n in sizes)
        if stride == 2 and groups == 1 and x.shape[-1] < 8 and even:
            return _space_to_depth(x, kernel, padding, precision)
        if groups == 1:
            if stride == 1 and fft_wins(x.shape, kernel.shape):
                return fft_conv(x, kernel, padding)
            return _canonical(x, kernel, stride, padding, precision)
    return _lax_conv(x, kernel, stride, padding, precision, groups)


def _lax_conv(
    x: Array,
    kernel: Array,
    stride: int,
    padding: Padding,
    precision: lax.Precision,
    groups: int = 1,
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=NHWC,
        feature_group_count=groups,
        precision=precision,
    )


def _dot(x: Array, kernel: Array, precision: lax.Precision) -> Array:
    return lax.dot_general(x, kernel, (((3,), (0,)), ((), ())), precision=precision)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: Array, kernel: Array, precision: lax.Precision) -> Array:
    """`_dot`, whose gradients read one copy of `dy`.

    XLA's CPU backend would compute it twice, once transposed.
    """
    return _dot(x, kernel, precision)


def _product_forward(
    x: Array, kernel: Array, precision: lax.Precision
) -> tuple[Array, tuple[Array, Array]]:
    return _dot(x, kernel, precision), (x, kernel)


def _product_backward(
    precision: lax.Precision, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    dy = lax.optimization_barrier(dy)
    dx = lax.dot_general(dy, kernel, (((3,), (1,)), ((), ())), precision=precision)
    rows = ((0, 1, 2), (0, 1, 2))
    dk = lax.dot_general(x, dy, (rows, ((), ())), precision=precision)
    return dx, dk


_product.defvjp(_product_forward, _product_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _canonical(
    x: Array,
    kernel: Array,
    stride: int,
    padding: Padding,
    precision: lax.Precision,
) -> Array:
    """A convolution whose gradients are convolutions of the same form, NHWC and HWIO.

    XLA's CPU backend brings others into that form in the entry computation only; in the
    body of a loop they run as plain loops, ten times slower.
    """
    return _lax_conv(x, kernel, stride, padding, precision)


def _canonical_forward(
    x: Array, kernel: Array, stride: int, padding: Padding, precision: lax.Precision
) -> tuple[Array, tuple[Array, Array]]:
    return _lax_conv(x, kernel, stride, padding, precision), (x, kernel)


def _canonical_backward(
    stride: int,
    padding: Padding,
    precision: lax.Precision,
    saved: tuple[Array, Array],
    dy: Array,
) -> tuple[Array, Array]:
    x, kernel = saved
    size, taps, out = x.shape[1:3], kernel.shape[:2], dy.shape[1:3]
    # Rows and columns that the last window leaves over.
    rest = [
        n + sum(p) - k - stride * (m - 1)
        for n, p, k, m in zip(size, padding, taps, out, strict=True)
    ]
    # By the image: a convolution of the spread gradient with the kernel turned round.
    around = [
        (k - 1 - p[0], k - 1 - p[1] + r)
        for k, p, r in zip(taps, padding, rest, strict=True)
    ]
    dx = lax.conv_general_dilated(
        dy,
        kernel[::-1, ::-1].transpose(0, 1, 3, 2),
        (1, 1),
        around,
        lhs_dilation=(stride, stride),
        dimension_numbers=NHWC,
        precision=precision,
    )
    inside = [(p[0], p[1] - r) for p, r in zip(padding, rest, strict=True)]
    if _rows_win(x.shape, dy.shape, taps):
        return dx, _kernel_gradient_of_rows(x, dy, taps, stride, inside, precision)
    # By the kernel: images and channels change places.
    dk = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        dy.transpose(1, 2, 0, 3),
        (1, 1),
        inside,
        rhs_dilation=(stride, stride),
        dimension_numbers=NHWC,
        precision=precision,
    )
    return dx, dk.transpose(1, 2, 0, 3)


def _rows_win(x: tuple[int, ...], dy: tuple[int, ...], taps: tuple[int, ...]) -> bool:
    """Whether to prefer `_kernel_gradient_of_rows`.

    Measured: at 1 image 1.5 to 4 times faster, at 2 1.3 to 1.7, at 4 even, and slower
    where the rows for all taps take more than some 8 MiB.
    """
    joined = 4 * taps[0] * x[0] * dy[1] * x[2] * x[3]  # bytes in float32
    return x[0] <= 4 and 0 < joined <= 2**23


def _kernel_gradient_of_rows(
    x: Array,
    dy: Array,
    taps: tuple[int, ...],
    stride: int,
    inside: list[tuple[int, int]],
    precision: lax.Precision,
) -> Array:
    """The output rows of all images are the channels that the convolution sums over.

    The images alone are too few: Eigen copies patches in runs of as many values.
    """
    kh, kw = taps
    b, _, w, i = x.shape
    _, rows, columns, o = dy.shape
    x = lax.pad(
        x, jnp.zeros((), x.dtype), ((0, 0, 0), (*inside[0], 0), *[(0, 0, 0)] * 2)
    )
    x = x.transpose(3, 2, 0, 1)
    span = stride * (rows - 1) + 1
    x = jnp.stack([x[..., k : k + span : stride] for k in range(kh)])
    dk = lax.conv_general_dilated(
        x.reshape(kh * i, 1, w, b * rows),
        dy.transpose(2, 0, 1, 3).reshape(1, columns, b * rows, o),
        (1, 1),
        ((0, 0), inside[1]),
        rhs_dilation=(1, stride),
        dimension_numbers=NHWC,
        precision=precision,
    )
    return dk.reshape(kh, i, kw, o).transpose(0, 2, 1, 3)


_canonical.defvjp(_canonical_forward, _canonical_backward)


def _space_to_depth(
    x: Array, kernel: Array, padding: Padding, precision: lax.Precision
) -> Array:
    """A stride-2 convolution as one of stride 1 on 2x2 blocks of pixels.

    For the stem: XLA's CPU code is slow with three input channels, faster with twelve.
    """
    b, h, w, c = x.shape
    kh, kw, _, o = kernel.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    kernel = kernel.reshape(kh // 2, 2, kw // 2, 2, c, o).transpose(0, 2, 1, 3, 4, 5)
    (top, bottom), (left, right) = padding
    return _canonical(
        x.reshape(b, h // 2, w // 2, 4 * c),
        kernel.reshape(kh // 2, kw // 2, 4 * c, o),
        1,
        ((top // 2, bottom // 2), (left // 2, right // 2)),
        precision,
    )


def _shifted(x: Array, kernel: Array, padding: Padding) -> Array:
    """Depthwise, stride 1: shifted images times the weights of one place, summed.

    20 times faster than XLA's grouped convolution on two cores (8x8, 128x128x16). The
    barriers make each row of the kernel one loop; a single loop would be too large.
    """
    kh, kw = kernel.shape[:2]
    edges = ((0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0))
    x = lax.optimization_barrier(lax.pad(x, jnp.zeros((), x.dtype), edges))
    b, h, w, c = x.shape
    rows, columns = h - kh + 1, w - kw + 1
    y = jnp.zeros((b, rows, columns, c), jnp.float32)
    weights = kernel.astype(jnp.float32)[:, :, 0][:, :, None, None, None, :]
    for i in range(kh):
        row = x[:, i : i + rows].astype(jnp.float32)
        for j in range(kw):
            y += row[:, :, j : j + columns] * weights[i, j]
        y = lax.optimization_barrier(y)
    return y.astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: Array, kernel: Array, padding: Padding) -> Array:
    """Depthwise at stride 1 with its own gradient, which is again shifted sums."""
    return _shifted(x, kernel, padding)


def _forward(
    x: Array, kernel: Array, padding: Padding
) -> tuple[Array, tuple[Array, Array]]:
    return _shifted(x, kernel, padding), (x, kernel)


def _backward(
    padding: Padding, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    (top, bottom), (left, right) = padding
    m, n = kernel.shape[0] - 1, kernel.shape[1] - 1
    # By the image: a convolution with the kernel turned round.
    around = ((m - top, m - bottom), (n - left, n - right))
    dx: Any = _depthwise(dy, kernel[::-1, ::-1], around)
    # By the kernel: products with the shifted image, summed, one place at a time.
    edges = ((0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0))
    x = lax.optimization_barrier(lax.pad(x, jnp.zeros((), x.dtype), edges))

    def at(place: Array) -> Array:
        start = (0, place // (n + 1), place % (n + 1), 0)
        seen = lax.dynamic_slice(x, start, dy.shape).astype(jnp.float32)
        return jnp.sum(seen * dy.astype(jnp.float32), (0, 1, 2))

    dk = lax.map(at, jnp.arange((m + 1) * (n + 1)))
    return dx, dk.reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_forward, _backward)
