import copy
import functools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tqgd_jax.phantom import anatomy, arteries, lesion_sites, observer, scanner
from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.lesions import Lesion, Lobe, deposit
from tqgd_jax.phantom.presets import PRESETS, VENDORS
from tqgd_jax.phantom.render import draw_phases, scan_grid
from tqgd_jax.phantom.tubes import Grid

GRID = Grid((-30.0, -40.0, -40.0), (3.0, 0.43, 0.43), (20, 190, 190))
STILL = [(1.0, (0.0, 0.0, 0.0))]
UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
s = np.sqrt(0.5)
TURNED = ((s, s, 0.0), (-s, s, 0.0), (0.0, 0.0, 1.0))


def one(radii, centre=(1.3, -2.1, 0.7), axes=UPRIGHT, hu=500.0) -> Lesion:
    return Lesion("LAD", (Lobe(centre, radii, axes),), hu)


@pytest.mark.parametrize("axes", [UPRIGHT, TURNED])
@pytest.mark.parametrize("radii", [(2.0, 2.0, 2.0), (4.0, 1.5, 2.5), (1.2, 1.2, 3.0)])
def test_the_volume_of_an_ellipsoid_is_four_thirds_pi_abc(radii, axes):
    added = deposit(one(radii, axes=axes), GRID, 1.0, STILL)
    assert added is not None
    assert added.volume_mm3 == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.06)


@pytest.mark.parametrize("fwhm", [0.5, 1.0, 2.0])
def test_blur_and_partial_volume_keep_the_integral_of_a_sphere(fwhm):
    added = deposit(one((2.0, 2.0, 2.0)), GRID, fwhm, STILL)
    assert added is not None
    integral = added.hu.sum() * np.prod(GRID.spacing)  # HU mm3
    assert integral == pytest.approx(500 * 4 / 3 * np.pi * 2**3, rel=0.03)
    assert added.hu.max() <= 500


def test_a_lesion_lies_where_its_centre_is():
    added = deposit(one((2.0, 2.0, 2.0)), GRID, 1.0, STILL)
    assert added is not None
    at = np.array(ndimage.center_of_mass(added.hu)).tolist()
    mm = [
        o + (b.start + c) * step
        for o, b, c, step in zip(GRID.origin, added.box, at, GRID.spacing, strict=True)
    ]
    # Samples lie 0.5 mm apart along z and 0.14 mm in the plane.
    np.testing.assert_allclose(mm, (0.7, -2.1, 1.3), atol=0.1)


def test_motion_lowers_the_peak_and_keeps_the_integral():
    still = deposit(one((1.5, 1.5, 1.5)), GRID, 1.0, STILL)
    phases = [(0.5, (0.0, 0.0, 0.0)), (0.3, (3.0, 1.0, 0.0)), (0.2, (-2.0, 2.0, 0.0))]
    moved = deposit(one((1.5, 1.5, 1.5)), GRID, 1.0, phases)
    assert still is not None
    assert moved is not None
    assert moved.hu.max() < 0.75 * still.hu.max()
    assert moved.hu.sum() == pytest.approx(still.hu.sum(), rel=0.02)


def test_a_lesion_outside_the_scan_leaves_nothing_and_at_its_edge_is_cut():
    assert deposit(one((2, 2, 2), centre=(0, 0, 90)), GRID, 1.0, STILL) is None
    half = deposit(one((2, 2, 2), centre=(-40.2, 0, 0)), GRID, 1.0, STILL)
    assert half is not None
    assert half.box[2].start == 0
    # The truth is the whole lesion's, not what the scan happens to show.
    assert half.volume_mm3 == pytest.approx(4 / 3 * np.pi * 8, rel=0.05)


def test_an_observer_marks_components_with_a_bright_core_of_at_least_1_mm2():
    added = np.zeros((3, 20, 20), np.float32)
    hu = np.full(added.shape, 40, np.int16)
    label = np.full(added.shape, 2, np.uint8)
    added[1, 3:6, 3:6] = 200  # nine pixels: a lesion
    added[1, 10:12, 3:5] = 200  # four pixels of 0.2 mm2: under 1 mm2
    added[1, 3:6, 12:15] = 30  # bright by noise, calcium hardly adds
    hu[added > 0] = 180
    hu[1, 4, 4] = 130  # not above the threshold
    hu[1, 15:18, 15:18] = 300  # bone: nothing of a lesion in it
    mask = observer.observe(hu, added, label, pixel_mm=np.sqrt(0.2))
    expected = np.zeros_like(mask)
    expected[1, 3:6, 3:6] = 2
    expected[1, 4, 4] = 0
    np.testing.assert_array_equal(mask, expected)


@functools.cache
def patient(i: int):
    """Heart, arteries and the generators of lesions and noise."""
    body, plaque, grain = (
        np.random.default_rng(s) for s in np.random.SeedSequence([1, i]).spawn(3)
    )
    heart = Heart(anatomy.draw_patient(body))
    return heart, arteries.draw_arteries(heart, body), plaque, grain


def boxes(preset_name: str, count: int) -> np.ndarray:
    """Width and height (pixels) of lesions in slices, on plain blood with noise."""
    preset = PRESETS[preset_name]
    sides = []
    for i in range(count):
        vendor = VENDORS[i % 4]
        heart, curves, plaque, grain = patient(i)
        plaque, grain = copy.deepcopy(plaque), copy.deepcopy(grain)
        grid = scan_grid(preset, vendor, 512, 40, heart.p.heart_at[2])
        phases = draw_phases(preset, grain)
        sd = preset.noise_hu * vendor.noise
        noise = scanner.noise(grain, 512, grid.spacing[1], vendor.cutoff_per_mm) * sd
        for solid in lesion_sites.coronary(curves, preset, plaque):
            d = deposit(solid, grid, vendor.fwhm_mm, phases)
            if d is None:
                continue
            layers = [np.roll(noise, 37 * k, 0)[d.box[1:]] for k in range(len(d.hu))]
            hu = np.rint(np.stack(layers) + d.hu + 5).astype(np.int16)
            label = np.ones(hu.shape, np.uint8)
            for layer in observer.observe(hu, d.hu, label, grid.spacing[1]):
                parts: Any = ndimage.label(layer, np.ones((3, 3)))
                for y, x in ndimage.find_objects(parts[0]):
                    sides.append((x.stop - x.start, y.stop - y.start))
    return np.array(sides)


def test_lesions_have_the_sizes_that_orcascore_is_said_to_have():
    sides = boxes("gated", 8)
    area = sides.prod(axis=1)
    assert len(area) > 40
    # Asked for: 6 % up to 10 px, 77 % to 100 px, the rest above; sides about 6 x 5.
    assert (area <= 10).mean() < 0.15
    assert 0.6 < ((area > 10) & (area <= 100)).mean() < 0.92
    assert 0.03 < (area > 100).mean() < 0.35
    assert (np.abs(np.median(sides, axis=0) - 6) <= 2).all()


def test_nongated_lesions_are_smaller_in_pixels():
    area = boxes("nongated", 6).prod(axis=1)
    assert 0.15 < (area <= 10).mean() < 0.55


def test_arteries_run_in_the_fat_between_muscle_and_sac():
    for i in range(8):
        heart, curves, _, _ = patient(i)
        assert [c.name for c in curves] == ["LAD", "LCX", "RCA"]
        for c in curves:
            assert 35 < len(c.points) < 130  # mm, for they are 1 mm apart
            at = heart.fields(*c.points.T)
            assert (at["sac"] > 0).all()
            assert np.median(at["heart"]) < 0
            assert c.radii[0] > c.radii[-1]
            steps = np.linalg.norm(np.diff(c.points, axis=0), axis=1)
            assert steps.max() < 2.5
