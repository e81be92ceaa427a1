import numpy as np
from scipy import ndimage

from tqgd_jax.phantom import scanner
from tqgd_jax.phantom.presets import PRESETS, VENDORS
from tqgd_jax.phantom.render import draw_phases


def test_noise_has_no_mean_and_unit_deviation():
    rng = np.random.default_rng(0)
    fields = np.stack([scanner.noise(rng, 256, 0.43, 0.38) for _ in range(6)])
    assert abs(ndimage.mean(fields)) < 0.01
    assert abs(ndimage.standard_deviation(fields) - 1) < 0.02


def test_noise_power_rises_like_a_ramp_and_peaks_at_half_the_cutoff():
    rng = np.random.default_rng(1)
    pixel = 0.43
    for vendor in VENDORS:
        cutoff = vendor.cutoff_per_mm
        power = np.mean(
            [
                np.abs(np.fft.fft2(scanner.noise(rng, 256, pixel, cutoff, lateral=0)))
                ** 2
                for _ in range(8)
            ],
            axis=0,
        )
        f = np.hypot(
            *np.meshgrid(np.fft.fftfreq(256, pixel), np.fft.fftfreq(256, pixel))
        )
        width = 0.01  # per mm
        ring = np.round(f / width).astype(int)
        radial = np.asarray(ndimage.mean(power, ring, np.arange(1, 80)))
        at = np.arange(1, 80) * width
        # f exp(-2 f^2 / c^2) has its maximum where 1 / f = 4 f / c^2: at c / 2.
        assert abs(at[radial.argmax()] - cutoff / 2) < 0.2 * cutoff / 2
        low = radial[1:5] / at[1:5]  # 0.02 to 0.05 per mm: proportional to f
        assert low.std() / low.mean() < 0.2
        # By the same formula the power at twice the cutoff is 8e-3 of the peak's less.
        assert radial[np.searchsorted(at, 1.6 * cutoff)] < 0.1 * radial.max()


def test_side_to_side_rays_are_noisier():
    rng = np.random.default_rng(2)
    field = scanner.noise(rng, 256, 0.43, 0.38, lateral=1.0)
    power = np.abs(np.fft.fft2(field)) ** 2
    # Streaks along x have their power at frequencies along y.
    assert power[5:60, 0].sum() > 1.4 * power[0, 5:60].sum()


def test_blur_keeps_the_sum_and_has_the_asked_width():
    image = np.zeros((65, 65), np.float32)
    image[32, 32] = 1000
    out = scanner.blur(image, fwhm_mm=1.7, pixel_mm=0.425)
    assert abs(out.sum() / 1000 - 1) < 1e-3
    above = np.flatnonzero(out[32] >= out[32, 32] / 2)
    assert above[-1] - above[0] + 1 in (4, 5)  # 1.7 mm are 4 pixels


def disc(n: int, radius: float, at=(0.0, 0.0)) -> np.ndarray:
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    inside = radius - np.hypot(x - at[0], y - at[1])
    return np.clip(inside + 0.5, 0, 1).astype(np.float32)


def test_a_disc_projects_to_its_chords_and_back_to_itself():
    n, r = 128, 40
    image = disc(n, r)
    forward, _, bins = scanner.projector(n)
    sinogram = (forward @ image.ravel()).reshape(scanner.ANGLES, bins)
    s = np.arange(bins) - (bins - 1) / 2
    chord = 2 * np.sqrt(np.maximum(r**2 - s**2, 0))
    inner = np.abs(s) < r - 3
    assert np.abs(sinogram - chord)[:, inner].max() < 2.5  # of 80
    again = scanner.back_project(sinogram, n)
    core = disc(n, r - 6) == 1
    assert abs(again[core].mean() - 1) < 0.05
    assert again[core].std() < 0.05


def test_a_dark_band_lies_between_two_dense_discs_only():
    n = 128
    dense = 1000 * (disc(n, 8, (-30, 0)) + disc(n, 8, (30, 0)))
    bands = scanner.streaks(dense, 1.7, 280.0)
    middle = bands[60:68, 58:70].mean()
    beside = bands[90:98, 58:70].mean()
    assert middle < beside - 5
    assert middle < -5
    assert not scanner.streaks(np.zeros((n, n), np.float32), 1.7, 280.0).any()


def test_only_the_nongated_heart_moves():
    rng = np.random.default_rng(3)
    assert draw_phases(PRESETS["gated"], rng) == [(1.0, (0.0, 0.0, 0.0))]
    phases = draw_phases(PRESETS["nongated"], rng)
    assert abs(sum(w for w, _ in phases) - 1) < 1e-9
    lengths = [np.linalg.norm(shift) for _, shift in phases]
    assert lengths[0] == 0
    assert all(2 < length < 6 for length in lengths[1:])  # 4 mm x 0.6 to 1.3
