"""Whole diverse patients, small: labels, seeds, files."""

import functools
import json

import numpy as np
from scipy.spatial import KDTree

from tqgd_jax.phantom import arteries, observer, scanner
from tqgd_jax.phantom.dataset import simulate
from tqgd_jax.phantom.diverse import branches, render, sites
from tqgd_jax.phantom.diverse.heart import DiverseHeart
from tqgd_jax.phantom.diverse.patient import draw_person
from tqgd_jax.phantom.lesions import Deposit, Lesion, Lobe, combine
from tqgd_jax.phantom.render import Scan
from tqgd_jax.phantom.tubes import Grid

UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SIZE, SLICES = 128, 8


@functools.cache
def scans() -> list[tuple[render.Protocol, Scan]]:
    return [
        render.simulate_patient(np.random.SeedSequence([1, i]), SIZE, SLICES)
        for i in range(5)
    ]


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_scan():
    protocol, scan = render.simulate_patient(
        np.random.SeedSequence([1, 0]), SIZE, SLICES
    )
    assert protocol == scans()[0][0]
    np.testing.assert_array_equal(scan.hu, scans()[0][1].hu)
    np.testing.assert_array_equal(scan.mask, scans()[0][1].mask)
    assert len({p.fov_mm for p, _ in scans()}) == len(scans())


def test_labels_lie_on_bright_voxels_beside_their_artery():
    marked = 0
    for i, (protocol, scan) in enumerate(scans()):
        assert (scan.hu[scan.mask > 0] > 130).all()
        person = np.random.default_rng(np.random.SeedSequence([1, i]).spawn(6)[0])
        heart = DiverseHeart(draw_person(person), person)
        mains = arteries.draw_arteries(heart, person)
        curves = mains + branches.draw_branches(heart, mains, person)
        for name, label in arteries.LABELS.items():
            at = np.argwhere(scan.mask == label)
            if not len(at):
                continue
            at = (at * scan.grid.spacing + scan.grid.origin)[:, ::-1]
            points = np.concatenate([c.points for c in curves if c.name == name])
            far, _ = KDTree(points).query(at)
            # Wall and a lesion of 2.6 mm x 1.8, the heart's path, and three pixels.
            limit = 2 + 8 + 1.6 * protocol.motion_mm + 3 * max(scan.grid.spacing)
            assert far.max() < limit
            marked += len(at)
    assert marked > 5


def test_a_patient_without_coronary_calcium_has_no_label(monkeypatch):
    monkeypatch.setattr(sites, "coronary", lambda *_: [])
    for i in (0, 3):
        seeds = np.random.SeedSequence([1, i])
        _, scan = render.simulate_patient(seeds, SIZE, 3)
        assert not scan.mask.any()
        assert (scan.hu > 400).any()  # bone, and what else is bright


def test_where_two_deposits_meet_the_stronger_one_names_the_voxel():
    grid = Grid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 1, 3))
    lobe = Lobe((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), UPRIGHT)
    kinds = [Lesion("LAD", (lobe,), 1.0), Lesion("aortic root", (lobe,), 1.0)]
    box = (slice(0, 1), slice(0, 1), slice(0, 3))
    values = [(300, 200, 0), (100, 250, 90)]
    deposits = [
        Deposit(box, np.array(v, np.float32).reshape(1, 1, 3), 1.0) for v in values
    ]
    mineral, added, label = combine(kinds, deposits, grid)
    assert mineral.ravel().tolist() == [400, 450, 90]
    assert added.ravel().tolist() == [300, 250, 90]
    assert label.ravel().tolist() == [1, 0, 0]


def test_a_reader_marks_what_rises_above_the_noise():
    hu = np.full((1, 8, 16), 40, np.int16)
    added = np.zeros(hu.shape, np.float32)
    for x, value in ((2, 90), (6, 160), (11, 160)):
        added[0, 3:5, x : x + 2] = value
    added[0, 3:5, 13] = 30  # a bright fragment beside the last, in noise
    hu = (hu + added + 60 * (added > 0)).astype(np.int16)
    label = np.ones(hu.shape, np.uint8)

    def marked(*limits: float) -> list[int]:
        mask = observer.observe(hu, added, label, 1.0, *limits)
        return np.flatnonzero(mask[0].any(axis=0)).tolist()

    # 40 + 60 + 30 is 130, not above it: the fragment has no voxel of its own.
    assert marked() == [2, 3, 6, 7, 11, 12]
    assert marked(120.0) == [6, 7, 11, 12]
    hu[0, 3:5, 14:] = 200
    added[0, 3:5, 14:] = 40
    assert marked(20.0) == [2, 3, 6, 7, 11, 12, 14, 15]
    assert marked(20.0, 60.0) == [2, 3, 6, 7, 11, 12]


def test_smooth_noise_keeps_its_deviation_and_grows_coarse():
    rng = np.random.default_rng(0)
    lags = []
    for smooth in (0.0, 0.5):
        texture = scanner.mixed_filter(256, 0.5, 0.5, 0.3, smooth)
        field = np.stack([scanner.shaped_noise(rng, 256, texture) for _ in range(3)])
        assert abs(float(field.std()) - 1) < 0.02
        lags.append(float((field[:, :, 4:] * field[:, :, :-4]).mean()))  # 2 mm
    assert lags[1] > lags[0] + 0.1


def test_a_cohort_is_written_with_its_version_and_a_protocol_for_each_patient(tmp_path):
    out = tmp_path / "set"
    simulate(out, preset="diverse", patients=2, slices=2, size=128, seed=4, workers=1)
    record = json.loads((out / "phantom.json").read_text())
    assert record["parameters"]["version"] == 1
    assert record["preset"]["name"] == "diverse"
    one, two = record["patient"].values()
    assert one["scanner"]["fov_mm"] != two["scanner"]["fov_mm"]
    assert {one["anatomy"]["sex"], two["anatomy"]["sex"]} <= {"F", "M"}
