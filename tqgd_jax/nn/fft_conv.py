"""Convolution with large kernels by products of spectra, tile by tile.

Overlap-save (Oppenheim & Schafer, Discrete-Time Signal Processing, §8.7.3), with the
channel sums as one matrix product for each frequency (Mathieu, Henaff & LeCun, Fast
Training of Convolutional Networks through FFTs, ICLR 2014). Tiles are small, so their
Fourier transforms are matrix products as well, and no step is anything else but copies
and sums. A loop over the frequencies of the rows does all the rest for one of them at a
time: its spectra stay in the cache, and those of all frequencies never exist at once.
docs/benchmarks.md has times, memory and errors.

Spectra of real images are kept as products with cosines and sines, first of rows, then
of columns. Letters: f frequencies, t pixels of a window, n m tiles, "2" cosine or sine.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

Padding = tuple[tuple[int, int], tuple[int, int]]  # (before, after) of rows, columns

BLOCK = 32  # outputs of a tile along an axis; 20 to 40 differ little


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def fft_conv(
    x: Float[Array, "b h w i"], kernel: Float[Array, "kh kw i o"], padding: Padding
) -> Float[Array, "b y x o"]:
    """Cross-correlation at stride 1 with zero padding, in float32 whatever the input.

    Its gradients are two more of the kind; nothing but the arguments is kept for them.

    Args:
      x: images.
      kernel: rows, columns, channels in and out.
      padding: zeros before and after rows, and columns; negative crops.
    """
    rows, columns = _axes(x, kernel, padding)
    taps, channels = kernel.shape[:2], ((3,), (2,))
    image = _row_spectra(rows, _pad(x, rows, columns), rows.window)
    weights = _dot(rows.analysis[:, :, : taps[0]], kernel.astype(jnp.float32))

    def at(frequency: tuple[Array, Array]) -> Array:
        a = columns.windows(frequency[0], 2, columns.window)
        w = frequency[1].swapaxes(0, 1)
        return _correlate(columns, a, w, channels, columns.block)

    y = lax.map(at, (image, weights))  # f 2 block (b n m) o
    y = _dot(rows.synthesis[: rows.block], y, 2)  # block block (b n m) o
    y = y.reshape(*y.shape[:2], len(x), rows.count, columns.count, -1)
    y = y.transpose(2, 3, 0, 4, 1, 5)
    y = y.reshape(len(x), rows.count * rows.block, columns.count * columns.block, -1)
    return y[:, : rows.out, : columns.out].astype(x.dtype)


def fft_wins(x: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Whether to prefer `fft_conv` on a CPU, by the shapes of image and kernel.

    Measured: 3x3 loses, 5x5 is even, from 6x6 on it wins with any channels from 8 on.
    Images under 2048 pixels save milliseconds and cost a second of compilation.
    """
    kh, kw, i, o = kernel
    return kh * kw >= 36 and min(i, o) >= 8 and x[1] * x[2] >= 2048


def _forward(
    x: Array, kernel: Array, padding: Padding
) -> tuple[Array, tuple[Array, Array]]:
    return fft_conv(x, kernel, padding), (x, kernel)


def _backward(
    padding: Padding, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    around = tuple(
        (k - 1 - p[0], k - 1 - p[1])
        for k, p in zip(kernel.shape[:2], padding, strict=True)
    )
    dx: Any = fft_conv(dy, kernel[::-1, ::-1].transpose(0, 1, 3, 2), around)
    return dx, _kernel_gradient(x, kernel, padding, dy)


fft_conv.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, kernel: Array, padding: Padding, dy: Array) -> Array:
    """Correlation of each window with its block of `dy`, summed over the tiles."""
    rows, columns = _axes(x, kernel, padding)
    taps, tiles = kernel.shape[:2], ((2,), (2,))
    rest = [(0, 0, 0)] + [(0, a.count * a.block - a.out, 0) for a in (rows, columns)]
    dy = lax.pad(dy.astype(jnp.float32), jnp.float32(0), [*rest, (0, 0, 0)])
    image = _row_spectra(rows, _pad(x, rows, columns), rows.window)
    weights = _row_spectra(rows, dy, rows.block)

    def at(frequency: tuple[Array, Array]) -> Array:
        a = columns.windows(frequency[0], 2, columns.window)
        w = columns.windows(frequency[1], 2, columns.block)
        return _correlate(columns, a, w, tiles, taps[1])

    dk = _dot(rows.synthesis[: taps[0]], lax.map(at, (image, weights)), 2)
    return dk.astype(kernel.dtype)


class _Axis:
    """One direction: `count` windows of `window` pixels, each giving `block` outputs.

    Attributes:
      out: outputs in all.
      before, after: zeros around the image, so that the windows fit.
      analysis: cosines and sines of the window's frequencies, (f, 2, t).
      synthesis: their inverse, (t, f, 2).
    """

    def __init__(self, size: int, taps: int, padding: tuple[int, int]):
        self.out = size + sum(padding) - taps + 1
        self.count = -(-self.out // max(BLOCK, taps))
        self.block = -(-self.out // self.count)
        self.window = t = self.block + taps - 1
        self.before = padding[0]
        self.after = self.count * self.block + taps - 1 - size - self.before
        f = np.arange(t // 2 + 1)
        angle = 2 * np.pi * np.outer(f, np.arange(t)) / t
        wave = np.stack([np.cos(angle), np.sin(angle)], 1)
        # A frequency stands for its negative too, but for the first and t / 2.
        share = np.where((f == 0) | (2 * f == t), 1, 2)[:, None, None] / t
        self.analysis = wave.astype(np.float32)
        self.synthesis = (wave * share).transpose(2, 0, 1).astype(np.float32)

    def windows(self, x: Array, axis: int, length: int) -> Array:
        """The first `length` pixels of every window; their places become axis 0."""
        place = np.arange(length)[:, None] + self.block * np.arange(self.count)
        # A gather: slices joined up take XLA a second to compile and run no faster.
        x = jnp.take(x, jnp.asarray(place), axis=axis, mode="clip")
        return jnp.moveaxis(x, axis, 0)


def _axes(x: Array, kernel: Array, padding: Padding) -> tuple[_Axis, _Axis]:
    return (
        _Axis(x.shape[1], kernel.shape[0], padding[0]),
        _Axis(x.shape[2], kernel.shape[1], padding[1]),
    )


def _pad(x: Array, rows: _Axis, columns: _Axis) -> Array:
    edges = [(a.before, a.after, 0) for a in (rows, columns)]
    return lax.pad(
        x.astype(jnp.float32), jnp.float32(0), [(0, 0, 0), *edges, (0, 0, 0)]
    )


def _row_spectra(rows: _Axis, x: Array, length: int) -> Array:
    """Of all windows' first `length` rows, (f, 2, b n, w, c)."""
    x = rows.windows(x, 1, length)
    return _dot(rows.analysis[:, :, :length], x.reshape(length, -1, *x.shape[3:]))


def _dot(matrix: np.ndarray, x: Array, axes: int = 1) -> Array:
    """Sum over the last axes of a matrix and the first of an array."""
    last = tuple(range(matrix.ndim - axes, matrix.ndim))
    return lax.dot_general(
        jnp.asarray(matrix),
        x,
        ((last, tuple(range(axes))), ((), ())),
        precision=lax.Precision.HIGHEST,
    )


def _correlate(
    columns: _Axis,
    x: Array,
    weights: Array,
    contract: tuple[tuple[int], tuple[int]],
    length: int,
) -> Array:
    """Correlation along columns, of parts that belong to one frequency of the rows.

    Args:
      columns: the direction.
      x: windows, (t, 2, ..., i), the tiles in between.
      weights: what slides over them, (at most t, 2, ..., o).
      contract: axes that are summed over, of x and of weights as (6, f, ..., channels).
      length: how many shifts are wanted.

    Returns:
      Parts of the result, (2, length, p, q), p and q being the axes that are left.
    """

    def spectrum(x: Array) -> Array:  # f 2 2 tiles channels, columns' part first
        y = _dot(columns.analysis[:, :, : len(x)], x)
        return y.reshape(*y.shape[:3], -1, y.shape[-1])

    y = lax.dot_general(
        _left(spectrum(x)),
        _right(spectrum(weights)),
        (contract, ((0, 1), (0, 1))),
        precision=lax.Precision.HIGHEST,
    )
    return _dot(columns.synthesis[:length], _parts(y), 2).swapaxes(0, 1)


def _complex(x: Array) -> tuple[Array, ...]:
    """Real and imaginary part at (row, column) frequencies (g, f), then at (g, -f)."""
    cc, cs, sc, ss = x[:, 0, 0], x[:, 1, 0], x[:, 0, 1], x[:, 1, 1]
    return cc - ss, -cs - sc, cc + ss, cs - sc


def _left(x: Array) -> Array:
    """Factors of a complex product as three real ones (Gauss), (6, f, ...)."""
    r, i, s, j = _complex(x)
    return jnp.stack([r + i, r, i, s + j, s, j])


def _right(x: Array) -> Array:
    """The other factors, conjugated, because the sum is a correlation."""
    r, i, s, j = _complex(x)
    return jnp.stack([r, -i - r, r - i, s, -j - s, s - j])


def _parts(y: Array) -> Array:
    """From the six products back to cosines and sines, (f, 2, 2, ...)."""
    p, q, r, s, t, u = y
    re, im, se, jm = p - r, p + q, s - u, s + t
    columns_cos = jnp.stack([re + se, -im - jm], 1)  # rows' cosine, sine
    columns_sin = jnp.stack([jm - im, se - re], 1)
    return 0.5 * jnp.stack([columns_cos, columns_sin], 1)
