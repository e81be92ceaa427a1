"""Scores of phantoms of a few voxels, worked out by hand, and a slow second engine."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.flood import slowly
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS, Convention, convention
from tqgd_jax.evaluation.calcium.score import marked, score, score_marked

MM = (3.0, 1.0, 1.0)  # one pixel is 1 mm2, and slices are the reference's


def volume(*deposits, shape=(5, 8, 9), value=40):
    """Tissue with blocks of (z slice, y slice, x slice, HU), and the mask of them."""
    hu = np.full(shape, value, np.int16)
    mask = np.zeros(shape, bool)
    for z, y, x, level in deposits:
        hu[z, y, x] = level
        mask[z, y, x] = True
    return hu, mask


def block(level, z=2, y=slice(2, 4), x=slice(3, 6)):
    """2 x 3 pixels of one slice."""
    return (z, y, x, level)


def total(deposits, name, spacing=MM):
    hu, mask = volume(*deposits)
    return score(hu, mask, spacing, convention(name)).agatston


HU = (129, 130, 131, 199, 200, 299, 300, 399, 400, 2000)
WEIGHTS = [*zip(HU, (0, 1, 1, 1, 2, 2, 3, 3, 4, 4), strict=True)]  # Agatston's


@pytest.mark.parametrize(("hu", "weight"), WEIGHTS)
@pytest.mark.parametrize("name", CONVENTIONS)
def test_weights_of_six_pixels_of_one_square_millimetre(name, hu, weight):
    if hu == 130 and name in ("orcascore", "inplane8"):
        weight = 0  # more than 130
    assert total([block(hu)], name) == 6 * weight


@pytest.mark.parametrize(
    ("dz", "factor"), [(1.5, 0.5), (2.5, 5 / 6), (3, 1), (5, 5 / 3)]
)
def test_slice_spacing_scales_all_but_the_in_plane_convention(dz, factor):
    scores = {n: total([block(350)], n, (dz, 0.5, 0.4)) for n in CONVENTIONS}
    plain = 6 * 0.5 * 0.4 * 3  # 3.6
    assert scores["inplane8"] == pytest.approx(plain, rel=1e-12)
    for name in ("orcascore", "clinical", "deepcac"):
        assert scores[name] == pytest.approx(plain * factor, rel=1e-12)
    assert scores["aicac"] == round(plain * factor)


def test_a_lesion_split_over_slices_has_a_weight_in_each_or_one_for_all():
    # 6 px of 150 HU below 4 px of 450: 6 x 1 + 4 x 4, or 10 x 4
    deposits = [block(150, z=1), (2, slice(2, 4), slice(3, 5), 450)]
    for name in ("orcascore", "clinical", "inplane8", "deepcac"):
        assert total(deposits, name) == 22
    assert total(deposits, "aicac") == 40
    hu, mask = volume(*deposits)
    for name in CONVENTIONS:
        (lesion,) = score(hu, mask, MM, convention(name)).lesions
        assert (lesion.z, lesion.box, lesion.voxels) == ((1, 2), (3, 2, 6, 4), 10)
        assert (lesion.hu_max, lesion.hu_mean) == (450, 270)


CORNER = [(2, slice(2, 4), slice(2, 4), 450), (2, slice(4, 6), slice(4, 6), 150)]


@pytest.mark.parametrize(
    ("connected", "expected", "lesions"),
    [
        ("2d-4", 4 * 4 + 4 * 1, 2),
        ("2d-8", 8 * 4, 1),
        ("3d-6", 4 * 4 + 4 * 1, 2),
        ("3d-26", 8 * 4, 1),
    ],
)
def test_components_that_touch_by_a_corner_in_a_slice(connected, expected, lesions):
    hu, mask = volume(*CORNER)
    actual = score(hu, mask, MM, Convention("mine", connected))
    assert (actual.agatston, len(actual.lesions)) == (expected, lesions)


@pytest.mark.parametrize(
    ("connected", "lesions"), [("3d-6", 2), ("3d-26", 1), ("2d-8", 2)]
)
def test_components_that_touch_by_a_corner_between_slices(connected, lesions):
    hu, mask = volume((1, 2, 2, 300), (2, 3, 3, 300))
    actual = score(hu, mask, MM, Convention("mine", connected))
    assert (actual.agatston, len(actual.lesions)) == (6, lesions)


@pytest.mark.parametrize(
    ("name", "counts"), [("inplane8", 4), ("deepcac", 4), ("aicac", 2)]
)
def test_smallest_components_in_pixels(name, counts):
    for pixels in (counts - 1, counts):
        actual = total([(2, 3, slice(1, 1 + pixels), 250)], name)
        assert actual == (2 * pixels if pixels == counts else 0)


@pytest.mark.parametrize(
    ("spacing", "counts"),
    # 0.2 mm: 25 px are 1 mm2; in binary 0.2 * 0.2 * 25 is more, 0.1 * 0.1 * 100 too
    [((3, 0.2, 0.2), 25), ((3, 0.5, 0.5), 4), ((3, 0.7, 0.7), 3), ((1, 0.1, 0.1), 100)],
)
def test_clinical_components_have_one_square_millimetre_at_least(spacing, counts):
    for pixels in (counts - 1, counts):
        hu, mask = volume((0, 0, slice(pixels), 250), shape=(1, 1, 120))
        actual = score(hu, mask, spacing, convention("clinical")).agatston
        area = pixels * spacing[1] * spacing[2] * spacing[0] / 3
        assert actual == pytest.approx(2 * area if pixels == counts else 0, rel=1e-12)


def test_sizes_in_cubic_millimetres():
    rule = Convention("mine", "3d-6", smallest=1.5, unit="mm3")
    hu, mask = volume((slice(1, 3), 2, 2, 250))
    assert score(hu, mask, (3, 0.5, 0.5), rule).agatston == 2 * 2 * 0.25  # 1.5 mm3
    assert score(hu, mask, (2.9, 0.5, 0.5), rule).agatston == 0


def test_one_voxel_is_a_lesion_where_no_size_is_asked_for():
    hu, mask = volume((2, 3, 4, 500))
    one = score(hu, mask, MM, convention("orcascore"))
    assert one.agatston == 4
    assert one.lesions[0].box == (4, 3, 5, 4)
    assert score(hu, mask, MM, convention("clinical")).agatston == 4  # 1 mm2
    assert score(hu, mask, MM, convention("inplane8")).lesions == ()


def test_an_empty_scan_scores_nothing():
    hu, mask = volume()
    for one in CONVENTIONS.values():
        actual = score(hu, mask, MM, one, 0.8)
        assert actual.amount == (0.0, 0.0, 0.0)
        assert (actual.lesions, actual.arteries) == ((), {})
        assert score(hu, mask, MM, one).amount.mass_mg is None


def test_volume_and_mass_of_two_lesions():
    hu, mask = volume(block(200, z=1), (3, slice(0, 4), 0, 500))
    actual = score(hu, mask, (2.0, 0.5, 0.5), convention("orcascore"), 0.75)
    # 6 and 4 voxels of 0.5 mm3; 0.75 mg/mL per HU x HU x volume / 1000
    assert actual.amount.volume_mm3 == 5.0
    masses = [one.amount.mass_mg for one in actual.lesions]
    assert masses == pytest.approx([0.75 * 200 * 3 / 1000, 0.75 * 500 * 2 / 1000])
    assert actual.amount.mass_mg == pytest.approx(1.2)


def test_pixels_of_a_mask_that_are_dark_count_only_where_the_convention_says():
    hu, mask = volume(block(250))
    mask[2, 1, 3:6] = True  # 40 HU
    expected = {"orcascore": 12, "clinical": 12, "inplane8": 12, "deepcac": 18}
    for name, points in expected.items():
        assert score(hu, mask, MM, convention(name)).agatston == points
    assert score(hu, mask, MM, convention("aicac")).agatston == 18
    dark = score(hu, mask & (hu < 130), MM, convention("deepcac"))
    assert (dark.agatston, dark.amount.volume_mm3, dark.lesions) == (0, 0, ())


def test_arteries_that_touch_stay_apart():
    hu, mask = volume(block(450), (2, slice(2, 4), slice(6, 8), 150))
    label = mask.astype(np.uint8)
    label[2, :, 6:] *= 3
    assert score(hu, mask, MM, convention("clinical")).agatston == 40
    actual = score(hu, label, MM, convention("clinical"))
    assert actual.agatston == 24 + 4
    assert [(one.artery, one.amount.agatston) for one in actual.lesions] == [
        ("LAD", 24),
        ("RCA", 4),
    ]
    assert {k: v.agatston for k, v in actual.arteries.items()} == {
        "LAD": 24,
        "LCX": 0,
        "RCA": 4,
    }


def test_every_voxel_outside_the_mask_is_left_alone():
    hu, mask = volume(block(250))
    around = hu.copy()
    around[~mask] = 3000
    for one in CONVENTIONS.values():
        assert score(around, mask, MM, one) == score(hu, mask, MM, one)


RULES = [
    *CONVENTIONS.values(),
    Convention("four", "2d-4", smallest=3, unit="px"),
    Convention("corners", "3d-26", smallest=4.0, unit="mm3", weigh="component"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_random_volumes_score_as_a_flood_fill_says(rule):
    rng = np.random.default_rng(0)
    for _ in range(12):
        hu = rng.integers(60, 480, (4, 7, 8)).astype(np.int16)
        hu[rng.random(hu.shape) < 0.45] = 0
        hu[rng.random(hu.shape) < 0.05] = 130
        mask = rng.random(hu.shape) < 0.8
        spacing = (float(rng.choice([1.5, 2.5, 3])), 0.6, 0.7)
        points, voxels = slowly(hu, mask, spacing, rule)
        actual, counted = score_marked(marked(hu, mask), spacing, rule)
        assert actual.agatston == pytest.approx(points, rel=1e-12)
        np.testing.assert_array_equal(counted, voxels[mask])
        assert sum(one.voxels for one in actual.lesions) == voxels.sum()


def test_turned_and_mirrored_volumes_have_one_score():
    rng = np.random.default_rng(1)
    hu = rng.integers(0, 480, (5, 9, 9)).astype(np.int16)
    mask = rng.random(hu.shape) < 0.6
    for rule in CONVENTIONS.values():
        first = score(hu, mask, MM, rule)
        for turn in (
            lambda a: a[::-1],
            lambda a: a[:, ::-1],
            lambda a: a[:, :, ::-1],
            lambda a: a.transpose(0, 2, 1),
        ):
            other = score(turn(hu), turn(mask), MM, rule)
            assert other.agatston == pytest.approx(first.agatston, rel=1e-12)
            assert len(other.lesions) == len(first.lesions)


def test_other_conventions_are_a_change_of_one():
    hu, mask = volume(block(350))
    thin = dataclasses.replace(convention("clinical"), thickness=False)
    assert score(hu, mask, (1.5, 1, 1), thin).agatston == 18


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spacing": (0.0, 1.0, 1.0)}, "spacing must be above 0"),
        ({"spacing": (3.0, np.nan, 1.0)}, "spacing must be above 0"),
        ({"calibration": -1.0}, "calibration must be above 0"),
    ],
)
def test_what_has_no_score_is_refused(change, words):
    hu, mask = volume()
    given = {"hu": hu, "mask": mask, "spacing": MM, "convention": CONVENTIONS["aicac"]}
    with pytest.raises(ValueError, match=words):
        score(**(given | change))


def test_an_unknown_convention_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"'qurai'; there are: orcascore, clinical"):
        convention("qurai")
