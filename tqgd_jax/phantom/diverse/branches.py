"""Side branches of the coronary arteries, and the heart's veins beside them."""

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d

from tqgd_jax.phantom.arteries import Artery, Points
from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.tubes import Segment, xyz

# Parent; share of its length at which it may begin, and the chance that it exists.
BRANCHES = (
    ("LAD", (0.22, 0.36), 0.9),  # first diagonal
    ("LAD", (0.42, 0.6), 0.7),  # second
    ("LCX", (0.25, 0.45), 0.85),  # obtuse marginal
    ("LCX", (0.55, 0.75), 0.5),
    ("RCA", (0.3, 0.5), 0.6),  # acute marginal
    ("RCA", (0.85, 0.95), 0.8),  # posterior descending
)
TOWARDS = {  # where they run, from the heart's centre (mm)
    "LAD": ((50, -6, -20), (56, -14, -26)),
    "LCX": ((52, 22, -22), (46, 30, -26)),
    "RCA": ((0, -46, -26), (24, 4, -46)),
}


def draw_branches(
    heart: Heart, mains: list[Artery], rng: np.random.Generator
) -> list[Artery]:
    """Branches of 15 to 55 mm under their parent's name, on the heart's surface."""
    by_name = {a.name: a for a in mains}
    out = []
    for k, (name, (first, last), chance) in enumerate(BRANCHES):
        start = rng.uniform(first, last)
        length = rng.uniform(15, 55)
        noise = rng.normal(0, 6, 3)
        exists = rng.random() < chance
        parent = by_name[name]
        if not exists:
            continue
        i = int(start * (len(parent.points) - 1))
        goal = np.array(heart.at(*TOWARDS[name][k % 2])) + noise
        way = goal - parent.points[i]
        end = parent.points[i] + way * min(1, length / (np.linalg.norm(way) + 1e-6))
        t = np.linspace(0, 1, max(int(np.linalg.norm(end - parent.points[i])), 8))
        points = parent.points[i] + t[:, None] * (end - parent.points[i])
        points = _onto(heart, points, 2.2)
        wiggle = gaussian_filter1d(rng.normal(0, 1, points.shape), 4.0, axis=0)
        radius = float(parent.radii[i]) * rng.uniform(0.5, 0.8)
        radii = np.linspace(radius, 0.5, len(points))
        out.append(Artery(name, points + wiggle * 1.2 * t[:, None], radii))
    return out


def _onto(heart: Heart, p: Points, gap: float) -> Points:
    """Moves points along the gradient until they lie `gap` mm above the muscle."""
    steps = np.concatenate([np.zeros((1, 3)), -np.eye(3), np.eye(3)]) / 2
    for _ in range(10):
        f = heart.fields(*np.moveaxis(p + steps[:, None, :], 2, 0))["heart"]
        g = (f[4:] - f[1:4]).T
        step = np.clip(-gap - f[0], -4, 4) / ((g**2).sum(axis=1) + 0.05)
        step[0] = 0  # it begins in its parent
        p = p + 0.7 * step[:, None] * g
        p[1:] = gaussian_filter1d(p, 0.8, axis=0, mode="nearest")[1:]
    return p


def veins(mains: list[Artery], blood: float, rng: np.random.Generator) -> list[Segment]:
    """The great cardiac vein and its like: wider than the artery they run beside."""
    out: list[Segment] = []
    for artery in mains:
        if rng.random() < 0.3:
            continue
        shift = rng.normal(size=3)
        shift *= rng.uniform(3, 6) / np.linalg.norm(shift)
        low = int(rng.uniform(0.1, 0.4) * len(artery.points))
        points = (artery.points + shift)[low::4]
        r = rng.uniform(1.2, 2.6)
        out += [Segment(xyz(a), xyz(b), r, r, blood) for a, b in pairwise(points)]
    return out


def drop_stented(lesions: list, stents: list[Segment]) -> list:
    """Lesions without those under a stent: a reader does not mark a stented segment."""
    middles = np.array([[s.a, s.b] for s in stents]).reshape(-1, 3)
    if not len(middles):
        return lesions
    return [
        x
        for x in lesions
        if np.linalg.norm(middles - np.array(x.centre), axis=1).min() > 6
    ]
