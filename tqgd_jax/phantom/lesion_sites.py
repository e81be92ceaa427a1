"""Where a patient has calcium: lesions of the arteries, and what only looks like them."""

import numpy as np

from tqgd_jax.phantom.anatomy import Patient
from tqgd_jax.phantom.arteries import Artery
from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.lesions import Lesion, Lobe
from tqgd_jax.phantom.presets import Preset
from tqgd_jax.phantom.tubes import xyz

DENSEST_HU = 1100  # above blood, after any blur: peaks stay near 1200 HU


def _frame(direction: np.ndarray, rng: np.random.Generator):
    u = direction / (np.linalg.norm(direction) + 1e-9)
    v = np.cross(u, rng.normal(size=3))
    v /= np.linalg.norm(v) + 1e-9
    return u, v, np.cross(u, v)


def lump(
    rng: np.random.Generator,
    at: np.ndarray,
    direction: np.ndarray,
    half: float,
    aspect: float,
    lobes: int,
) -> tuple[Lobe, ...]:
    """Some overlapping ellipsoids around a point, longest along a direction."""
    out = []
    for _ in range(lobes):
        u, v, w = _frame(direction + rng.normal(0, 0.25, 3), rng)
        r = half * rng.uniform(0.7, 1.15, 3) * np.array([aspect, 1.0, 0.8])
        shift = u * rng.normal(0, 0.6 * half * aspect) + v * rng.normal(0, 0.4 * half)
        centre = at + shift * (lobes > 1)
        out.append(Lobe(xyz(centre), xyz(r), (xyz(u), xyz(v), xyz(w))))
    return tuple(out)


def coronary(
    arteries: list[Artery], preset: Preset, rng: np.random.Generator
) -> list[Lesion]:
    """The labelled lesions of one patient: some have none, few have very many."""
    if rng.random() < 0.06:
        return []
    count = int(np.clip(round(rng.lognormal(np.log(preset.burden), 0.75)), 1, 28))
    severity = rng.lognormal(0, 0.12)  # those with much calcium have larger lesions
    by_name = {a.name: a for a in arteries}
    lesions = []
    for _ in range(count):
        # Proximal segments calcify first; LAD before RCA before LCX.
        artery = by_name[str(rng.choice(["LAD", "RCA", "LCX"], p=[0.52, 0.3, 0.18]))]
        n = len(artery.points)
        s = int(np.clip(rng.beta(1.3, 2.4) * 0.9 + 0.03, 0, 0.95) * (n - 1))
        half = preset.lesion_mm * severity * rng.lognormal(0, 0.27)
        if rng.random() < 0.06:
            half *= 1.7  # the few confluent ones that make most of a score
        lobes = plaque(artery, s, half, rng)
        hu = float(
            np.clip(rng.lognormal(np.log(preset.lesion_hu), 0.36), 200, DENSEST_HU)
        )
        lesions.append(Lesion(artery.name, lobes, hu))
    return lesions


def plaque(
    artery: Artery, s: int, half: float, rng: np.random.Generator
) -> tuple[Lobe, ...]:
    """Lumps in the wall of an artery around its point s; `half` is across it, mm."""
    n = len(artery.points)
    aspect = float(np.clip(rng.lognormal(np.log(1.5), 0.35), 0.8, 4))
    wall = rng.normal(size=3)
    lobes: list[Lobe] = []
    pieces = 1 + int(aspect > 1.9) + int(rng.random() < 0.3)
    span = max(int(half * aspect), 1)
    for k in range(pieces):
        # A long lesion is a chain of lumps, so that it bends with its artery.
        i = int(np.clip(s + (k - (pieces - 1) / 2) * span, 1, n - 2))
        along = artery.points[i + 1] - artery.points[i - 1]
        u = along / (np.linalg.norm(along) + 1e-9)
        side = wall - u * (wall @ u)
        side /= np.linalg.norm(side) + 1e-9
        at = artery.points[i] + side * artery.radii[i] * rng.uniform(0.3, 1.0)
        piece = half * (1.0 if pieces == 1 else rng.uniform(0.7, 1.0))
        lobes += lump(rng, at, u, piece, min(aspect, 1.8), 1 + int(rng.integers(0, 2)))
    return tuple(lobes)


def elsewhere(p: Patient, heart: Heart, rng: np.random.Generator) -> list[Lesion]:
    """Calcium that is no coronary calcium and that a detector must not report."""
    lesions: list[Lesion] = []

    def add(kind, at, half, hu, aspect=1.3, lobes=2, moves=True):
        direction = rng.normal(size=3)
        body = lump(rng, np.asarray(at, float), direction, half, aspect, lobes)
        lesions.append(Lesion(kind, body, float(hu), moves))

    r = p.aorta
    if rng.random() < 0.5:  # plaques in the wall of the ascending and descending aorta
        for _ in range(int(rng.integers(1, 6))):
            angle, z = rng.uniform(0, 2 * np.pi), rng.uniform(-50, 60)
            centre = np.array([18.5, 47 * p.size]), 0.75 * r
            if rng.random() < 0.4:
                k = rng.uniform(0.2, 1.0)
                top = heart.at(-9 - 9 * k, -8 - 6 * k, 12 + 28 * k)
                centre, z = (np.array(top[:2]), r), top[2]
            at = centre[0] + centre[1] * np.array([np.cos(angle), np.sin(angle)])
            add("aorta", (*at, z), rng.uniform(0.7, 1.8), rng.uniform(300, 900))
    if rng.random() < 0.25:  # aortic valve
        for _ in range(int(rng.integers(1, 5))):
            at = np.array(heart.at(-3, -3, 3)) + rng.normal(0, 5, 3)
            add("aortic valve", at, rng.uniform(0.8, 2.2), rng.uniform(300, 900))
    if rng.random() < 0.15:  # mitral annulus: a C behind the left ventricle
        start = rng.uniform(0, 2 * np.pi)
        for k in range(int(rng.integers(3, 9))):
            angle = start + k * 0.3
            at = heart.at(12 + 15 * np.cos(angle), 24, -6 + 14 * np.sin(angle))
            add("mitral annulus", at, rng.uniform(1.0, 2.2), rng.uniform(300, 900))
    if rng.random() < 0.06:
        at = np.array(heart.at(44, -20, -20)) + rng.normal(0, 6, 3)
        add("pericardium", at, rng.uniform(1.0, 2.0), rng.uniform(300, 700), 2.5, 3)
    for kind, x, y, z, half, hu, aspect, lobes in (
        ("granuloma", (60, 95), (-40, 55), (-20, 60), (1.2, 2.6), (900, 1900), 1.0, 1),
        ("hilar node", (24, 46), (12, 30), (15, 50), (1.5, 3.5), (250, 800), 1.2, 4),
    ):
        if rng.random() < 0.25:
            side = -1 if rng.random() < 0.5 else 1
            at = (side * rng.uniform(*x), rng.uniform(*y), rng.uniform(*z))
            size, density = rng.uniform(*half), rng.uniform(*hu)
            add(kind, at, size, density, aspect, lobes, moves=False)
    return lesions
