"""Shares of voxels in a score add up to it."""

import numpy as np
import pytest

from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS
from tqgd_jax.evaluation.calcium.score import agatston_by_voxel, marked, score

SPACING = (3.0, 0.5, 0.5)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_shares_add_up_to_the_score(name):
    hu = np.random.default_rng(0).integers(0, 500, (4, 12, 12)).astype(np.int16)
    mask = hu > 250
    rules = CONVENTIONS[name]
    shares = agatston_by_voxel(marked(hu, mask), SPACING, rules)
    whole = score(hu, mask, SPACING, rules).agatston
    assert whole > 0
    assert shares.sum() == pytest.approx(whole)


def test_a_voxel_has_the_weight_of_its_spot_and_none_beside():
    hu = np.zeros((1, 3, 6), np.int16)
    hu[0, 0, :3] = 150, 420, 140  # 3 pixels of weight 4
    hu[0, 2, 5] = 130  # not above 130 HU
    shares = agatston_by_voxel(marked(hu, hu > 0), SPACING, CONVENTIONS["orcascore"])
    assert shares.tolist() == [1, 1, 1, 0]  # 0.25 mm2 x 4
