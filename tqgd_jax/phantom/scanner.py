"""What the scanner adds: blur, noise as of filtered back-projection, streaks."""

import functools

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array

Image = Float32[np.ndarray, "y x"]

FWHM = 2.3548  # of a Gaussian, in standard deviations
ANGLES = 90


def blur(image: Image, fwhm_mm: float, pixel_mm: float) -> Image:
    """The in-plane point spread: a Gaussian, so the sum of HU stays as it is."""
    return gaussian_filter(image, fwhm_mm / FWHM / pixel_mm, mode="nearest", truncate=3)


@functools.lru_cache(maxsize=4)
def noise_filter(
    size: int, pixel_mm: float, cutoff: float, lateral: float
) -> Float32[np.ndarray, "fy fx"]:
    """Amplitude of the noise at each frequency of `rfft2`, for a unit deviation.

    Power is a ramp times a Gaussian apodisation; that the spectrum of back-projection
    goes to zero at zero frequency is Riederer, Pelc and Chesler, Phys. Med. Biol. 1978.
    `lateral` > 0 makes rays from side to side noisier, so that noise streaks run so.
    """
    fy = np.fft.fftfreq(size, pixel_mm)[:, None]
    fx = np.fft.rfftfreq(size, pixel_mm)[None, :]
    f = np.hypot(fx, fy)
    # The detector's and the image's own blur leave a little at low frequencies.
    amplitude = np.sqrt(f + 0.004) * np.exp(-((f / cutoff) ** 2))
    amplitude *= np.sqrt(1 + lateral * (fy / (f + 1e-9)) ** 2)
    full = amplitude**2
    twice = np.ones(fx.shape[1])
    twice[1 : (size + 1) // 2] = 2  # rfft2 keeps half of the plane
    power = (full * twice[None, :]).sum() / size**2
    return (amplitude / np.sqrt(power)).astype(np.float32)


def noise(
    rng: np.random.Generator,
    size: int,
    pixel_mm: float,
    cutoff: float,
    lateral: float = 0.5,
) -> Image:
    """One slice of noise with mean 0 and standard deviation 1."""
    return shaped_noise(rng, size, noise_filter(size, pixel_mm, cutoff, lateral))


def shaped_noise(
    rng: np.random.Generator, size: int, amplitude: Float32[np.ndarray, "fy fx"]
) -> Image:
    """One slice of noise with the amplitudes of `noise_filter` or `mixed_filter`."""
    white = rng.standard_normal((size, size), dtype=np.float32)
    shaped = np.fft.rfft2(white) * amplitude
    return np.fft.irfft2(shaped, s=(size, size)).astype(np.float32)


@functools.lru_cache(maxsize=2)
def mixed_filter(
    size: int, pixel_mm: float, cutoff: float, lateral: float, smooth: float
) -> Float32[np.ndarray, "fy fx"]:
    """`noise_filter` with a share `smooth` of its power moved to low frequencies.

    So looks noise after iterative reconstruction and what is left of streaks.
    """
    sharp = noise_filter(size, pixel_mm, cutoff, lateral)
    blotchy = noise_filter(size, pixel_mm, cutoff / 3, lateral)
    return np.sqrt((1 - smooth) * sharp**2 + smooth * blotchy**2)


@functools.lru_cache(maxsize=2)
def projector(n: int) -> tuple[csr_array, csr_array, int]:
    """Parallel projection of an n x n image and its transpose, by linear weights."""
    bins = int(np.ceil(n * 1.4143)) + 3
    c = np.arange(n) - (n - 1) / 2
    x, y = np.meshgrid(c, c)
    pixel = np.arange(n * n, dtype=np.int32)
    rows, cols, values = [], [], []
    for k in range(ANGLES):
        theta = np.pi * k / ANGLES
        s = (x * np.cos(theta) + y * np.sin(theta)).ravel() + (bins - 1) / 2
        left = np.floor(s).astype(np.int32)
        part = (s - left).astype(np.float32)
        for shift, weight in ((0, 1 - part), (1, part)):
            rows.append(k * bins + left + shift)
            cols.append(pixel)
            values.append(weight)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
    forward = csr_array(entries, shape=(ANGLES * bins, n * n), dtype=np.float32)
    return forward, csr_array(forward.T), bins


@functools.lru_cache(maxsize=2)
def _ramp(bins: int) -> Float32[np.ndarray, "f"]:
    f = np.fft.rfftfreq(2 * bins)
    return (2 * f * (0.5 + 0.5 * np.cos(np.pi * f / 0.5))).astype(np.float32)


def back_project(sinogram: Float32[np.ndarray, "a s"], n: int) -> Image:
    """Filtered back-projection (ramp with a Hann window) on the coarse grid."""
    _, back, bins = projector(n)
    filtered = np.fft.irfft(
        np.fft.rfft(sinogram, n=2 * bins, axis=1) * _ramp(bins), axis=1
    )
    flat = np.ascontiguousarray(filtered[:, :bins], np.float32).ravel()
    return (back @ flat).reshape(n, n) * np.float32(np.pi / 2 / ANGLES)


def streaks(dense: Image, pixel_mm: float, strength: float) -> Image:
    """Bands beside and between dense objects (HU), from HU above soft tissue.

    Beam hardening makes a long path through bone look too short, by about the square
    of the path (Joseph and Spital, J. Comput. Assist. Tomogr. 1978). The error is
    projected, squared and reconstructed, so its bands lie where real ones do.
    """
    n = dense.shape[0]
    forward, _, bins = projector(n)
    if not dense.any():
        return np.zeros_like(dense)
    path = (forward @ dense.ravel()).reshape(ANGLES, bins)
    path *= np.float32(pixel_mm / 10 / 1000)  # cm at 1000 HU
    # Above a few cm the signal starves; the square would grow without end.
    error = -np.float32(strength) * path**2 / (1 + path / 12)
    return back_project(error * np.float32(10 / pixel_mm), n)  # HU cm to HU pixels


def mean_blocks(image: Image, n: int) -> Float32[np.ndarray, "n n"]:
    """The mean over square blocks, n blocks a side."""
    f = image.shape[0] // n
    return image.reshape(n, f, n, f).mean(axis=(1, 3), dtype=np.float32)
