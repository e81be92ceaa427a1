"""The detector that ships: it is there, small, and finds calcium, not ribs."""

import numpy as np
import pytest

import tqgd_jax as tq
from tqgd_jax import shipped
from tqgd_jax.io import weights
from tqgd_jax.io.volumes import read_mask
from tqgd_jax.phantom.dataset import IMAGES, MASKS, simulate
from tqgd_jax.prediction.models import Detectors, read_members

LARGEST = 8 * 2**20  # bytes


def test_it_is_small_and_its_file_says_what_it_is():
    assert shipped.FILE.stat().st_size <= LARGEST
    variables, meta = weights.read(shipped.FILE)
    assert meta["classes"] == ["calcium"]
    assert meta["config"]["data"]["dir"].endswith("phantom-diverse")
    assert meta["provenance"]["rounded"] == "half precision"
    assert variables["params"].keys() >= {"backbone", "pan", "head"}


def test_nobody_need_ask_whether_it_was_trained_on_a_patient():
    detectors = Detectors(read_members([shipped.FILE]))
    assert detectors.members[0].name == shipped.NAME
    assert detectors.unknown_training == []
    assert detectors.threshold.source == "validation"


@pytest.fixture(scope="module")
def detector():
    return tq.load()


@pytest.mark.slow
def test_it_finds_calcium_of_a_patient_it_has_not_seen(detector, tmp_path):
    # seed 0 trained it; of seeds 1 to 3 this is the first with calcium in its slices
    simulate(tmp_path, patients=1, slices=12, preset="gated", seed=1, workers=1)
    scan = tq.read_scan(tmp_path / IMAGES / "TRV1P1CTI.mhd")
    calcium = read_mask(tmp_path / MASKS / "TRV1P1R.mhd", scan) > 0
    slices = np.flatnonzero(calcium.any(axis=(1, 2)))
    assert len(slices) > 0
    lesions = detector.scan(scan)
    inside = np.zeros(calcium.shape, bool)
    for z, (x0, y0, x1, y1) in zip(
        lesions.z, lesions.boxes.round().astype(int), strict=True
    ):
        inside[z, y0:y1, x0:x1] = True
    assert (inside & calcium).sum() / calcium.sum() > 0.7
    assert len(lesions.z) < 4 * len(scan.hu)


@pytest.mark.slow
def test_a_real_chest_without_calcium_has_two_alarms_at_most(detector, realdata):
    scan = tq.read_scan(realdata / "chest_ct" / "dicom")
    lesions = detector.scan(scan)
    assert len({*lesions.lesion}) <= 2
