"""Who and what is drawn: both sexes, all sizes, all protocols, findings in their place."""

import functools

import numpy as np
import pytest

from tqgd_jax.phantom import arteries
from tqgd_jax.phantom.diverse import body, branches, devices
from tqgd_jax.phantom.diverse.heart import DiverseHeart
from tqgd_jax.phantom.diverse.negatives import Negatives
from tqgd_jax.phantom.diverse.patient import draw_person
from tqgd_jax.phantom.diverse.protocol import RANGES, draw_protocol
from tqgd_jax.phantom.diverse.render import draw_path, scan_grid
from tqgd_jax.phantom.diverse.surfaces import leaves
from tqgd_jax.phantom.lesions import Lesion, Lobe
from tqgd_jax.phantom.shapes import ellipsoid
from tqgd_jax.phantom.tubes import Segment

UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@functools.cache
def hearts() -> list[DiverseHeart]:
    rngs = [np.random.default_rng(s) for s in range(3)]
    return [DiverseHeart(draw_person(r), r) for r in rngs]


@functools.cache
def mains() -> list[arteries.Artery]:
    return arteries.draw_arteries(hearts()[0], np.random.default_rng(9))


def test_people_are_of_both_sexes_and_all_sizes():
    people = [draw_person(np.random.default_rng(s)) for s in range(300)]
    women = [p for p in people if p.sex == "F"]
    assert 110 < len(women) < 190  # half of 300, 4.6 standard deviations
    assert all(max(p.breast) > 0 for p in women)
    assert 0 < sum(max(p.breast) > 0 for p in people if p.sex == "M") < 60
    assert 20 < sum(p.arms for p in people) < 80  # 15 %
    for name, low, high in (("size", 0.86, 1.14), ("fat", 6, 35), ("age", 40, 85)):
        values = [getattr(p, name) for p in people]
        assert min(values) < low < high < max(values)


def test_protocols_cover_what_hospitals_use():
    made = [draw_protocol(np.random.default_rng(s), False) for s in range(400)]
    fov, dz = ([getattr(p, n) for p in made] for n in ("fov_mm", "spacing_mm"))
    assert 180 <= min(fov) < 195 < 480 < max(fov) <= 500
    assert (min(dz), max(dz)) == (0.5, 5.0)
    assert 130 < sum(p.gated for p in made) < 230  # 45 %
    assert min(p.noise_hu for p in made) < 10 < 40 < max(p.noise_hu for p in made)
    assert all(RANGES.noise_hu[0] <= p.noise_hu <= RANGES.noise_hu[1] for p in made)
    assert {p.kv for p in made} == {100, 120, 130, 140}
    assert max(p.edge for p in made) > 0.3
    assert min(p.edge for p in made) == 0
    assert all(p.mineral > 1 for p in made if p.kv < 120)


def test_voxels_are_those_of_the_protocol():
    rng = np.random.default_rng(0)
    protocol = draw_protocol(rng, False)
    grid = scan_grid(protocol, 256, 7, 0.0, rng)
    assert grid.shape == (7, 256, 256)
    assert grid.spacing[0] == protocol.spacing_mm
    assert grid.spacing[1] * 256 == pytest.approx(protocol.fov_mm)
    middle = grid.origin[2] + 255 / 2 * grid.spacing[2]
    assert middle == pytest.approx(protocol.centre_mm[0])


def test_a_heart_at_rest_has_one_phase_and_a_moving_one_a_path():
    rng = np.random.default_rng(0)
    assert draw_path(0.0, rng) == ([(1.0, (0.0, 0.0, 0.0))],) * 2
    few, path = draw_path(8.0, rng)
    for phases in (few, path):
        assert sum(w for w, _ in phases) == pytest.approx(1)
        assert phases[0][1] == (0.0, 0.0, 0.0)
    assert (len(few), len(path)) == (2, 11)  # a step for each 0.8 mm
    assert 8 * 0.3 < np.linalg.norm(path[-1][1]) <= 8 * 1.6


def test_a_point_is_placed_where_the_warp_takes_it_back():
    for heart in hearts():
        at = heart.person.place((18.0, 47.0, 30.0))
        np.testing.assert_allclose(heart.person.warp(*at), (18, 47, 30), atol=0.05)


def test_a_ray_leaves_a_ball_at_its_radius():
    def ball(x, y, z):
        return ellipsoid(x, y, z, (1, 2, 3), (10, 10, 10))

    at = leaves(ball, (1, 2, 3), (0, 2, 0), 50)
    assert at == pytest.approx((1, 12, 3), abs=0.02)
    assert leaves(ball, (30, 2, 3), (1, 0, 0), 50) is None  # begins outside
    assert leaves(ball, (1, 2, 3), (1, 0, 0), 5) is None  # still inside


def test_what_is_no_coronary_calcium_lies_where_it_belongs(monkeypatch):
    monkeypatch.setattr(Negatives, "chance", lambda self, share: True)
    kinds = set()
    for k, heart in enumerate(hearts()):
        for lesion in Negatives(heart, np.random.default_rng(k)).draw():
            assert lesion.label == 0
            kinds.add(lesion.artery)
            at = np.array([b.centre for b in lesion.lobes]).T
            if lesion.artery in ("aortic root", "ascending aorta"):
                assert np.abs(heart.chambers(*at)["aorta"]).max() < 0.5
            if lesion.artery == "aortic arch":
                assert np.abs(heart.outer_vessels(*at)).max() < 0.5
            if lesion.artery == "pericardium":
                assert np.abs(heart.fields(*at)["sac"]).max() < 0.5
            if lesion.artery == "mitral annulus":  # between left ventricle and atrium
                shapes = heart.chambers(*at)
                assert np.minimum(shapes["lv"], shapes["la"]).min() > -20
    assert kinds >= {
        "aortic root",
        "ascending aorta",
        "aortic arch",
        "descending aorta",
    }
    assert kinds >= {"aortic valve", "mitral annulus", "pericardium", "myocardium"}
    assert kinds >= {"hilar node", "mediastinal node", "granuloma", "breast"}


def test_branches_begin_in_their_artery_and_run_on_the_heart():
    heart, main = hearts()[0], mains()
    parents = {a.name: a for a in main}
    out = branches.draw_branches(heart, main, np.random.default_rng(1))
    assert len(out) >= 3
    for branch in out:
        parent = parents[branch.name].points
        assert np.linalg.norm(parent - branch.points[0], axis=1).min() < 0.01
        depth = heart.fields(*branch.points.T)["heart"]
        assert -6 < np.median(depth) < 0  # in the fat above the muscle
        assert branch.radii[0] < parents[branch.name].radii[0]


def test_a_stented_segment_has_no_lesion():
    def at(x: float) -> Lesion:
        return Lesion("LAD", (Lobe((x, 0.0, 0.0), (1.0, 1.0, 1.0), UPRIGHT),), 500.0)

    stent = [Segment((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), 1.5, 1.5, 900.0)]
    assert branches.drop_stented([at(1), at(20)], stent) == [at(20)]
    assert branches.drop_stented([at(1)], []) == [at(1)]


def test_electrodes_and_markers_lie_on_the_skin():
    heart = hearts()[1]

    def skin(x, y, z):
        z = np.broadcast_to(z, np.shape(x))
        return body.fields(heart.person, x, y, z, heart.fields(x, y, z)["sac"])["body"]

    count = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        drawn = devices.draw_devices(heart, mains(), skin, rng)
        if not {"electrodes", "skin marker"} & set(drawn.names):
            assert "cloth" in drawn.names or not drawn.outside
            continue
        metal = [s for s in drawn.outside if s.hu > 500]
        ends = np.array([s.a for s in metal]).T
        if len(metal):
            depth = skin(*ends)
            assert depth.max() < 6  # a marker may press into the skin
            assert np.median(depth) > -12
            count += len(metal)
    assert count > 3
