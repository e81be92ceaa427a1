"""Metal, contrast medium and what lies on the skin: bright and never to be reported."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tqgd_jax.phantom import torso
from tqgd_jax.phantom.arteries import Artery
from tqgd_jax.phantom.diverse.heart import DiverseHeart
from tqgd_jax.phantom.diverse.surfaces import Field, leaves
from tqgd_jax.phantom.tubes import Segment, xyz

METAL = 9000.0  # HU before the file's limit
LEAD = ((-34, -12, 100), (-36, -10, 45), (-37, -4, 0), (-26, -10, -26), (0, -26, -32))


class Devices(NamedTuple):
    """Segments inside the body, those that move with the heart, those outside."""

    still: list[Segment]
    beating: list[Segment]
    outside: list[Segment]
    names: list[str]
    stents: list[Segment]


def chain(points: list, radius: float, hu: float) -> list[Segment]:
    """Capsules from point to point."""
    ends = pairwise(xyz(np.asarray(q)) for q in points)
    return [Segment(a, b, radius, radius, hu) for a, b in ends]


def ring(centre, u, v, radius: float, thick: float, hu: float) -> list[Segment]:
    """A closed polygon of 14 capsules in the plane of u and v."""
    t = np.linspace(0, 2 * np.pi, 15)[:, None]
    u, v = np.asarray(u, float), np.asarray(v, float)
    points = np.asarray(centre) + radius * (np.cos(t) * u + np.sin(t) * v)
    return chain(list(points), thick, hu)


def draw_devices(
    heart: DiverseHeart, mains: list[Artery], body: Field, rng: np.random.Generator
) -> Devices:
    """Each kind in its share of patients; `body` is the distance inside the skin."""
    p = heart.person
    d = Devices([], [], [], [], [])

    def has(name: str, share: float) -> bool:
        if rng.random() >= share:
            return False
        d.names.append(name)
        return True

    if has("pacing lead", 0.07):
        _leads(heart, d, rng)
    surgery = rng.random() < 0.07
    if surgery:
        d.names.append("sternal wires")
        _wires(heart, d, rng)
    if surgery and has("clips", 0.6):
        for _ in range(int(rng.integers(3, 14))):
            at = np.array(heart.at(*(rng.uniform((-30, -48, -20), (45, -30, 40)))))
            way = rng.normal(size=3)
            d.beating.extend(
                chain([at, at + 3 * way / np.linalg.norm(way)], 0.5, 5000.0)
            )
    if surgery and has("valve ring", 0.35):
        u, v = rng.normal(size=(2, 3))
        u /= np.linalg.norm(u)
        v -= u * (u @ v)
        v /= np.linalg.norm(v)
        at = heart.at(-2, -2, 2) if rng.random() < 0.6 else heart.at(10, 20, -8)
        d.beating.extend(ring(at, u, v, rng.uniform(9, 14), 0.8, 4000.0))
    if has("stent", 0.07):
        _stents(mains, d, rng)
    if has("port", 0.04):
        _port(heart, d, rng)
    if has("contrast in a vein", 0.05):
        hu = float(rng.uniform(150, 1400))
        s = p.size
        path = [heart.at(-36, -4, 8), heart.at(-36, -10, 45), (-24, -14 * s, 95)]
        d.still.extend(chain([p.place(q) for q in path], rng.uniform(4, 8), hu))
    if has("gastric tube", 0.03):
        path = [(5 + 2 * np.sin(z / 30), 33 * p.size, z) for z in range(-110, 120, 15)]
        d.still.extend(
            chain([p.place(q) for q in path], 1.6, float(rng.uniform(200, 700)))
        )
    if has("electrodes", 0.45):
        _electrodes(body, d, rng)
    if has("skin marker", 0.12):
        for _ in range(int(rng.integers(1, 4))):
            _marker(body, d, rng)
    if has("cloth", 0.5):
        _cloth(body, d, rng)
    return d


def _leads(heart: DiverseHeart, d: Devices, rng: np.random.Generator) -> None:
    ends = ((26, -38, -38), (-40, -22, 8), (44, 20, -14))
    for end in ends[: int(rng.integers(1, 4))]:
        stay = LEAD if end[0] == 26 else LEAD[:3]
        points = [np.array(heart.at(*q)) + rng.normal(0, 1.5, 3) for q in (*stay, end)]
        d.beating.extend(chain(points, rng.uniform(0.6, 1.1), METAL))
    if rng.random() < 0.3:  # the coil of a defibrillator
        a, b = heart.at(*LEAD[4]), heart.at(26, -38, -38)
        d.beating.extend(chain([np.array(a), np.array(b)], 1.5, METAL))


def _wires(heart: DiverseHeart, d: Devices, rng: np.random.Generator) -> None:
    p = heart.person
    for z in np.arange(-34, 100, 27) + rng.normal(0, 5):
        _, b = torso.cage_axes(p, np.float32(z))
        at = p.place((rng.normal(0, 2), float(-b + 4.2), float(z)))
        for _ in range(int(rng.integers(1, 3))):
            wide, deep = rng.uniform(9, 15), rng.uniform(6.5, 9)
            tilt = rng.normal(0, 0.15)
            d.still.extend(
                ring(at, (wide, 0, wide * tilt), (0, deep, 0), 1.0, 0.55, METAL)
            )
        front = np.array(at) - np.array((rng.normal(0, 2), 7.0, 0))
        d.still.extend(chain([front, front + rng.normal(0, 2.5, 3)], 0.9, METAL))


def _stents(mains: list[Artery], d: Devices, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        artery = mains[int(rng.integers(len(mains)))]
        start = int(rng.uniform(0.05, 0.6) * len(artery.points))
        points = artery.points[start : start + int(rng.uniform(10, 30)) : 2]
        if len(points) < 2:
            continue
        r = rng.uniform(1.2, 1.9)
        body = chain(list(points), r, float(rng.uniform(700, 2200)))
        d.stents.extend(body)
        d.beating.extend(body)
        d.beating.extend(chain(list(points), r - 0.55, float(rng.uniform(60, 300))))


def _port(heart: DiverseHeart, d: Devices, rng: np.random.Generator) -> None:
    p = heart.person
    side = float(rng.choice((-1, 1)))
    at = np.array((side * 66 * p.size, -98 * p.size * p.chest, rng.uniform(55, 95)))
    d.still.extend(chain([at, at + np.array((0, -6, 0))], 9.0, 3000.0))
    d.still.extend(chain([at, at + np.array((0, -6, 0))], 5.0, 300.0))
    path = [at, (side * 40, -60.0, 110.0), *(heart.at(*q) for q in LEAD[:3])]
    d.still.extend(
        chain([np.array(q) for q in path], 1.2, float(rng.uniform(400, 1500)))
    )


def _on_skin(body: Field, rng: np.random.Generator):
    """A point of the skin, mostly in front, and the direction outwards."""
    angle = rng.normal(-np.pi / 2, 0.9)
    way = (np.cos(angle), np.sin(angle), 0.0)
    start = (0.0, -10.0, float(rng.uniform(-80, 90)))
    at = leaves(body, start, way, 330)
    return (None if at is None else np.array(at)), np.array(way)


def _electrodes(body: Field, d: Devices, rng: np.random.Generator) -> None:
    metal = float(rng.uniform(600, METAL))
    for _ in range(int(rng.integers(2, 8))):
        at, out = _on_skin(body, rng)
        if at is None:
            continue
        side = np.array([-out[1], out[0], 0.0])
        for k in (-1, 0, 1):  # gel, flat on the skin
            middle = at + 0.8 * out + k * 9 * side
            d.outside.extend(chain([middle, middle + np.array((0, 0, 12))], 1.6, 60.0))
        d.outside.extend(
            chain([at + 3 * out - 2 * side, at + 3 * out + 2 * side], 1.5, metal)
        )
        far = at + 9 * out + rng.normal(0, 25, 3)
        d.outside.extend(
            chain([at + 4 * out, far, far + rng.normal(0, 40, 3)], 0.8, 500.0)
        )


def _marker(body: Field, d: Devices, rng: np.random.Generator) -> None:
    at, out = _on_skin(body, rng)
    if at is not None:
        at = at + rng.uniform(-1, 2) * out
        along = np.array((0, 0, 1.0)) * rng.uniform(0.5, 30)
        d.outside.extend(
            chain(
                [at, at + along], rng.uniform(0.6, 2.0), float(rng.uniform(400, METAL))
            )
        )


def _cloth(body: Field, d: Devices, rng: np.random.Generator) -> None:
    """Folds of a shirt or a blanket, buttons, tubes of the infusion."""
    for _ in range(int(rng.integers(2, 9))):
        at, out = _on_skin(body, rng)
        if at is None:
            continue
        side = np.array([-out[1], out[0], 0.0])
        points = [at + rng.uniform(3, 14) * out + k * 13 * side for k in range(4)]
        d.outside.extend(
            chain(points, rng.uniform(0.7, 2.0), float(rng.uniform(-700, 150)))
        )
